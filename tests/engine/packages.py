"""Docker Engine from a newer Debian suite: downloaded with apt, unpacked, never installed.

Docker Engine 27 and later are not in Debian 12. The binaries of newer suites run on its libc, so
they are unpacked into the cache. ``runc`` must be the distribution's own: newer builds need a
newer libc.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.host import Mirror, UnavailableError, cache, debian_mirror, run

SUITES = ("forky", "sid")
PACKAGES = ("docker.io", "docker-cli", "containerd", "tini-static", "docker-compose")


def unpacked() -> Path:
    """Return a folder with ``usr/bin/docker``, ``usr/sbin/dockerd`` and their kin."""
    root = cache() / "docker"
    with locked("docker"):
        if not (root / "complete").exists():
            _fetch(root)
    return root


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Let one test run at a time fill a part of the cache."""
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(root: Path) -> None:
    mirror = debian_mirror()
    reasons = []
    for suite in SUITES:
        shutil.rmtree(root, ignore_errors=True)
        try:
            _unpack(mirror, suite, root)
        except UnavailableError as reason:
            reasons.append(f"{suite}: {reason}")
            continue
        (root / "complete").touch()
        return
    raise UnavailableError("no Docker Engine to be had: " + "; ".join(reasons))


def _unpack(mirror: Mirror, suite: str, root: Path) -> None:
    apt = root / "apt"
    for folder in ("lists/partial", "archives/partial", "sources", "debs"):
        (apt / folder).mkdir(parents=True)
    signed = f"Signed-By: {mirror.keyring}\n" if mirror.keyring else ""
    (apt / "sources" / "suite.sources").write_text(
        f"Types: deb\nURIs: {mirror.uri}\nSuites: {suite}\nComponents: main\n{signed}"
    )
    options = [
        f"Dir::State::lists={apt}/lists",
        "Dir::Etc::sourcelist=/dev/null",
        f"Dir::Etc::sourceparts={apt}/sources",
        f"Dir::Cache={apt}",
        "APT::Sandbox::User=root",
        "Acquire::Retries=3",
    ]
    flags = [word for option in options for word in ("-o", option)]
    run("apt-get", *flags, "update")
    run("apt-get", *flags, "download", *PACKAGES, cwd=apt / "debs")
    for deb in (apt / "debs").glob("*.deb"):
        run("dpkg-deb", "-x", deb, root)
    shutil.rmtree(apt)
