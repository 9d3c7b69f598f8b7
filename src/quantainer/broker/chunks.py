"""Chunks: shots of a job that are durable before its whole result is."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from quantainer.broker import statements
from quantainer.broker.blobs import Blobs, Bytes
from quantainer.broker.database import Database
from quantainer.core.job import Job

__all__ = ["Chunk", "Chunks"]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some shots of a job."""

    index: int
    shots: int
    header: Any
    data: bytes


class Chunks:
    """The store's chunks of jobs whose result is not committed; the commit drops them."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs
        self._jobs = {row["job"] for row in database.rows(statements.CHUNKED, {})}

    def save(self, job: Job, index: int, shots: int, header: str, data: Bytes) -> int:
        """Make some of a job's shots durable; a chunk of the same index is replaced.

        Args:
            job: The job.
            index: Which part of it this is.
            shots: How many there are in it.
            header: JSON text of the entries of ``results``.
            data: The arrays that they point into.

        Returns:
            How many shots of the job are durable now.

        Raises:
            QuantainerError: ``storage``.
        """
        with self._database.transaction():
            inline, file = self._blobs.put(_name(job, index), data)
            row = {"job": job.id, "position": index, "shots": shots, "header": header}
            self._database.execute(statements.SAVE_CHUNK, {**row, "data": inline, "file": file})
            (total,) = self._database.rows(statements.SHOTS_DONE, {"which": job.id})
            shots_done = int(total["shots"] or 0)
            self._database.execute(
                statements.SAVE_SHOTS, {"shots_done": shots_done, "which": job.id}
            )
        self._jobs.add(job.id)
        return shots_done

    def write_ahead(self, job: Job, index: int, data: Bytes) -> None:
        """Write a large chunk's file before ``save``; ``release`` comes after that.

        Raises:
            QuantainerError: ``storage``.
        """
        with self._database.errors():
            self._blobs.write_ahead(_name(job, index), data)

    def release(self, job: Job, index: int, *, failed: bool = False) -> None:
        """End what ``write_ahead`` began; of a chunk that ``failed`` to be saved the file goes.

        Raises:
            QuantainerError: ``storage``.
        """
        name = _name(job, index)
        self._blobs.release(name)
        if not failed:
            return
        rows = self._database.rows(statements.CHUNK_FILES, {"which": job.id})
        if all(row["file"] != name for row in rows):  # an earlier attempt may have saved it
            self._blobs.delete([name])

    def of(self, job_id: str) -> list[Chunk]:
        """Return the durable chunks of a job, in order of their index."""
        rows = self._database.rows(statements.CHUNKS, {"which": job_id})
        with self._database.errors():
            return [
                Chunk(
                    row["position"],
                    row["shots"],
                    json.loads(row["header"]),
                    self._blobs.get(row["data"], row["file"]),
                )
                for row in rows
            ]

    def has(self, job_id: str) -> bool:
        """Tell whether some shots of a job that has not ended are durable."""
        return job_id in self._jobs

    def end(self, job_id: str) -> None:
        """A job has ended without its result: its chunks stay for a time, and none are added."""
        self._jobs.discard(job_id)

    def forget(self, job_id: str, indexes: Iterable[int]) -> None:
        """Forget some chunks of a job: what they hold is measured anew."""
        dropped = set(indexes)
        rows = [
            row
            for row in self._database.rows(statements.CHUNK_FILES, {"which": job_id})
            if row["position"] in dropped
        ]
        with self._database.transaction():
            for row in rows:
                place = {"which": job_id, "position_": row["position"]}
                self._database.execute(statements.DROP_CHUNK, place)
        self._blobs.delete(row["file"] for row in rows if row["file"])

    def drop(self, job_id: str) -> list[str]:
        """Drop a job's chunks, within a transaction; return the files to delete after it."""
        if job_id not in self._jobs:
            return []
        rows = self._database.rows(statements.CHUNK_FILES, {"which": job_id})
        self._database.execute(statements.DROP_CHUNKS, {"which": job_id})
        self._jobs.discard(job_id)
        return [row["file"] for row in rows if row["file"]]


def _name(job: Job, index: int) -> str:
    return f"chunk-{job.id}-{index}"
