"""State lock: one broker writes one state directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from quantainer_client.errors import QuantainerError

__all__ = ["StateLock"]


class StateLock:
    """An exclusive lock on a directory; the kernel drops it when the process ends, however it does.

    A record lock: unlike ``flock`` it is not shared with forked workers, so a worker that outlives
    its broker does not keep the next broker out.
    """

    _held_here: set[Path] = set()  # noqa: RUF012 - record locks do not exclude their own process

    def __init__(self, directory: Path) -> None:
        """Take the lock.

        Raises:
            QuantainerError: ``storage`` if another broker holds it.
            OSError: If the lock file cannot be written.
        """
        self._path = directory.resolve() / "broker.lock"
        if self._path in self._held_here:
            raise self._refusal(directory, str(os.getpid()))
        self._file: int | None = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._file, 32, 0).decode("ascii", "replace").strip()
            os.close(self._file)
            raise self._refusal(directory, holder) from None
        self._held_here.add(self._path)
        with contextlib.suppress(OSError):  # a full disk; the lock holds without the name in it
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    @staticmethod
    def _refusal(directory: Path, holder: str) -> QuantainerError:
        return QuantainerError(
            "storage",
            f"Another broker (process {holder or 'unknown'}) uses the state directory {directory}.",
            hint="Stop it with 'quantainer down', or set state_dir to another directory.",
        )

    def release(self) -> None:
        """Give the lock back, once."""
        if self._file is None:
            return
        self._held_here.discard(self._path)
        os.close(self._file)
        self._file = None
