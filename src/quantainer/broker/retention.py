"""Retention: how long what has ended is kept, and the removal of the rest.

Nothing of a job that has not ended is ever removed. A job's row outlives its result, so that its
owner is told that the result is gone and not that the job never was.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import bindparam, delete, exists, select

from quantainer.broker import schema, statements
from quantainer.broker.database import Statement
from quantainer.broker.store import Store
from quantainer.broker.wallclock import WallClock
from quantainer.core.lease import LeaseState

__all__ = ["Retention", "prune", "prune_by_clock"]

log = logging.getLogger("quantainer")

_BATCH = 100
_DAY = 86_400.0
_AGES_FROM = "ages_from"


@dataclass(frozen=True, slots=True)
class Retention:
    """Limits of what is kept.

    Attributes:
        results_age: Seconds that results, and shots of jobs that were cancelled, are kept.
        results_bytes: Bytes of results that are kept; the oldest go first.
        jobs_age: Seconds that rows of ended jobs and leases are kept.
    """

    results_age: float = 7 * _DAY
    results_bytes: int = 10 * 2**30
    jobs_age: float = 30 * _DAY


def prune_by_clock(store: Store, retention: Retention, clock: WallClock) -> bool:
    """Remove a batch, as :func:`prune` does, unless the clock was set.

    What was there before is then of unknown age, and taken to be new. So it is where the clock was
    said to be set at a time that has not come yet: it was set back while no broker was there.

    Raises:
        QuantainerError: ``storage``.
    """
    if clock.has_jumped() or _total(store, _AGES_FROM) > clock.now():
        log.warning("the clock was set: nothing is removed by its age for a while")
        _doubt_ages(store, clock.now())
        clock.trust()  # not before it is written: else a full disk would have results removed
    return prune(store, retention, clock.now())


def _doubt_ages(store: Store, now: float) -> None:
    store.flush()
    with store.database.transaction():
        store.database.execute(statements.SET_TOTAL, {"total": _AGES_FROM, "set_to": int(now)})


def prune(store: Store, retention: Retention, now: float) -> bool:
    """Remove a batch of what is kept no longer; tell whether there may be more.

    Short enough for the loop; call it again later while it returns True. Only the oldest rows are
    looked at, so that its time does not grow with the store.

    Raises:
        QuantainerError: ``storage``.
    """
    store.flush()
    known = now - _total(store, _AGES_FROM)
    results_age = retention.results_age if known >= retention.results_age else math.inf
    jobs_age = retention.jobs_age if known >= retention.jobs_age else math.inf
    retention = replace(retention, results_age=results_age, jobs_age=jobs_age)
    results_before = {"before": now - retention.results_age, "batch": _BATCH}
    jobs_before = {"before": now - retention.jobs_age, "batch": _BATCH}
    with store.database.transaction():
        removed = [
            _remove_results(store, _spent_results(store, retention, now)),
            _remove(store, _REMOVE_CHUNK, store.database.rows(_OLD_CHUNKS, results_before)),
            _remove(
                store, _REMOVE_PAYLOAD, store.database.rows(_UNUSED_PAYLOADS, {"batch": _BATCH})
            ),
            _remove(store, _REMOVE_JOB, store.database.rows(_OLD_JOBS, jobs_before)),
            _remove(store, _REMOVE_LEASE, store.database.rows(_OLD_LEASES, jobs_before)),
        ]
    store.forget(
        payloads=[row["key"] for row in removed[2]],
        files=[row["file"] for rows in removed[:3] for row in rows if row["file"]],
    )
    return max(map(len, removed)) >= _BATCH


def _remove(store: Store, removal: Statement, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for row in rows:
        store.database.execute(removal, row)
    return rows


def _remove_results(store: Store, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    freed = sum(row["size"] for row in rows)
    store.database.execute(statements.ADD_BYTES, {"bytes_": -freed})
    return _remove(store, _REMOVE_RESULT, rows)


def _spent_results(store: Store, retention: Retention, now: float) -> list[dict[str, Any]]:
    """Return the oldest results that are too old, or too much."""
    excess = _total(store, "result_bytes") - retention.results_bytes
    spent = []
    for row in store.database.rows(_OLDEST_RESULTS, {"batch": _BATCH}):
        if row["stored_at"] >= now - retention.results_age and excess <= 0:
            break
        spent.append(row)
        excess -= row["size"]
    return spent


def _total(store: Store, name: str) -> int:
    (row,) = store.database.rows(_TOTAL, {"total": name}) or ({"value": 0},)
    return int(row["value"])


_jobs, _results, _chunks = schema.jobs, schema.results, schema.chunks
_payloads, _leases, _totals = schema.payloads, schema.leases, schema.totals
_batch: Any = bindparam("batch")
_before: Any = bindparam("before")
_key: Any = bindparam("key")

_TOTAL = Statement(select(_totals.c.value).where(_totals.c.name == bindparam("total")))
_OLDEST_RESULTS = Statement(
    select(_results.c.job.label("key"), _results.c.file, _results.c.size, _results.c.stored_at)
    .join(_jobs, _jobs.c.sequence == _results.c.job)
    .where(_jobs.c.finished_at.is_not(None))
    .order_by(_results.c.job)
    .limit(_batch)
)
_REMOVE_RESULT = Statement(delete(_results).where(_results.c.job == _key))

_OLD_CHUNKS = Statement(
    select(_chunks.c.job.label("key"), _chunks.c.position, _chunks.c.file)
    .join(_jobs, _jobs.c.id == _chunks.c.job)
    .where(_jobs.c.finished_at < _before)
    .limit(_batch)
)
_REMOVE_CHUNK = Statement(
    delete(_chunks).where(_chunks.c.job == _key, _chunks.c.position == bindparam("position"))
)

_UNUSED_PAYLOADS = Statement(
    select(_payloads.c.digest.label("key"), _payloads.c.file)
    .where(
        _payloads.c.digest.not_in(
            select(_jobs.c.payload_digest).where(_jobs.c.finished_at.is_(None))
        )
    )
    .limit(_batch)
)
_REMOVE_PAYLOAD = Statement(delete(_payloads).where(_payloads.c.digest == _key))

_oldest_jobs = (
    select(_jobs.c.sequence, _jobs.c.id, _jobs.c.finished_at)
    .order_by(_jobs.c.sequence)
    .limit(_batch)
    .subquery()
)
_OLD_JOBS = Statement(
    select(_oldest_jobs.c.sequence.label("key"))
    .where(_oldest_jobs.c.finished_at < _before)
    .where(~exists().where(_results.c.job == _oldest_jobs.c.sequence))
    .where(~exists().where(_chunks.c.job == _oldest_jobs.c.id))
)
_REMOVE_JOB = Statement(delete(_jobs).where(_jobs.c.sequence == _key))

_OLD_LEASES = Statement(
    select(_leases.c.id.label("key"))
    .where(_leases.c.created_at < _before, _leases.c.state == LeaseState.ENDED.value)
    .order_by(_leases.c.created_at)
    .limit(_batch)
)
_REMOVE_LEASE = Statement(delete(_leases).where(_leases.c.id == _key))
