"""Recorder: has the store keep what happens: rows in batches, results and parts of them at once.

What cannot be written is tried again. Large files are written by a thread before the row that names
them, so that no other caller waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from quantainer.broker.outcomes import Outcome, Outcomes
from quantainer.broker.process import Answer
from quantainer.broker.store import Store
from quantainer.core import events
from quantainer.core.events import Event
from quantainer.core.job import Job
from quantainer_client.errors import QuantainerError

__all__ = ["Recorder"]

log = logging.getLogger("quantainer.broker")

_FLUSH_SECONDS = 0.5
_FLUSH_BATCH = 64
_FLUSH_PAUSE = 0.005
_FLUSH_AGAIN = 2.0
_COMMIT_TRIES = (0.1, 1.0, 5.0)


class Recorder:
    """Writes what the life cycle wants written.

    Args:
        store: Where to.
        outcomes: Are told of each result that is committed.
        current: Returns a job that has not ended.
        handle: Is told of what was written, and of results that could not be.
    """

    def __init__(
        self,
        store: Store,
        outcomes: Outcomes,
        current: Callable[[str], Job | None],
        handle: Callable[[Event], None],
    ) -> None:
        self._store = store
        self._outcomes = outcomes
        self._current = current
        self._handle = handle
        self._unwritten: dict[str, Outcome] = {}
        self._flushing: asyncio.TimerHandle | None = None

    # Rows

    def save_job(self, job: Job, *, lazy: bool) -> None:
        """Write a job's changed row, a ``lazy`` one within a second.

        Raises:
            QuantainerError: ``storage``; it is tried again after ``flush_later``.
        """
        self._store.save_job(job, lazy=lazy)
        if lazy:
            self.flush_later()

    def flush_later(self) -> None:
        """Write what the store holds back within a second."""
        if self._flushing is None:
            self._flush_in(_FLUSH_SECONDS)

    def _flush_in(self, seconds: float) -> None:
        self._flushing = asyncio.get_running_loop().call_later(seconds, self._flush)

    def _flush(self) -> None:
        """Write a batch of rows: so many that no caller notices."""
        self._flushing = None
        try:
            self._store.flush(_FLUSH_BATCH)
        except QuantainerError as error:
            log.error("rows are not written yet: %s", error)  # noqa: TRY400
            self._flush_in(_FLUSH_AGAIN)
            return
        if self._store.pending:
            self._flush_in(_FLUSH_PAUSE)

    # Results

    def take(self, job: Job, outcome: Outcome) -> None:
        """Take over a result that is to be written when the life cycle says so."""
        self._unwritten[job.id] = outcome

    def drop(self, job_id: str) -> None:
        """Let go of a result that nobody wants any more."""
        outcome = self._unwritten.pop(job_id, None)
        if outcome is not None:
            outcome.close()

    def write_result(
        self, job: Job, *, keep: bool = False, kept: bool = False, tries: int = 0
    ) -> None:
        """Write a result; if the store cannot, try again a few times before giving up.

        One that is to be kept is never given up: it stays in memory until it can be committed.

        Args:
            job: The job as it is to be.
            keep: It waits until its container is unpaused.
            kept: It has waited and is written already.
            tries: How often it was tried.
        """
        outcome = self._unwritten.get(job.id)
        if outcome is not None and not keep and self._store.blobs.is_slow(outcome.size):
            self._ahead(
                lambda: self._store.result_ahead(job.id, outcome.data()),
                lambda: self._write_now(job, outcome, keep=keep, kept=kept, tries=tries),
            )
            return
        self._write_now(job, outcome, keep=keep, kept=kept, tries=tries)

    def _ahead(self, write: Callable[[], None], then: Callable[[], None]) -> None:
        """Have a thread write a large file, then go on; what fails there fails here again."""
        try:
            future = asyncio.get_running_loop().run_in_executor(None, write)
        except RuntimeError as error:  # no thread is to be had
            log.error("not written ahead: %s", error)  # noqa: TRY400
            then()
            return

        def written(done: asyncio.Future[None]) -> None:
            if not done.cancelled() and (error := done.exception()) is not None:
                log.error("not written ahead: %s", error)
            then()

        future.add_done_callback(written)

    def _write_now(
        self, job: Job, outcome: Outcome | None, *, keep: bool, kept: bool, tries: int
    ) -> None:
        try:
            written = self._write_once(job, outcome, keep=keep, kept=kept)
            self._store.release_result(job.id, failed=not written)
        except QuantainerError as error:
            self._not_written(job, error, keep=keep, kept=kept, tries=tries)
            return
        except Exception as fault:
            log.exception("result of job %s", job.id)
            unexpected = QuantainerError("internal", f"The result could not be written: {fault}.")
            self._not_written(job, unexpected, keep=keep, kept=kept, tries=tries)
            return
        if keep:
            return
        if not written:
            log.error("job %s had ended before its result was written", job.id)
        self.flush_later()
        if outcome is not None:
            del self._unwritten[job.id]
            self._outcomes.remember(job.id, outcome)
        self._handle(events.ResultCommitted(job.id, job.attempt, at=time.time()))

    def _write_once(self, job: Job, outcome: Outcome | None, *, keep: bool, kept: bool) -> bool:
        if kept and self._store.commit_kept(job):
            return True
        if outcome is None:
            raise QuantainerError("internal", f"The result of job {job.id} is not there.")
        data, header = outcome.data(), f'{{"results":{outcome.results}}}'
        if keep:
            return self._store.keep_result(job, header, data)
        return self._store.commit_result(job, header, data)

    def _not_written(
        self, job: Job, error: QuantainerError, *, keep: bool, kept: bool, tries: int
    ) -> None:
        """Try again in a while, or give up."""
        with contextlib.suppress(QuantainerError):
            self._store.release_result(job.id, failed=True)
        log.error("result of job %s: %s", job.id, error)
        if tries < len(_COMMIT_TRIES):
            again = self._keep_again if keep else self.write_result
            asyncio.get_running_loop().call_later(
                _COMMIT_TRIES[tries], lambda: again(job, keep=keep, kept=kept, tries=tries + 1)
            )
            return
        if keep:
            return
        self.drop(job.id)
        self._handle(events.CommitFailed(job.id, job.attempt, error.to_dict(), at=time.time()))

    def _keep_again(self, job: Job, *, keep: bool, kept: bool, tries: int) -> None:
        """Try again to keep a result, unless it was committed or dropped meanwhile."""
        if job.id in self._unwritten:
            self.write_result(job, keep=keep, kept=kept, tries=tries)

    # Parts

    def save_part(self, job: Job, answer: Answer) -> None:
        """Make a finished part of a job durable, or forget parts that are of no use."""
        if "stale" in answer.fields:
            self._forget_parts(job, answer.fields["stale"])
            return
        part = Outcome.of(answer)
        if self._store.blobs.is_slow(part.size):
            self._ahead(
                lambda: self._store.chunks.write_ahead(job, answer.fields["part"], part.data()),
                lambda: self._save_now(job, answer, part),
            )
        else:
            self._save_now(job, answer, part)

    def _save_now(self, job: Job, answer: Answer, part: Outcome) -> None:
        number, shots = answer.fields["part"], answer.fields["shots"]
        current = self._current(job.id)
        wanted = current is not None and current.attempt == job.attempt
        total: int | None = None
        try:
            if wanted:
                total = self._store.chunks.save(job, number, shots, part.results, part.data())
        except QuantainerError as error:
            log.error("a part of job %s: %s", job.id, error)  # noqa: TRY400
        finally:
            part.close()
            with contextlib.suppress(
                QuantainerError
            ):  # a file without a row goes at the next start
                self._store.chunks.release(job, number, failed=total is None)
        if total is not None:
            self._handle(events.ShotsDone(job.id, job.attempt, total, at=time.time()))

    def _forget_parts(self, job: Job, numbers: list[int]) -> None:
        """Forget parts of an earlier attempt that this one has no use for."""
        try:
            self._store.chunks.forget(job.id, numbers)
        except QuantainerError as error:
            log.error("parts of job %s: %s", job.id, error)  # noqa: TRY400

    def close(self) -> None:
        """Close what is held open."""
        for outcome in self._unwritten.values():
            outcome.close()
        self._unwritten.clear()
