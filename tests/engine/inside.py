"""A broker in the test's own process, for what only shows from within."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from quantainer.cli.daemon import Daemon
from quantainer.core.settings import resolve
from quantainer_client.channel import Channel


@asynccontextmanager
async def running(home: Path) -> AsyncIterator[tuple[Daemon, Callable[..., Awaitable[Any]]]]:
    """A broker in this process, and what asks it as a hook does."""
    places = {name: str(home / name) for name in ("runtime_dir", "state_dir", "cdi_dir")}
    daemon = Daemon(resolve({}, {}, {**places, "workers": 1, "stop_grace": 0.2}, {}))
    served = asyncio.create_task(daemon.run())
    socket = home / "runtime_dir" / "broker.sock"

    def ask(op: str, **fields: Any) -> dict[str, Any]:
        channel = Channel(str(socket), 30)
        try:
            return channel.round_trip(op, fields, None, 30)[0]
        finally:
            channel.close()

    while not socket.exists():
        assert not served.done(), served
        await asyncio.sleep(0.05)
    try:
        yield daemon, lambda op, **fields: asyncio.to_thread(ask, op, **fields)
    finally:
        await asyncio.to_thread(ask, "shutdown")
        await served
