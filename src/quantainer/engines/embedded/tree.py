"""The file tree of an embedded container: what an image name means, and the mounts that make it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from quantainer.device import guest
from quantainer_client.errors import QuantainerError

__all__ = ["Tree", "resolve"]

HOST = "host"
_QUANTUM_SIM = re.compile(r"(?:.*/)?(?:[\w.-]+:)?[\w.-]*quantum-sim(?::[\w.-]+)?")

_SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
# Of the host's /etc only what programs need to start; no accounts, keys or configuration.
_ETC = (
    *("alternatives", "fonts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime"),
    *("mime.types", "os-release", "protocols", "services", "ssl/certs", "timezone"),
)
_MADE_ANEW = frozenset({"dev", "proc", "run", "sys", "tmp"})
_OPENED = frozenset({"opt", "var"})
"""Folders in which mount points are needed, so that their entries are mounted one by one."""

_CLIENT_ELSEWHERE = "/run/quantainer/client"
"""Where the client goes if this host's Python lies where containers have it."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Tree:
    """A container's file tree.

    Attributes:
        mounts: Arguments of ``bwrap`` that make it.
        path: ``PATH`` in it.
        command: What runs if the user names no command.
        accounts: It needs a user database made for it.
        client: Where the client package is mounted.
        note: Said to the user where the tree is not what the name suggests.
    """

    mounts: tuple[str, ...]
    path: str = _PATH
    command: tuple[str, ...] = ("/bin/sh",)
    accounts: bool = False
    client: str = guest.FOLDER
    note: str | None = None


def resolve(image: str) -> Tree:
    """Return the tree that an image name means to this engine.

    ``host`` is this host's system and Python; a path is a folder with a root file system; the
    quantum-sim image is this host's Python, which holds the same packages.

    Raises:
        QuantainerError: ``bad_request`` for a name that only an engine with images can have.
    """
    if image == HOST:
        return _host(None)
    if "/" in image and Path(image).is_dir():
        return _folder(Path(image).resolve())
    if image.startswith(("/", "./", "../")):
        raise QuantainerError("bad_request", f"There is no folder {image}.")
    if _QUANTUM_SIM.fullmatch(image):
        return _host(
            f"quantainer: the embedded engine has no images: {image} is this host's Python "
            f"({sys.prefix}).\n"
        )
    raise QuantainerError(
        "bad_request",
        f"The embedded engine has no images, so it cannot run {image!r}.",
        hint=(
            "Name a folder with a root file system (./rootfs), or 'host' for this host's own "
            "system and Python; or install Docker 27 or later, or Podman."
        ),
    )


def _host(note: str | None) -> Tree:
    words = [word for name in _SYSTEM for word in _bind(Path("/", name))]
    for name in _ETC:
        words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    prefixes = _python_folders()
    for prefix in prefixes:
        words += ["--ro-bind", prefix, prefix]
    path = f"{sys.prefix}/bin:{_PATH}"
    client = _client_beside(prefixes)
    return Tree(tuple(words), path, ("python3",), accounts=True, client=client, note=note)


def _python_folders() -> list[str]:
    """Return the folders of this Python that lie outside the system's."""
    executable = os.path.realpath(sys.executable)
    folders = {sys.prefix, sys.base_prefix, str(Path(executable).parent.parent)}
    outside = sorted(folder for folder in folders if not f"{folder}/".startswith("/usr/"))
    return [
        folder for folder in outside if not any(folder.startswith(f"{other}/") for other in outside)
    ]


def _client_beside(prefixes: list[str]) -> str:
    """Return where the client may be mounted without hiding a Python, or lying within one."""
    usual = Path(guest.FOLDER)
    for prefix in map(Path, prefixes):
        if prefix.is_relative_to(usual) or usual.is_relative_to(prefix):
            return _CLIENT_ELSEWHERE
    return guest.FOLDER


def _folder(root: Path) -> Tree:
    if not any((root / shell).is_file() for shell in ("bin/sh", "usr/bin/sh", "bin/busybox")):
        raise QuantainerError(
            "bad_request",
            f"{root} holds no root file system: there is no bin/sh in it.",
            hint="Make one with debootstrap, or unpack one with `docker export`.",
        )
    return Tree(tuple(_entries(root, Path("/"))))


def _entries(source: Path, target: Path) -> Iterator[str]:
    for entry in sorted(source.iterdir()):
        if target == Path("/") and entry.name in _MADE_ANEW:
            continue
        if target == Path("/") and entry.name in _OPENED and not entry.is_symlink():
            yield from ("--dir", f"/{entry.name}")
            yield from _entries(entry, Path("/", entry.name))
        else:
            yield from _bind(entry, target / entry.name)


def _bind(source: Path, target: Path | None = None) -> tuple[str, ...]:
    """Return how an entry appears in the container: a link as a link, the rest read-only."""
    target = target or source
    if source.is_symlink():
        return ("--symlink", str(source.readlink()), str(target))
    if not source.exists() or (source.is_file() and not os.access(source, os.R_OK)):
        return ()
    return ("--ro-bind", str(source), str(target))
