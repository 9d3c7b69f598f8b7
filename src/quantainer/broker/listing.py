"""Listing: reads long lists of jobs in turns, so that they delay nobody but who asks for them.

A thousand jobs take the loop tens of milliseconds, and one caller may ask on many connections.
"""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

from quantainer.broker.store import NEWEST, Store
from quantainer.core.job import Job

__all__ = ["Listing"]

_PAGE = 100


class Listing:
    """Reads a page at a time, and for each lease one list at a time.

    Args:
        store: Where the jobs are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def latest(self, lease: str, tenant: str | None, limit: int) -> list[Job]:
        """Return the latest jobs of one tenant or of all, newest first.

        Args:
            lease: Who asks.
            tenant: Whose jobs; None: everyone's.
            limit: How many at most.
        """
        turn = self._turns.setdefault(lease, asyncio.Lock())
        async with turn:
            found: list[Job] = []
            below = NEWEST
            while len(found) < limit:
                size = min(_PAGE, limit - len(found))
                page, below = self._store.page(tenant, below=below, limit=size)
                found += page
                if len(page) < size:
                    break
                await asyncio.sleep(0)
            return found
