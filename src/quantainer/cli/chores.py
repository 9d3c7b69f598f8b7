"""Chores: what the broker does now and then, beside serving."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from quantainer.broker.retention import Retention, prune_by_clock
from quantainer.broker.store import Store
from quantainer.broker.wallclock import WallClock
from quantainer.device.publication import Publication
from quantainer_client.errors import QuantainerError

__all__ = ["Chore", "chores", "for_ever"]

Chore = Callable[[], Coroutine[Any, Any, None]]

log = logging.getLogger("quantainer")

_PRUNE_SECONDS = 60.0
_CHECKPOINT_SECONDS = 1.0
_REFRESH_SECONDS = 2.0


def chores(store: Store, retention: Retention, publication: Publication) -> list[Chore]:
    """Return chores; each runs until it is cancelled."""
    return [
        partial(_checkpoint, store),
        partial(_prune, store, retention, WallClock()),
        partial(_refresh, publication),
    ]


async def for_ever(chore: Chore) -> None:
    """Do a chore that never ends by itself: after a fault, such as no descriptor, it goes on."""
    while True:
        try:
            await chore()
        except Exception:
            log.exception("fault in what the broker does now and then")


async def _checkpoint(store: Store) -> None:
    """Move the store's log into its database, off the loop."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_CHECKPOINT_SECONDS)
        try:
            await loop.run_in_executor(None, store.checkpoint)
        except QuantainerError as error:
            log.warning("%s", error)


async def _prune(store: Store, retention: Retention, clock: WallClock) -> None:
    """Remove what is kept no longer, a little at a time."""
    while True:
        await asyncio.sleep(_PRUNE_SECONDS)
        try:
            while prune_by_clock(store, retention, clock):
                await asyncio.sleep(0.05)
        except QuantainerError as error:
            log.warning("%s", error)


async def _refresh(publication: Publication) -> None:
    """Follow device nodes that come and go."""
    while True:
        await asyncio.sleep(_REFRESH_SECONDS)
        try:
            publication.refresh()
        except (OSError, QuantainerError) as error:
            log.warning("%s", error)
