"""Schema: the tables of the store, their version, and the steps from older versions."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.schema import CreateIndex, CreateTable

__all__ = [
    "MIGRATIONS",
    "VERSION",
    "chunks",
    "creation",
    "jobs",
    "leases",
    "payloads",
    "results",
    "totals",
]

VERSION = 4

MIGRATIONS: dict[int, tuple[str, ...]] = {
    1: (
        "ALTER TABLE leases ADD COLUMN pid_namespace INTEGER",
        "ALTER TABLE chunks ADD COLUMN header TEXT NOT NULL DEFAULT '[]'",
        "CREATE INDEX IF NOT EXISTS lease_ages ON leases (created_at)",
        "CREATE INDEX IF NOT EXISTS result_sizes ON results (size)",
    ),
    2: (
        "DROP INDEX result_sizes",
        "ALTER TABLE results RENAME TO older_results",
        "CREATE TABLE results (job INTEGER NOT NULL PRIMARY KEY, attempt INTEGER NOT NULL,"
        " size INTEGER NOT NULL, stored_at FLOAT NOT NULL, header TEXT NOT NULL, data BLOB,"
        " file TEXT)",
        "INSERT INTO results SELECT jobs.sequence, jobs.attempt, size, stored_at, header, data,"
        " file FROM older_results JOIN jobs ON jobs.id = older_results.job",
        "DROP TABLE older_results",
        "CREATE TABLE totals (name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL)",
        "INSERT INTO totals SELECT 'result_bytes', coalesce(sum(size), 0) FROM results"
        " JOIN jobs ON jobs.sequence = results.job WHERE jobs.finished_at IS NOT NULL",
    ),
    3: ("ALTER TABLE leases ADD COLUMN born TEXT",),
}
"""From each older version, the statements that lead to the next one."""

metadata = MetaData()

leases = Table(
    "leases",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("anchor_kind", Text, nullable=False),
    Column("anchor_value", Text, nullable=False),
    Column("backends", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("limits", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("container", Text),
    Column("image", Text),
    Column("annotations", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("pid_namespace", Integer),
    Column("born", Text),
    Column("created_at", Float, nullable=False),
)

Index("lease_ages", leases.c.created_at)

jobs = Table(
    "jobs",
    metadata,
    Column("sequence", Integer, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("lease", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("backend", Text, nullable=False),
    Column("shots", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("payload_digest", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("worker_deaths", Integer, nullable=False),
    Column("timeout", Float),
    Column("memory_bytes", Integer, nullable=False),
    Column("submitted_at", Float, nullable=False),
    Column("finished_at", Float),
    Column("shots_done", Integer, nullable=False),
    Column("result_kept", Integer, nullable=False),
    Column("error", Text),
)
Index("jobs_of_tenant", jobs.c.tenant, jobs.c.sequence)
Index("live_jobs", jobs.c.payload_digest, sqlite_where=jobs.c.finished_at.is_(None))

payloads = Table(
    "payloads",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("data", LargeBinary),
    Column("file", Text),
)

# Where there is a row, the job is DONE, though its own row may say so a moment later: see
# ``Store.commit_result``. Only of a paused container it waits (``jobs.result_kept``).
results = Table(
    "results",
    metadata,
    Column("job", Integer, primary_key=True),  # the job's sequence
    Column("attempt", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("stored_at", Float, nullable=False),
    Column("header", Text, nullable=False),
    Column("data", LargeBinary),
    Column("file", Text),
)

# ``result_bytes``: of all results whose job's row has ended. ``ages_from``: when somebody last set
# the clock, seconds; what is older cannot be told by its age.
totals = Table(
    "totals",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Integer, nullable=False),
)

chunks = Table(
    "chunks",
    metadata,
    Column("job", Text, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("shots", Integer, nullable=False),
    Column("header", Text, nullable=False),
    Column("data", LargeBinary),
    Column("file", Text),
)


def creation() -> list[str]:
    """Return the statements that make an empty store."""
    dialect = sqlite_dialect()
    out = []
    for table in metadata.sorted_tables:
        out.append(str(CreateTable(table).compile(dialect=dialect)))
        out += [str(CreateIndex(index).compile(dialect=dialect)) for index in table.indexes]
    return out
