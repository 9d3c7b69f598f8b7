"""Statements: what the store asks of its tables, compiled once.

``which`` names the row: a parameter must not bear the name of a column that is set.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, delete, func, insert, null, select, union_all, update
from sqlalchemy.dialects.sqlite import insert as upsert

from quantainer.broker import schema
from quantainer.broker.database import Statement
from quantainer.core.lease import LeaseState

_leases, _jobs, _payloads = schema.leases, schema.jobs, schema.payloads
_results, _chunks, _totals = schema.results, schema.chunks, schema.totals

_CHANGING = ("state", "attempt", "worker_deaths", "shots_done", "result_kept", "finished_at")
_CHANGES: dict[str, Any] = {name: bindparam(name) for name in (*_CHANGING, "error")}
_live = (_jobs.c.id == bindparam("which")) & _jobs.c.finished_at.is_(None)

_lease_insert = upsert(_leases)
SAVE_LEASE = Statement(
    _lease_insert.on_conflict_do_update(
        index_elements=["id"],
        set_={c.name: c for c in _lease_insert.excluded if c.name != "id"},
    )
)
OPEN_LEASES = Statement(
    select(_leases)
    .where(_leases.c.state != bindparam("ended", LeaseState.ENDED.value))
    .order_by(_leases.c.created_at)
)
ADD_JOB = Statement(insert(_jobs))
SAVE_JOB = Statement(update(_jobs).where(_live).values(_CHANGES))
CHANGE_ATTEMPT = Statement(
    update(_jobs).where(_live & (_jobs.c.attempt <= bindparam("present"))).values(_CHANGES)
)
SAVE_SHOTS = Statement(update(_jobs).where(_live).values(shots_done=bindparam("shots_done")))
LIVE_JOBS = Statement(select(_jobs).where(_jobs.c.finished_at.is_(None)))
JOB = Statement(select(_jobs).where(_jobs.c.id == bindparam("which")))
_latest = (
    select(_jobs)
    .where(_jobs.c.sequence < bindparam("below_"))
    .order_by(_jobs.c.sequence.desc())
    .limit(bindparam("limit_"))
)
JOBS = Statement(_latest)
JOBS_OF_TENANT = Statement(_latest.where(_jobs.c.tenant == bindparam("tenant_")))
ADD_PAYLOAD = Statement(upsert(_payloads).on_conflict_do_nothing())
PAYLOAD = Statement(select(_payloads).where(_payloads.c.digest == bindparam("which")))
_open_job = select(
    _jobs.c.sequence,
    *(bindparam(name) for name in ("attempt", "size", "stored_at", "header", "data", "file")),
).where(_live & (_jobs.c.attempt <= bindparam("present")))
ADD_RESULT = Statement(
    upsert(_results)
    .from_select([column.name for column in _results.c], _open_job)
    .on_conflict_do_nothing()
)
_of_job = _jobs.c.sequence == _results.c.job
RESULT = Statement(
    select(_results.c.header, _results.c.data, _results.c.file, _jobs.c.state)
    .join(_jobs, _of_job)
    .where(_jobs.c.id == bindparam("which"))
)
_unwritten = _of_job & _jobs.c.finished_at.is_(None) & (_jobs.c.result_kept == 0)
UNWRITTEN_ENDS = Statement(select(func.sum(_results.c.size).label("size")).join(_jobs, _unwritten))
WRITE_ENDS = Statement(
    update(_jobs)
    .where(_unwritten)
    .values(
        state=bindparam("done"),
        attempt=_results.c.attempt,
        shots_done=_jobs.c.shots,
        finished_at=_results.c.stored_at,
        error=null(),
    )
)
SIZE = Statement(
    select(_results.c.size).join(_jobs, _of_job).where(_jobs.c.id == bindparam("which"))
)
_total = upsert(_totals).values(name="result_bytes", value=bindparam("bytes_"))
ADD_BYTES = Statement(
    _total.on_conflict_do_update(
        index_elements=["name"], set_={"value": _totals.c.value + _total.excluded.value}
    )
)
_set_total = upsert(_totals).values(name=bindparam("total"), value=bindparam("set_to"))
SET_TOTAL = Statement(
    _set_total.on_conflict_do_update(
        index_elements=["name"], set_={"value": _set_total.excluded.value}
    )
)
_chunk_insert = upsert(_chunks)
SAVE_CHUNK = Statement(
    _chunk_insert.on_conflict_do_update(
        index_elements=["job", "position"],
        set_={name: _chunk_insert.excluded[name] for name in ("shots", "header", "data", "file")},
    )
)
CHUNKS = Statement(
    select(_chunks).where(_chunks.c.job == bindparam("which")).order_by(_chunks.c.position)
)
CHUNK_FILES = Statement(
    select(_chunks.c.position, _chunks.c.file).where(_chunks.c.job == bindparam("which"))
)
CHUNKED = Statement(select(_chunks.c.job).distinct())
DROP_CHUNKS = Statement(delete(_chunks).where(_chunks.c.job == bindparam("which")))
DROP_CHUNK = Statement(
    delete(_chunks).where(
        (_chunks.c.job == bindparam("which")) & (_chunks.c.position == bindparam("position_"))
    )
)
SHOTS_DONE = Statement(
    select(func.sum(_chunks.c.shots).label("shots")).where(_chunks.c.job == bindparam("which"))
)
FILES = Statement(
    union_all(
        *(
            select(table.c.file).where(table.c.file.is_not(None))
            for table in (_payloads, _results, _chunks)
        )
    )
)
