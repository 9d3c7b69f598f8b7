"""Shelf: compiled circuits in a directory, shared by the workers of a node.

A file holds one template, or one circuit that has none, and is written by rename, so that a reader
sees all of it or nothing. The directory belongs to the broker's user alone; files hold numbers and
names, never code. What no job ran with yet has an empty file beside it, which the first takes away.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

from quantainer.circuits.exact import Exact
from quantainer.circuits.template import Template

__all__ = ["Shelf"]

_SUFFIX = ".template"
_UNUSED = ".unused"
_SUM_BYTES = 16
_LOOKS = 16
_VERSIONS = (version("quantainer"), version("qiskit"))
"""What was compiled by others may differ, and one seed gives one outcome."""


class Shelf:
    """A bounded directory of compiled circuits; the least recently used go first."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        with suppress(OSError):  # then nothing is shared
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory, self._max_bytes = directory, max_bytes
        self._looked = False
        self._held = self._written = 0

    def read(
        self, structure: bytes, target: str, options: tuple[int, ...]
    ) -> Template | Exact | None:
        """Return what was compiled, or ``None`` if there is nothing that can be read."""
        path = self._path(structure, target, options)
        try:
            data = _checked(path.read_bytes())
            kind = Exact if data.startswith(Exact.MAGIC) else Template
            found: Template | Exact = kind.from_bytes(data)
        except FileNotFoundError:
            return None
        except Exception:  # cut off by a full disk or a loss of power
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)
        return found

    def write(
        self,
        structure: bytes,
        target: str,
        options: tuple[int, ...],
        made: Template | Exact,
        *,
        used: bool = True,
    ) -> None:
        """Keep what was compiled; a directory that cannot be written is no fault of the circuit."""
        path = self._path(structure, target, options)
        with suppress(OSError):
            handle, temporary = tempfile.mkstemp(dir=self._directory, suffix=".part")
            with os.fdopen(handle, "wb") as file:
                data = made.to_bytes()
                file.write(_sum(data) + data)
            if not used:
                path.with_suffix(_UNUSED).touch(mode=0o600)
            Path(temporary).replace(path)
            self._written += _SUM_BYTES + len(data)
            if self._may_be_full():
                self._make_room()

    def holds(self, structure: bytes, target: str, options: tuple[int, ...]) -> bool:
        """Tell whether it was compiled."""
        return self._path(structure, target, options).exists()

    def take(self, structure: bytes, target: str, options: tuple[int, ...]) -> bool:
        """Tell whether nobody used it before; from now on somebody has."""
        try:
            self._path(structure, target, options).with_suffix(_UNUSED).unlink()
        except OSError:
            return False
        return True

    def forget(self, target: str) -> None:
        """Drop all that was compiled for a target of that digest."""
        for path in self._directory.glob(f"{target}-*"):
            path.unlink(missing_ok=True)

    def _path(self, structure: bytes, target: str, options: tuple[int, ...]) -> Path:
        rest = blake2b(structure + repr((options, _VERSIONS)).encode(), digest_size=16).hexdigest()
        return self._directory / f"{target}-{rest}{_SUFFIX}"

    def _may_be_full(self) -> bool:
        """Tell whether to look: looking at every file each time would cost more than compiling.

        Others write too, so it is looked at again after a share of the bound in any case.
        """
        return (
            not self._looked
            or self._held + self._written > self._max_bytes
            or self._written > self._max_bytes // _LOOKS
        )

    def _make_room(self) -> None:
        files = []
        for path in self._directory.iterdir():
            with suppress(FileNotFoundError):
                facts = path.stat()
                files.append((facts.st_mtime_ns, facts.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self._max_bytes:
                break
            path.unlink(missing_ok=True)
            path.with_suffix(_UNUSED).unlink(missing_ok=True)
            total -= size
        self._looked, self._held, self._written = True, total, 0


def _sum(data: bytes) -> bytes:
    return blake2b(data, digest_size=_SUM_BYTES).digest()


def _checked(data: bytes) -> bytes:
    """Return what follows the checksum: a file that lost a page must not give a wrong angle."""
    found, rest = data[:_SUM_BYTES], data[_SUM_BYTES:]
    if found != _sum(rest):
        raise ValueError("the checksum is wrong")
    return rest
