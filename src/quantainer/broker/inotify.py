"""Inotify: the kernel's news of files, for an asyncio loop. Linux, by way of the C library."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from pathlib import Path

__all__ = ["IN_DELETE", "IN_MODIFY", "Inotify"]

IN_MODIFY = 0x2
IN_DELETE = 0x200

_EVENT = struct.Struct("iIII")

_libc = ctypes.CDLL(None, use_errno=True)


class Inotify:
    """One inotify instance: watches by number, events as ``(watch, name)``.

    Raises:
        OSError: If the user has too many instances.
    """

    def __init__(self) -> None:
        self._fd = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when there is news."""
        return self._fd

    def add(self, path: Path, mask: int) -> int:
        """Watch a file or directory and return the number of the watch.

        Raises:
            OSError: If it does not exist, or the user has too many watches.
        """
        return _checked(_libc.inotify_add_watch(self._fd, os.fsencode(path), mask))

    def remove(self, watch: int) -> None:
        """End a watch; one that ended by itself is no error."""
        _libc.inotify_rm_watch(self._fd, watch)

    def read(self) -> Iterator[tuple[int, str]]:
        """Yield the watch, and for a directory the name in it, of each event there is."""
        while True:
            try:
                buffer = os.read(self._fd, 65536)
            except BlockingIOError:
                return
            offset = 0
            while offset < len(buffer):
                watch, _, _, length = _EVENT.unpack_from(buffer, offset)
                offset += _EVENT.size
                name = buffer[offset : offset + length].rstrip(b"\0")
                offset += length
                yield watch, os.fsdecode(name)

    def close(self) -> None:
        """End every watch."""
        os.close(self._fd)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
