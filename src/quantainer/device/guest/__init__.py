"""What a container gets mounted: the client package and the ``sitecustomize`` beside it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import py_compile
import shutil
import sys
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
    content = _content()
    target = parent / _digest(content)
    if target.exists():
        return target
    parent.mkdir(parents=True, exist_ok=True)
    parent.chmod(0o755)
    work = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
    try:
        for name, data in content.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_bytes(data)
        _compile(work)
        _open_to_all(work)
        try:
            work.rename(target)
        except OSError:
            if not target.is_dir():
                raise
            # Another process was quicker with the same content.
        return target
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _content() -> dict[str, bytes]:
    """Return the files by their names in the folder."""
    package = Path(quantainer_client.__file__).parent
    sources = [path for path in sorted(package.rglob("*")) if path.is_file()]
    found = {
        f"{package.name}/{path.relative_to(package)}": path.read_bytes()
        for path in sources
        if "__pycache__" not in path.parts
    }
    found["sitecustomize.py"] = Path(__file__).with_name("sitecustomize.py").read_bytes()
    # What makes entry points (PennyLane's devices) visible in the container.
    distribution = importlib.metadata.distribution("quantainer-client")
    for name in _METADATA:
        text = distribution.read_text(name)
        if text is not None:
            found[f"quantainer_client-{distribution.version}.dist-info/{name}"] = text.encode()
    return found


def _digest(content: dict[str, bytes]) -> str:
    total = hashlib.blake2b(sys.implementation.cache_tag.encode(), digest_size=8)
    for name, data in sorted(content.items()):
        total.update(f"{name}\0{len(data)}\0".encode() + data)
    return total.hexdigest()


def _compile(folder: Path) -> None:
    """Compile ahead: the mount is read-only, so Python could not keep what it compiles."""
    for source in folder.rglob("*.py"):
        py_compile.compile(
            str(source),
            dfile=f"{FOLDER}/{source.relative_to(folder)}",
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


def _open_to_all(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
