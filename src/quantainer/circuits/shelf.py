"""Shelf: compiled templates in a directory, shared by the workers of a node.

A file holds one template and is written by rename, so that a reader sees all of it or nothing. The
directory belongs to the broker's user alone; files hold numbers and names, never code.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from quantainer.circuits.template import Template

__all__ = ["Shelf"]

_SUFFIX = ".template"


class Shelf:
    """A bounded directory of templates; the least recently used go first."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory, self._max_bytes = directory, max_bytes

    def read(self, structure: bytes, target: str, options: tuple[int, ...]) -> Template | None:
        """Return a template, or ``None`` if there is none that can be read."""
        path = self._path(structure, target, options)
        try:
            template = Template.from_bytes(path.read_bytes())
        except FileNotFoundError:
            return None
        except Exception:  # cut off by a full disk, or of another version
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)
        return template

    def write(
        self, structure: bytes, target: str, options: tuple[int, ...], template: Template
    ) -> None:
        """Keep a template; a directory that cannot be written is no fault of the circuit."""
        path = self._path(structure, target, options)
        with suppress(OSError):
            handle, temporary = tempfile.mkstemp(dir=self._directory, suffix=".part")
            with os.fdopen(handle, "wb") as file:
                file.write(template.to_bytes())
            Path(temporary).replace(path)
            self._make_room()

    def forget(self, target: str) -> None:
        """Drop all templates for a target of that digest."""
        for path in self._directory.glob(f"{target}-*{_SUFFIX}"):
            path.unlink(missing_ok=True)

    def _path(self, structure: bytes, target: str, options: tuple[int, ...]) -> Path:
        rest = blake2b(structure + repr(options).encode(), digest_size=16).hexdigest()
        return self._directory / f"{target}-{rest}{_SUFFIX}"

    def _make_room(self) -> None:
        files = []
        for path in self._directory.iterdir():
            with suppress(FileNotFoundError):
                facts = path.stat()
                files.append((facts.st_mtime_ns, facts.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self._max_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size
