"""Database: one SQLite connection, its transactions, and what its errors mean to a person."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.sql import ClauseElement

from quantainer.broker.blobs import sync_directory
from quantainer.broker.schema import MIGRATIONS, VERSION, creation
from quantainer_client.errors import QuantainerError

__all__ = ["Database", "Durability", "Statement"]

Durability = Literal["normal", "full"]

_DIALECT = sqlite_dialect(paramstyle="qmark")

_FREE_SPACE = "Free some space there, or set state_dir to a directory on another disk."
_WAYS_OUT = {
    sqlite3.SQLITE_FULL: _FREE_SPACE,
    sqlite3.SQLITE_READONLY: "Make it writable for the broker's user, or set state_dir elsewhere.",
    sqlite3.SQLITE_CANTOPEN: "Make it writable for the broker's user, or set state_dir elsewhere.",
    sqlite3.SQLITE_CORRUPT: "Move it away to start afresh; 'sqlite3 FILE .recover' may save it.",
    sqlite3.SQLITE_NOTADB: "Move it away to start afresh; 'sqlite3 FILE .recover' may save it.",
    sqlite3.SQLITE_BUSY: "Another program holds it open for writing; end that program.",
    sqlite3.SQLITE_IOERR: "Look at the system log for disk errors.",
}


class Statement:
    """A statement written in SQLAlchemy Core, compiled once and bound by position."""

    def __init__(self, clause: ClauseElement) -> None:
        compiled = clause.compile(dialect=_DIALECT)
        self.sql = str(compiled)
        self._order: tuple[str, ...] = tuple(getattr(compiled, "positiontup", None) or ())
        self._fixed = {
            name: value for name, value in (compiled.params or {}).items() if value is not None
        }

    def bind(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the values in the order of the statement's placeholders."""
        if self._fixed:
            values = {**self._fixed, **values}
        return [values[name] for name in self._order]


class Database:
    """The broker's one connection for reading and writing, and a second one for checkpoints.

    Write-ahead logging. With durability ``normal`` a commit is safe once the kernel has it: it
    survives the death of any process, not of the machine. With ``full`` every commit waits for the
    disk.

    Raises:
        QuantainerError: ``storage`` if the file cannot be opened, is no database, or was written by
            a newer version.
    """

    def __init__(self, path: Path, durability: Durability) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._checkpointing = threading.Lock()
        with self.errors():
            # SQLite gives its other files the permissions of this one.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._connection = self._connect(durability)
            self._checkpoints = self._connect(durability)
            try:
                self._upgrade()
                if durability == "full":
                    sync_directory(path.parent)
            except BaseException:
                self.close()
                raise

    def _connect(self, durability: Durability) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            connection.execute("PRAGMA busy_timeout = 5000")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {durability.upper()}")
            # Checkpoints wait for the disk; they are made by another thread, see checkpoint().
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute("PRAGMA journal_size_limit = 67108864")
            connection.execute("PRAGMA temp_store = MEMORY")
        except BaseException:
            connection.close()
            raise
        return connection

    def _upgrade(self) -> None:
        with self.transaction():
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise QuantainerError(
                    "storage",
                    f"{self.path} was written by a newer Quantainer (schema {version}).",
                    limit=VERSION,
                    needed=version,
                    hint="Install that version again, or set state_dir to a new directory.",
                )
            steps = creation() if version == 0 else ()
            for older in range(version or VERSION, VERSION):
                steps = (*steps, *MIGRATIONS[older])
            for statement in steps:
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn errors of SQLite and the file system into ``QuantainerError`` ``storage``."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise self._refusal(error) from error

    def _refusal(self, error: sqlite3.Error | OSError) -> QuantainerError:
        if isinstance(error, sqlite3.Error):
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            hint = _WAYS_OUT.get(code, "The broker's log has the details.")
            return QuantainerError("storage", f"{self.path}: {error}.", hint=hint)
        where = error.filename or self.path
        reason = os.strerror(error.errno) if error.errno else str(error)
        return QuantainerError("storage", f"{where}: {reason}.", hint=_FREE_SPACE)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing: commit at the end, roll back at an error.

        Raises:
            QuantainerError: ``storage`` if it cannot be written.
        """
        connection = self._connection
        with self._lock:
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield
                connection.execute("COMMIT")
            except (sqlite3.Error, OSError) as error:
                self._roll_back()
                raise self._refusal(error) from error
            except BaseException:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def execute(self, statement: Statement, values: Mapping[str, Any]) -> int:
        """Execute a statement, as a transaction of its own unless in one; return its row count.

        Raises:
            QuantainerError: ``storage`` if it cannot be written.
        """
        with self._lock:
            try:
                return self._connection.execute(statement.sql, statement.bind(values)).rowcount
            except sqlite3.Error as error:
                raise self._refusal(error) from error

    def rows(self, statement: Statement, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the rows a query yields."""
        with self._lock, self.errors():
            cursor = self._connection.execute(statement.sql, statement.bind(values))
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def checkpoint(self) -> int:
        """Move what the log holds into the database file; return the pages left in the log.

        For a thread of its own: it waits for the disk, while transactions go on.
        """
        with self._checkpointing, self.errors():
            _, pages, moved = self._checkpoints.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            return int(pages - moved)

    def close(self) -> None:
        """Close the connections; the last one moves the log into the database file.

        A checkpoint under way comes to its end first: SQLite does not survive the other order.
        """
        with self._checkpointing, self._lock:
            self._checkpoints.close()
            self._connection.close()
