"""What a container gets mounted: the client package and the ``sitecustomize`` beside it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import py_compile
import shutil
import tempfile
from pathlib import Path

import quantainer_client

__all__ = ["FOLDER", "install"]

FOLDER = "/opt/quantainer"
"""Where the container sees it."""

_METADATA = ("METADATA", "entry_points.txt")


def install(parent: Path) -> Path:
    """Write the container's side into a folder below ``parent`` and return the folder.

    Its name is the digest of what it holds: the same content is written once, and containers that
    run keep the folder they have mounted when a newer version arrives. Files are readable for
    every user whatever the umask, and compiled for this Python version.

    Raises:
        OSError: If the folder cannot be written.
    """
    parent.mkdir(parents=True, exist_ok=True)
    parent.chmod(0o755)
    work = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
    try:
        _fill(work)
        target = parent / _digest(work)
        if not target.exists():
            _open_to_all(work)
            work.rename(target)
        return target
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _digest(folder: Path) -> str:
    total = hashlib.blake2b(digest_size=8)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()


def _fill(folder: Path) -> None:
    package = Path(quantainer_client.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, folder / package.name, ignore=ignored)
    shutil.copyfile(Path(__file__).with_name("sitecustomize.py"), folder / "sitecustomize.py")
    _copy_metadata(folder)
    for source in folder.rglob("*.py"):
        # The mount is read-only, so Python could not keep what it compiles.
        py_compile.compile(
            str(source),
            dfile=f"{FOLDER}/{source.relative_to(folder)}",
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


def _copy_metadata(folder: Path) -> None:
    """Copy what makes entry points (PennyLane's devices) visible in the container."""
    distribution = importlib.metadata.distribution("quantainer-client")
    info = folder / f"quantainer_client-{distribution.version}.dist-info"
    info.mkdir()
    for name in _METADATA:
        text = distribution.read_text(name)
        if text is not None:
            (info / name).write_text(text, encoding="utf-8")


def _open_to_all(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
