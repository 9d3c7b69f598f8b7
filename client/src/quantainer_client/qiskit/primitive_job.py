"""Jobs of the primitives."""

from __future__ import annotations

from qiskit.primitives import BasePrimitiveJob, PrimitiveResult
from qiskit.providers import JobStatus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Optional

    from quantainer_client.job import Job
    from quantainer_client.result import Result

__all__ = ["STATUS", "PrimitiveJob"]

STATUS = {
    "QUEUED": JobStatus.QUEUED,
    "RUNNING": JobStatus.RUNNING,
    "PAUSED": JobStatus.QUEUED,
    "DONE": JobStatus.DONE,
    "FAILED": JobStatus.ERROR,
    "CANCELLED": JobStatus.CANCELLED,
}


class PrimitiveJob(BasePrimitiveJob):  # type: ignore[misc]
    """A job of ``SamplerV2`` or ``EstimatorV2``."""

    def __init__(self, job: Job, read: Callable[[Result], List[Any]]) -> None:
        super().__init__(job_id=job.id)
        self._job = job
        self._read = read
        self._result: Optional[PrimitiveResult] = None

    def result(self, timeout: Optional[float] = None) -> PrimitiveResult:
        """Wait for the job, an hour unless said otherwise, and return its result.

        Raises:
            QuantainerError: What the job failed of, or ``timeout``.
        """
        if self._result is None:
            result = self._job.result(timeout)
            self._result = PrimitiveResult(self._read(result), metadata={"version": 2})
        return self._result

    def status(self) -> JobStatus:
        """Return the job's status now."""
        return STATUS[self._job.refresh()]

    def done(self) -> bool:
        """Tell whether the job has ended well."""
        return bool(self.status() == JobStatus.DONE)

    def running(self) -> bool:
        """Tell whether the job is running."""
        return bool(self.status() == JobStatus.RUNNING)

    def cancelled(self) -> bool:
        """Tell whether the job was cancelled."""
        return bool(self.status() == JobStatus.CANCELLED)

    def in_final_state(self) -> bool:
        """Tell whether the job has ended."""
        self._job.refresh()
        return self._job.ended

    def cancel(self) -> None:
        """Ask for the job's end."""
        self._job.cancel()
