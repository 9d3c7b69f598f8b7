"""Outcomes: results as they go to callers: the latest at hand, older ones from the store."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from dataclasses import dataclass
from typing import Self

from quantainer.broker.encoding import encode
from quantainer.broker.process import Answer
from quantainer.broker.store import Store
from quantainer_client.errors import QuantainerError
from quantainer_client.payload import Payload, map_payload

__all__ = ["Outcome", "Outcomes"]

_RECENT_RESULTS = 64
_RECENT_BYTES = 64 * 1024**2
_SMALL = 1024**2


@dataclass(frozen=True, slots=True)
class Outcome:
    """A result as it goes to a caller: JSON text, and a memfd that it points into."""

    results: str
    fd: int | None
    size: int

    @classmethod
    def of(cls, answer: Answer) -> Self:
        """Take over what a worker sent."""
        size = 0 if answer.fd is None else os.fstat(answer.fd).st_size
        return cls(answer.fields["results"], answer.fd, size)

    def data(self) -> bytes | memoryview:
        """Return what lies in the memfd."""
        if self.fd is None:
            return b""
        if self.size <= _SMALL:
            return os.pread(self.fd, self.size, 0)
        return map_payload(os.dup(self.fd))

    def close(self) -> None:
        """Close the memfd; once."""
        if self.fd is not None:
            os.close(self.fd)


class Outcomes:
    """Committed results."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._recent: OrderedDict[str, Outcome] = OrderedDict()
        self._bytes = 0

    def find(self, job_id: str) -> Outcome:
        """Return a committed result with a descriptor that the caller closes.

        Raises:
            QuantainerError: ``unknown_job`` if it was removed, ``storage`` if it cannot be read,
                ``internal`` if the broker has no descriptor to spare.
        """
        recent = self._recent.get(job_id)
        if recent is None:
            return self._stored(job_id)
        try:
            fd = None if recent.fd is None else os.dup(recent.fd)
        except OSError as error:
            raise QuantainerError(
                "internal",
                f"The result of job {job_id} could not be handed over: {error.strerror}.",
                hint="It is kept: ask for it again.",
            ) from None
        return Outcome(recent.results, fd, recent.size)

    async def recall(self, job_id: str) -> None:
        """Have a large result at hand before it is asked for, read by a thread.

        Raises:
            QuantainerError: As ``find``.
        """
        if job_id in self._recent or self._store.result_size(job_id) <= _SMALL:
            return
        loop = asyncio.get_running_loop()
        outcome = await loop.run_in_executor(None, self._stored, job_id)
        if job_id in self._recent:
            outcome.close()
        else:
            self.remember(job_id, outcome)

    def _stored(self, job_id: str) -> Outcome:
        stored = self._store.result(job_id)
        if stored is None:
            raise QuantainerError(
                "unknown_job",
                f"The result of job {job_id} is no longer kept.",
                hint="Results are kept for a limited time; run the job again with the same seed.",
            )
        results = encode(stored.header["results"])
        if not stored.data:
            return Outcome(results, None, 0)
        payload = Payload()
        payload.append(stored.data)
        return Outcome(results, payload.seal("quantainer-result"), len(stored.data))

    def remember(self, job_id: str, outcome: Outcome) -> None:
        """Take over a result that was committed just now, and close those it displaces."""
        self._recent[job_id] = outcome
        self._bytes += outcome.size
        while len(self._recent) > _RECENT_RESULTS or (
            self._bytes > _RECENT_BYTES and len(self._recent) > 1
        ):
            _, oldest = self._recent.popitem(last=False)
            self._bytes -= oldest.size
            oldest.close()

    def close(self) -> None:
        """Close what is held open."""
        for outcome in self._recent.values():
            outcome.close()
        self._recent.clear()
