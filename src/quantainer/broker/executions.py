"""Executions: jobs that worker processes are at, and what becomes of them."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from quantainer.broker.outcomes import Outcome
from quantainer.broker.parts import Packed, pack
from quantainer.broker.payloads import Payloads
from quantainer.broker.process import Answer, WorkerProcess
from quantainer.broker.recorder import Recorder
from quantainer.broker.stopwatch import Stopwatch
from quantainer.broker.store import Store
from quantainer.broker.workers import Pool
from quantainer.core import events
from quantainer.core.events import Event
from quantainer.core.job import Job
from quantainer_client.errors import QuantainerError

__all__ = ["Executions"]

log = logging.getLogger("quantainer.broker")


@dataclass(slots=True)
class _Execution:
    attempt: int
    worker: WorkerProcess
    watch: Stopwatch
    spent: float | None = None

    def seconds(self) -> float:
        """Return what the job took of its worker; once that has answered, it is settled."""
        return self.watch.seconds() if self.spent is None else self.spent


class Executions:
    """Gives jobs to workers and tells the life cycle what they answer, or how they end.

    Args:
        store: Has what is durable of a job that was interrupted.
        payloads: Circuits, by digest.
        recorder: Takes over results and parts.
        current: Returns a job that has not ended.
        handle: Is told what happens.
        run_seconds: After which a worker is ended with its job.
    """

    def __init__(
        self,
        store: Store,
        payloads: Payloads,
        recorder: Recorder,
        current: Callable[[str], Job | None],
        handle: Callable[[Event], None],
        run_seconds: float,
    ) -> None:
        self._store = store
        self._payloads = payloads
        self._recorder = recorder
        self._current = current
        self._handle = handle
        self._run_seconds = run_seconds
        self._executions: dict[str, _Execution] = {}

    def start(self, job: Job, pool: Pool, worker: WorkerProcess, threads: int, number: int) -> None:
        """Give a job to a free worker.

        Args:
            job: The job.
            pool: Has the worker.
            worker: It.
            threads: That it may compute with.
            number: Of its work among what was planned; 0 if that is not known any more.
        """
        try:
            fd = self._payloads.descriptor(job.payload_digest)
        except QuantainerError as error:
            self._handle(events.JobErred(job.id, job.attempt, error.to_dict(), at=time.time()))
            return
        message = {
            "op": "execute",
            "request": job.request,
            "threads": threads,
            "memory_bytes": job.memory_bytes,
            "number": number,
        }
        self._executions[job.id] = _Execution(job.attempt, worker, Stopwatch(worker.account))
        pool.execute(
            worker,
            message,
            fd,
            digest=job.payload_digest,
            seconds=self._run_seconds,
            answered=lambda answer: self._answered(job, answer),
            died=lambda reason: self._worker_gone(job, worker, reason),
            progressed=lambda answer: self._recorder.save_part(job, answer),
            parts=self._parts(job.id) if self._store.chunks.has(job.id) else None,
        )

    def _parts(self, job_id: str) -> asyncio.Future[Packed]:
        """Fetch what is durable of a job, off the loop: it may be much."""

        def fetch() -> Packed:
            chunks = self._store.chunks.of(job_id)
            log.info("job %s goes on after %d durable parts", job_id, len(chunks))
            return pack(chunks)

        return asyncio.get_running_loop().run_in_executor(None, fetch)

    def _answered(self, job: Job, answer: Answer) -> None:
        execution = self._executions.get(job.id)
        if execution is not None and execution.attempt == job.attempt:
            execution.spent = execution.seconds()
        if answer.fields.get("ok") is not True:
            if answer.fd is not None:
                os.close(answer.fd)
            error = QuantainerError.from_dict(answer.fields.get("error") or {}).to_dict()
            self._handle(events.JobErred(job.id, job.attempt, error, at=time.time()))
            return
        self._recorder.take(job, Outcome.of(answer))
        self._handle(events.ResultReady(job.id, job.attempt, at=time.time()))
        current = self._current(job.id)
        if current is None or current.attempt != job.attempt:
            self._recorder.drop(job.id)

    def _worker_gone(self, job: Job, worker: WorkerProcess, reason: str) -> None:
        if worker.overdue:
            error = QuantainerError(
                "timeout",
                f"Job {job.id} ran longer than this node allows.",
                limit=self._run_seconds,
                hint="Split the job, or raise the setting job_timeout.",
            )
            self._handle(events.JobErred(job.id, job.attempt, error.to_dict(), at=time.time()))
            return
        if worker.memory_was_refused:
            self._died(job, _outgrown(job), retry=False)  # it would take as much again
            return
        error = QuantainerError(
            "worker_died",
            f"The worker process of job {job.id} {reason} (attempt {job.attempt}).",
            hint="If it happens again: fewer qubits, another method or engine; see the log.",
        )
        self._died(job, error, retry=True)

    def _died(self, job: Job, error: QuantainerError, *, retry: bool) -> None:
        self._handle(events.WorkerDied(job.id, job.attempt, error.to_dict(), retry, at=time.time()))

    def end(self, job_id: str) -> float | None:
        """Forget the execution of a job; return the core-seconds it took, if there was one."""
        execution = self._executions.pop(job_id, None)
        return None if execution is None else execution.seconds()

    def freeze(self, job_id: str, attempt: int) -> None:
        """Stop a job where it stands."""
        execution = self._of(job_id, attempt)
        if execution is not None:
            execution.worker.freeze()
            execution.watch.freeze()

    def thaw(self, job_id: str, attempt: int) -> None:
        """Let a job go on."""
        execution = self._of(job_id, attempt)
        if execution is not None:
            execution.worker.thaw()
            execution.watch.thaw()

    def abort(self, job_id: str, attempt: int) -> None:
        """End a job's worker; the life cycle hears of it when it is gone."""
        execution = self._of(job_id, attempt)
        if execution is None:
            self._handle(events.Aborted(job_id, attempt, at=time.time()))
            return
        execution.worker.kill("was ended: its job was cancelled")

    def _of(self, job_id: str, attempt: int) -> _Execution | None:
        execution = self._executions.get(job_id)
        return execution if execution is not None and execution.attempt == attempt else None


def _outgrown(job: Job) -> QuantainerError:
    return QuantainerError(
        "out_of_memory",
        f"Job {job.id} needed more memory than it was admitted with; its worker process ended.",
        limit=job.memory_bytes,
        hint="Ask for fewer qubits or shots, or another method or engine; "
        "as planned it should have fitted: please report the circuit.",
    )
