"""Base images without a registry: Debian 12 with Python 3.11, made by debootstrap, kept as tar."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from engine.host import cache, debian_mirror, run
from engine.packages import locked

SUITE = "bookworm"
NAME = "quantainer-test/base"


def tarball(*more: str) -> Path:
    """Return the root file system, with more packages where named, as a tar file."""
    path = cache() / f"{'-'.join([SUITE, 'python', *more])}.tar"
    with locked(path.name):
        if not path.exists():
            _build(path, ["python3", *more])
    return path


def _build(path: Path, packages: list[str]) -> None:
    work = Path(tempfile.mkdtemp(prefix="quantainer-base-"))
    try:
        root = work / "root"
        run(
            "debootstrap",
            "--variant=minbase",
            f"--include={','.join(packages)}",
            SUITE,
            root,
            debian_mirror().uri,
        )
        for waste in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
            shutil.rmtree(root / waste, ignore_errors=True)
        for sources in (root / "etc/apt").glob("sources.list*"):
            if sources.is_file():
                sources.write_text("")
        partial = path.with_suffix(".partial")
        exclude = [f"--exclude=./{folder}/*" for folder in ("proc", "sys", "dev")]
        run("tar", "-C", root, "--numeric-owner", *exclude, "-cf", partial, ".")
        os.replace(partial, path)  # noqa: PTH105 - atomic, and named so
    finally:
        shutil.rmtree(work, ignore_errors=True)
