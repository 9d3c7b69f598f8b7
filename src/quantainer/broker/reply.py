"""Reply: what goes back to a caller, at once or when a job has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from quantainer_client.errors import QuantainerError

__all__ = ["Deferred", "Reply", "Session"]


@dataclass(frozen=True, slots=True)
class Session:
    """Who asks.

    Attributes:
        lease: Of the caller.
        tenant: Of the lease.
        operator: It is the operator of this node.
        gone: Done when the caller hears no reply any more.
    """

    lease: str
    tenant: str
    operator: bool = False
    gone: asyncio.Future[None] | None = None


@dataclass(slots=True)
class Reply:
    """What goes back.

    Attributes:
        fields: JSON fields.
        fd: A descriptor that goes with them; the carrier closes it.
        error: Instead of success; the fields say which job.
        results: JSON text of the field ``results``, as the worker wrote it: it is stored and sent
            on without being read.
    """

    fields: dict[str, Any]
    fd: int | None = None
    error: QuantainerError | None = None
    results: str | None = None


class Deferred:
    """A reply to come, without a task that waits for it."""

    __slots__ = ("_reply", "_then")

    def __init__(self) -> None:
        self._reply: Reply | None = None
        self._then: Callable[[Reply], None] | None = None

    def resolve(self, reply: Reply) -> None:
        """Give the reply; once."""
        if self._then is not None:
            self._then(reply)
        else:
            self._reply = reply

    def then(self, callback: Callable[[Reply], None]) -> None:
        """Have the reply handed to a callback, now if it is there."""
        if self._reply is not None:
            callback(self._reply)
        else:
            self._then = callback
