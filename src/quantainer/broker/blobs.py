"""Blobs: bytes in the row up to a limit, above it in a file, whole before the row names it.

A large file may be written ahead by a thread of its own, so that nobody waits while it goes to the
disk; the row is committed after that as ever.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable
from pathlib import Path

__all__ = ["Blobs", "Bytes"]

Bytes = bytes | bytearray | memoryview

log = logging.getLogger("quantainer.broker")

_SLOW_BYTES = 4 * 1024**2  # a few milliseconds into the page cache


class Blobs:
    """Large objects of the store.

    Args:
        directory: Where files go.
        inline_limit: Bytes up to which an object lies in its row.
        durable: Wait until the disk has files and their names.
    """

    def __init__(self, directory: Path, inline_limit: int, *, durable: bool) -> None:
        self._directory = directory
        self._inline_limit = inline_limit
        self._durable = durable
        self._ahead: dict[str, bool] = {}
        directory.mkdir(mode=0o700, exist_ok=True)

    def is_slow(self, size: int) -> bool:
        """Tell whether an object of so many bytes is better written ahead, by a thread."""
        return size > (
            self._inline_limit if self._durable else max(_SLOW_BYTES, self._inline_limit)
        )

    def write_ahead(self, name: str, data: Bytes) -> None:
        """Write an object's file before its row is; ``put`` then finds it there.

        For any thread. Until ``release`` the file is not deleted.

        Raises:
            OSError: If the file cannot be written; nothing of it is left.
        """
        self._ahead.setdefault(name, False)
        try:
            self._write(name, data)
        except BaseException:
            self._ahead.pop(name, None)
            raise
        self._ahead[name] = True

    def release(self, name: str) -> None:
        """Take back what ``write_ahead`` promised."""
        self._ahead.pop(name, None)

    def is_large(self, data: Bytes) -> bool:
        """Tell whether an object goes into a file of its own."""
        return _size(data) > self._inline_limit

    def put(self, name: str, data: Bytes) -> tuple[bytes | memoryview | None, str | None]:
        """Return what the row holds: the bytes themselves, or the name of the file written.

        Raises:
            OSError: If the file cannot be written; nothing of it is left.
        """
        if not self.is_large(data):
            return memoryview(data), None
        if not self._is_ahead(name):
            self._write(name, data)
        return None, name

    def _is_ahead(self, name: str) -> bool:
        """Tell whether a file was written ahead and no other who did so has let it go since."""
        return self._ahead.get(name, False) and (self._directory / name).exists()

    def get(self, inline: bytes | None, name: str | None) -> bytes:
        """Return the object.

        Raises:
            OSError: If its file cannot be read.
        """
        if name is None:
            return inline or b""
        return (self._directory / name).read_bytes()

    def delete(self, names: Iterable[str]) -> None:
        """Delete files that no row names any more; what cannot be goes at the next start."""
        for name in names:
            if name in self._ahead:
                continue
            try:
                (self._directory / name).unlink(missing_ok=True)
            except OSError as error:
                log.warning("not deleted: %s", error)

    def sweep(self, named: set[str]) -> int:
        """Delete what a crash left behind between file and row; return how many files."""
        orphans = [name for name in os.listdir(self._directory) if name not in named]  # noqa: PTH208
        self.delete(orphans)
        return len(orphans)

    def _write(self, name: str, data: Bytes) -> None:
        path = self._directory / name
        partial = self._directory / f"{name}.{threading.get_ident()}.part"
        try:
            with open(partial, "wb", opener=_private) as file:
                file.write(data)
                if self._durable:
                    file.flush()
                    os.fsync(file.fileno())
            partial.rename(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        if self._durable:
            sync_directory(self._directory)


def _size(data: Bytes) -> int:
    return data.nbytes if isinstance(data, memoryview) else len(data)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def sync_directory(directory: Path) -> None:
    """Wait until the disk has the names in a directory."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
