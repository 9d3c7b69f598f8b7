"""What the broker does now and then goes on whatever happens to it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os

from quantainer.cli.daemon import _for_ever


def test_a_chore_goes_on_after_a_fault() -> None:
    """Else nothing would be removed or moved out of the log any more, and the disk fill up."""

    async def scene() -> None:
        turns = 0
        enough = asyncio.Event()

        async def chore() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1
                if turns == 3:
                    enough.set()
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        task = asyncio.create_task(_for_ever(chore))
        await asyncio.wait_for(enough.wait(), 10)
        assert not task.done()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(scene())
