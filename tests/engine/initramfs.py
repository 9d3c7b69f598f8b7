"""Initramfs: a root file system that a kernel unpacks into memory, written as cpio ("newc").

Source: Documentation/driver-api/early-userspace/buffer-format.rst of the Linux kernel.
"""

from __future__ import annotations

import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Initramfs"]

# A guest for tests has no use for them, and each MiB costs time under emulation.
_WASTE = (
    "usr/share/perl",
    "usr/share/zoneinfo/",
    "usr/share/man/",
    "usr/share/i18n/",
    "var/",
    "usr/lib/x86_64-linux-gnu/gconv/",
    "usr/lib/x86_64-linux-gnu/perl",
    "usr/lib/systemd/",
)


class Initramfs:
    """A cpio archive that grows; usable as a context manager, which ends it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._inode = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._entry("TRAILER!!!", 0)
        self._file.close()

    def add(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Add a file, and the folders that hold it."""
        folders = [str(folder) for folder in Path(path).parents][:-1]
        for folder in reversed(folders):
            self._entry(folder, stat.S_IFDIR | 0o755)
        self._entry(path, stat.S_IFREG | mode, content)

    def add_tree(self, root: Path, target: str, *suffixes: str) -> None:
        """Add the files of a tree that end in one of the suffixes."""
        for file in sorted(root.rglob("*")):
            if file.suffix in suffixes and file.is_file():
                self.add(f"{target}/{file.relative_to(root)}", file.read_bytes())

    def add_tar(self, path: Path) -> None:
        """Add folders, files and symbolic links of a root file system kept as tar."""
        with tarfile.open(path) as tar:
            for name, mode, content in _entries(tar):
                self._entry(name, mode, content)

    def _entry(self, name: str, mode: int, content: bytes = b"") -> None:
        self._inode += 1
        encoded = name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = (self._inode, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        for part in (header + encoded, content):
            self._file.write(part + bytes(-len(part) % 4))


def _entries(tar: tarfile.TarFile) -> Iterator[tuple[str, int, bytes]]:
    for member in tar:
        name = member.name.removeprefix("./")
        if name in ("", ".") or name.startswith(_WASTE):
            continue
        if member.isdir():
            yield name, stat.S_IFDIR | member.mode, b""
        elif member.issym():
            yield name, stat.S_IFLNK | 0o777, member.linkname.encode()
        elif member.isfile() or member.islnk():
            source = tar.extractfile(member)
            yield name, stat.S_IFREG | member.mode, source.read() if source else b""
