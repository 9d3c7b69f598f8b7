"""Job: the handle of one accepted submission."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

    from quantainer_client.connection import Connection
    from quantainer_client.result import Result

__all__ = ["TERMINAL", "Job"]

TERMINAL = frozenset({"DONE", "FAILED", "CANCELLED"})


class Job:
    """One job of this container or user; the broker keeps it, not this object.

    Attributes:
        id: Finds the job again, also from another process of the same container.
        state: As last heard of: ``QUEUED``, ``RUNNING``, ``PAUSED``, ``DONE``, ``FAILED`` or
            ``CANCELLED``.
        shots_done: Shots measured, as last heard of.
    """

    __slots__ = ("_connection", "id", "shots_done", "state")

    def __init__(self, connection: Connection, identifier: str, state: str = "QUEUED") -> None:
        self._connection = connection
        self.id = identifier
        self.state = state
        self.shots_done = 0

    @property
    def ended(self) -> bool:
        """Tell whether the job had ended when last heard of."""
        return self.state in TERMINAL

    def refresh(self) -> str:
        """Ask for the state, without waiting."""
        return self.wait(0.0)

    def wait(self, timeout: Optional[float] = None) -> str:
        """Wait until the job ends, at most ``timeout`` seconds (default an hour).

        Returns:
            The state then.
        """
        if not self.ended:
            reply = self._connection.wait(self.id, timeout)
            self.state = reply["state"]
            self.shots_done = reply.get("shots_done") or 0
        return self.state

    def result(self, timeout: Optional[float] = None) -> Result:
        """Wait for the job and return its result.

        Raises:
            QuantainerError: What the job failed of; ``timeout`` if it has not ended in time (it
                goes on).
        """
        return self._connection.result(self.id, timeout)

    def partial(self) -> Result:
        """Return what the job has measured so far, or had when it was stopped."""
        return self._connection.partial(self.id)

    def cancel(self) -> str:
        """Ask for the job's end and return the state that follows."""
        self.state = self._connection.cancel(self.id)["state"]
        return self.state

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.state}>"
