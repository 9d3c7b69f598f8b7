"""Store: leases, jobs, payloads, shot chunks and results, safe before anyone is told so.

One broker writes one store. A job's row is committed before its submission is acknowledged, a
result exactly once, and with it its job has ended; a job that has ended never changes again. What
each ``durability`` survives is stated and proved in ``docs/durability.md``.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from quantainer.broker import statements
from quantainer.broker.blobs import Blobs, Bytes
from quantainer.broker.chunks import Chunks
from quantainer.broker.database import Database, Durability
from quantainer.broker.encoding import encode
from quantainer.broker.rows import job_changes, job_from, job_values, lease_from, lease_values
from quantainer.broker.statelock import StateLock
from quantainer.core.job import Job, JobState
from quantainer.core.lease import Lease
from quantainer_client.errors import QuantainerError

__all__ = ["INLINE_LIMIT", "NEWEST", "Store", "StoredResult"]

NEWEST = 2**63 - 1
"""A place after every job in the order of arrival."""

INLINE_LIMIT = 128 * 1024
"""Bytes up to which payloads and results lie in their row; above, SQLite is slower than a file."""

_KNOWN_PAYLOADS = 4096


@dataclass(frozen=True, slots=True)
class StoredResult:
    """What was committed: the header (JSON fields) and the arrays it points into."""

    header: dict[str, Any]
    data: bytes


class Store:
    """The broker's durable memory. Calls block; in ``normal`` mode for some ten microseconds.

    Args:
        directory: The state directory, made if it does not exist.
        durability: ``normal`` survives the death of any process, ``full`` also loss of power.
        inline_limit: Bytes up to which objects lie in their row.

    Raises:
        QuantainerError: ``storage`` if the directory is in use, cannot be written, or holds
            something this version cannot read.
    """

    def __init__(
        self,
        directory: Path,
        durability: Durability = "normal",
        *,
        inline_limit: int = INLINE_LIMIT,
    ) -> None:
        self.directory = directory
        self._lock = _take(directory)
        try:
            self.database = Database(directory / "quantainer.db", durability)
            with self.database.errors():
                durable = durability == "full"
                self.blobs = Blobs(directory / "blobs", inline_limit, durable=durable)
                self.blobs.sweep({row["file"] for row in self.database.rows(statements.FILES, {})})
            self._write_ends()
        except BaseException:
            self._lock.release()
            raise
        self._known_payloads: OrderedDict[str, None] = OrderedDict()
        self.chunks = Chunks(self.database, self.blobs)
        self._pending: dict[str, Job] = {}
        self._pending_leases: dict[str, Lease] = {}

    # Leases

    def save_lease(self, lease: Lease) -> None:
        """Write a lease's row; one that cannot be written is tried again at the next ``flush``."""
        self._pending_leases[lease.id] = lease
        self._write_lease(lease)

    def secure_lease(self, lease_id: str) -> None:
        """Write the row of a lease that could not be written before.

        Raises:
            QuantainerError: ``storage`` if it still cannot: nothing may rest on that lease.
        """
        lease = self._pending_leases.get(lease_id)
        if lease is not None:
            self._write_lease(lease)

    def _write_lease(self, lease: Lease) -> None:
        self.database.execute(statements.SAVE_LEASE, lease_values(lease))
        self._pending_leases.pop(lease.id, None)

    def open_leases(self) -> list[Lease]:
        """Return every lease that has not ended, oldest first."""
        return [lease_from(row) for row in self.database.rows(statements.OPEN_LEASES, {})]

    # Jobs

    def add_job(self, job: Job, payload: Bytes) -> None:
        """Write a new job's row and, unless an equal one is there already, its payload.

        Raises:
            QuantainerError: ``storage`` if they cannot be written; then nothing was.
        """
        if self._pending_leases:
            self.secure_lease(job.lease)
        digest = job.payload_digest
        if digest in self._known_payloads:
            self._known_payloads.move_to_end(digest)
            self.database.execute(statements.ADD_JOB, job_values(job))
            return
        try:
            with self.database.transaction():
                data, file = self.blobs.put(f"payload-{digest}", payload)
                self.database.execute(
                    statements.ADD_PAYLOAD, {"digest": digest, "data": data, "file": file}
                )
                self.database.execute(statements.ADD_JOB, job_values(job))
        except QuantainerError:
            with contextlib.suppress(QuantainerError):
                self._delete_unnamed(digest)  # or each refusal would fill a full disk further
            raise
        self._known_payloads[digest] = None
        if len(self._known_payloads) > _KNOWN_PAYLOADS:
            self._known_payloads.popitem(last=False)

    def save_job(self, job: Job, *, lazy: bool = False) -> None:
        """Write a job's changed row; a ``lazy`` one at the next ``flush``.

        A row that cannot be written is tried again at the next ``flush``.
        """
        if self._has_ended(job.id):
            return
        if job.terminal:
            self.chunks.end(job.id)
        self._pending[job.id] = job
        if not lazy:
            self._write_job(job)
            del self._pending[job.id]

    def _write_job(self, job: Job) -> None:
        changed = self.database.execute(statements.SAVE_JOB, {**job_changes(job), "which": job.id})
        if changed and job.terminal:
            for row in self.database.rows(statements.SIZE, {"which": job.id}):
                self._count_bytes(row["size"])

    @property
    def pending(self) -> int:
        """How many rows wait for ``flush``."""
        return len(self._pending) + len(self._pending_leases)

    def flush(self, batch: int | None = None) -> None:
        """Write rows that were left for later, in one transaction: the oldest ``batch``, or all."""
        for lease in list(self._pending_leases.values()):
            self._write_lease(lease)
        jobs = list(islice(self._pending.values(), batch))
        if not jobs:
            return
        with self.database.transaction():
            for job in jobs:
                self._write_job(job)
        for job in jobs:
            if self._pending.get(job.id) is job:
                del self._pending[job.id]

    def live_jobs(self) -> list[Job]:
        """Return every job that has not ended, oldest first."""
        rows = self.database.rows(statements.LIVE_JOBS, {})  # in order it would read all jobs
        jobs = (job_from(row) for row in sorted(rows, key=itemgetter("sequence")))
        return [self._pending.get(job.id, job) for job in jobs if not self._has_ended(job.id)]

    def _has_ended(self, job_id: str) -> bool:
        pending = self._pending.get(job_id)
        return pending is not None and pending.terminal

    def job(self, job_id: str) -> Job | None:
        """Return a job, whether it has ended or not."""
        pending = self._pending.get(job_id)
        if pending is not None:
            return pending
        rows = self.database.rows(statements.JOB, {"which": job_id})
        return job_from(rows[0]) if rows else None

    def jobs(self, tenant: str | None = None, *, limit: int = 100) -> list[Job]:
        """Return the latest jobs, newest first, of one tenant or of all."""
        return self.page(tenant, below=NEWEST, limit=limit)[0]

    def page(self, tenant: str | None, *, below: int, limit: int) -> tuple[list[Job], int]:
        """Return the latest jobs before a place in the order of arrival, and the place of the last.

        Args:
            tenant: Whose; None: everyone's.
            below: The place; ``NEWEST`` for the first page.
            limit: How many at most.
        """
        statement = statements.JOBS if tenant is None else statements.JOBS_OF_TENANT
        values = {"tenant_": tenant, "limit_": limit, "below_": below}
        rows = self.database.rows(statement, values)
        listed = [self._pending.get(row["id"]) or job_from(row) for row in rows]
        return listed, rows[-1]["sequence"] if rows else 0

    def payload(self, digest: str) -> bytes:
        """Return a payload.

        Raises:
            QuantainerError: ``storage`` if it is not there.
        """
        rows = self.database.rows(statements.PAYLOAD, {"which": digest})
        if not rows:
            raise QuantainerError("storage", f"Payload {digest} is not in {self.directory}.")
        with self.database.errors():
            return self.blobs.get(rows[0]["data"], rows[0]["file"])

    # Results

    def commit_result(self, job: Job, header: Mapping[str, Any] | str, data: Bytes) -> bool:
        """End the job as DONE and store its result, both or neither, once.

        The result's row is what ends the job, in one statement; the job's own follows at the next
        ``flush``, or when a store that was not closed is opened again.

        Args:
            job: The job as it is to be, state DONE.
            header: Result fields, or their JSON text.
            data: The arrays that the header points into.

        Returns:
            False if the job had ended already or a later attempt runs; then nothing changed.
        """
        _check_done(job)
        if self.chunks.has(job.id):
            with self.database.transaction():
                size = self._add_result(job, header, data)
                chunk_files = self.chunks.drop(job.id) if size else ()
            self.blobs.delete(chunk_files)
        else:
            size = self._add_result(job, header, data)
        if not size:
            return False
        self._pending[job.id] = job
        return True

    def keep_result(self, job: Job, header: Mapping[str, Any] | str, data: Bytes) -> bool:
        """Store the result of a job whose container is paused; ``commit_kept`` ends it later."""
        with self.database.transaction():
            if not self._change(job) or not self._add_result(job, header, data):
                return False
            chunk_files = self.chunks.drop(job.id)
        self._pending.pop(job.id, None)
        self.blobs.delete(chunk_files)
        return True

    def commit_kept(self, job: Job) -> bool:
        """End the job as DONE; its result was stored by ``keep_result``.

        Returns:
            False if the job had ended already.
        """
        _check_done(job)
        with self.database.transaction():
            sizes = self.database.rows(statements.SIZE, {"which": job.id})
            if not sizes or not self._change(job):
                return False
            self._count_bytes(sizes[0]["size"])
        self._pending.pop(job.id, None)
        return True

    def result(self, job_id: str) -> StoredResult | None:
        """Return a committed result; None if there is none, or retention removed it."""
        rows = self.database.rows(statements.RESULT, {"which": job_id})
        pending = self._pending.get(job_id)
        if not rows or (pending.state if pending else rows[0]["state"]) != JobState.DONE:
            return None
        with self.database.errors():
            data = self.blobs.get(rows[0]["data"], rows[0]["file"])
        return StoredResult(json.loads(rows[0]["header"]), data)

    def _change(self, job: Job) -> bool:
        changes = {**job_changes(job), "which": job.id, "present": job.attempt}
        return self.database.execute(statements.CHANGE_ATTEMPT, changes) == 1

    def _add_result(self, job: Job, header: Mapping[str, Any] | str, data: Bytes) -> int:
        """Add a result's row and return its size; 0 if the job has one, or has ended."""
        pending = self._pending.get(job.id)
        if pending is not None and (pending.terminal or pending.attempt > job.attempt):
            return 0
        if self.blobs.is_large(data) and self.database.rows(statements.SIZE, {"which": job.id}):
            return 0  # before its file is overwritten
        with self.database.errors():
            inline, file = self.blobs.put(f"result-{job.id}", data)
        text = header if isinstance(header, str) else encode(header)
        size = len(text) + (data.nbytes if isinstance(data, memoryview) else len(data))
        row = {"header": text, "data": inline, "file": file, "size": size}
        key = {"which": job.id, "attempt": job.attempt, "present": job.attempt}
        added = self.database.execute(
            statements.ADD_RESULT, {**row, **key, "stored_at": time.time()}
        )
        return size if added == 1 else 0

    def _write_ends(self) -> None:
        """Write the ends of jobs whose results were committed just before a crash."""
        with self.database.transaction():
            (sizes,) = self.database.rows(statements.UNWRITTEN_ENDS, {})
            if sizes["size"]:
                self._count_bytes(sizes["size"])
                self.database.execute(statements.WRITE_ENDS, {"done": JobState.DONE.value})

    def _count_bytes(self, size: int) -> None:
        """Add to the total of stored results, which to sum up would take reading them all."""
        self.database.execute(statements.ADD_BYTES, {"bytes_": size})

    # Large objects, written by a thread before the row that names them

    def payload_ahead(self, digest: str, payload: Bytes) -> None:
        """Write a large payload's file before ``add_job``; ``release_payload`` comes after that.

        Raises:
            QuantainerError: ``storage``.
        """
        if digest not in self._known_payloads:
            with self.database.errors():
                self.blobs.write_ahead(f"payload-{digest}", payload)

    def release_payload(self, digest: str) -> None:
        """End what ``payload_ahead`` began; without a row the file goes."""
        self.blobs.release(f"payload-{digest}")
        self._delete_unnamed(digest)

    def _delete_unnamed(self, digest: str) -> None:
        """Delete the file of a payload that has no row."""
        if digest not in self._known_payloads and not self.database.rows(
            statements.PAYLOAD, {"which": digest}
        ):
            self.blobs.delete([f"payload-{digest}"])

    def result_ahead(self, job_id: str, data: Bytes) -> None:
        """Write a large result's file before ``commit_result``.

        Raises:
            QuantainerError: ``storage``.
        """
        if not self.database.rows(statements.SIZE, {"which": job_id}):
            with self.database.errors():
                self.blobs.write_ahead(f"result-{job_id}", data)

    def release_result(self, job_id: str, *, failed: bool = False) -> None:
        """End what ``result_ahead`` began; of a result that has ``failed`` the file goes."""
        self.blobs.release(f"result-{job_id}")
        if failed and not self.result_size(job_id):
            self.blobs.delete([f"result-{job_id}"])

    def result_size(self, job_id: str) -> int:
        """Return the bytes of a stored result; 0 if there is none."""
        rows = self.database.rows(statements.SIZE, {"which": job_id})
        return int(rows[0]["size"]) if rows else 0

    # The whole

    def forget(self, payloads: Iterable[str], files: Iterable[str]) -> None:
        """Forget payloads whose rows were removed, and delete files that no row names any more."""
        for digest in payloads:
            self._known_payloads.pop(digest, None)
        self.blobs.delete(files)

    def checkpoint(self) -> int:
        """Move the log into the database; for a thread of its own, about once a second."""
        return self.database.checkpoint()

    def close(self) -> None:
        """Write what is pending, close the database and give the directory back."""
        try:
            self.flush()
        finally:
            self.database.close()
            self._lock.release()


def _check_done(job: Job) -> None:
    if job.state is not JobState.DONE or job.finished_at is None:
        raise ValueError(f"job {job.id} is committed as {job.state}, not as DONE")


def _take(directory: Path) -> StateLock:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return StateLock(directory)
    except OSError as error:
        raise QuantainerError(
            "storage",
            f"The state directory {directory} cannot be written: {error.strerror}.",
            hint="Make it writable for the broker's user, or set state_dir to another directory.",
        ) from error
