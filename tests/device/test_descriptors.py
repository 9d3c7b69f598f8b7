"""Descriptors that callers send: closed once. A second time might close another caller's."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from engine.inside import running
from programs import BELL
from quantainer_client.channel import Channel
from quantainer_client.errors import QuantainerError
from quantainer_client.payload import Payload

REFUSED = [
    ("submit", {"shots": 0}),
    ("submit", {"backend": "none"}),
    ("submit", {"surprise": 1}),
    ("submit", {"pubs": [{"offset": 9, "length": 9**9}]}),
    ("estimate", {"backend": "none"}),
    ("hello", {"surprise": 1}),
    ("none", {}),
]


def open_here() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(("op", "fields"), REFUSED)
def test_what_comes_with_a_refused_request_is_closed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, op: str, fields: dict[str, object]
) -> None:
    close, failed = os.close, []

    def watched(fd: int) -> None:
        try:
            close(fd)
        except OSError:
            failed.append(fd)
            raise

    def send() -> None:
        payload = Payload()
        pubs = [{"offset": payload.append(BELL.encode()), "length": len(BELL)}]
        fd = payload.seal()
        channel = Channel(str(tmp_path / "runtime_dir" / "broker.sock"), 30)
        try:
            with pytest.raises(QuantainerError):
                channel.round_trip(op, {"pubs": pubs, "shots": 5, **fields}, fd, 30)
        finally:
            channel.close()
            close(fd)

    async def story() -> None:
        async with running(tmp_path) as (_, ask):
            await ask("hello")
            before = open_here()
            monkeypatch.setattr(os, "close", watched)
            for _ in range(3):
                await asyncio.to_thread(send)
            monkeypatch.undo()
            await asyncio.sleep(0.1)
            assert open_here() <= before
            assert failed == []

    asyncio.run(asyncio.wait_for(story(), 120))
