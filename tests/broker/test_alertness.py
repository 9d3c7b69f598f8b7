"""The broker's event loop keeps time and sleeps when nothing happens."""

from __future__ import annotations

import asyncio
import os
import socket
import time

from quantainer.broker.alertness import event_loop


def run(main: object) -> object:
    with asyncio.Runner(loop_factory=event_loop) as runner:
        return runner.run(main)  # type: ignore[arg-type]


def test_timers_keep_their_time() -> None:
    async def main() -> float:
        started = time.monotonic()
        await asyncio.sleep(0.05)
        return time.monotonic() - started

    elapsed = run(main())
    assert isinstance(elapsed, float)
    assert elapsed >= 0.05


def test_an_event_is_seen_while_awake_and_after_sleep() -> None:
    async def main() -> list[bytes]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        seen = []
        for pause in (0.0, 0.0, 0.02):
            await asyncio.sleep(pause)
            theirs.send(b"x")
            seen.append(await loop.sock_recv(ours, 1))
        ours.close()
        theirs.close()
        return seen

    assert run(main()) == [b"x"] * 3


def test_an_idle_loop_uses_next_to_no_processor() -> None:
    async def main() -> float:
        before = os.times()
        await asyncio.sleep(1.0)
        after = os.times()
        return after.user + after.system - before.user - before.system

    used = run(main())
    assert isinstance(used, float)
    assert used < 0.2
