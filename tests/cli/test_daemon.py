"""What the broker does now and then goes on whatever happens to it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from engine.broker import Broker
from quantainer.cli.chores import for_ever


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

        task = asyncio.create_task(for_ever(chore))
        await asyncio.wait_for(enough.wait(), 10)
        assert not task.done()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(scene())


@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.5])
def test_ctrl_c_ends_a_broker_that_starts(tmp_path: Path, seconds: float) -> None:
    """A terminal sends it to all of its group; nothing is said but what was logged before."""
    own = Broker(tmp_path, tmp_path / "cdi")
    program = [*own.program, "up", "--foreground"]
    with (tmp_path / "log").open("wb") as log:
        broker = subprocess.Popen(
            program, stdout=log, stderr=log, env=own.environment, start_new_session=True
        )
        while broker.poll() is None and b"memory for jobs" not in (tmp_path / "log").read_bytes():
            time.sleep(0.01)
        time.sleep(seconds)
        os.killpg(broker.pid, signal.SIGINT)
        assert broker.wait(timeout=10) in (0, 130)
    said = (tmp_path / "log").read_text()
    assert "Traceback" not in said
    assert "WARNING" not in said
