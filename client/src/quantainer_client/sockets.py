"""Sockets: the places where a broker may listen, in the order in which callers look."""

from __future__ import annotations

import os
import stat
import sys

from quantainer_client.errors import QuantainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Mapping, Optional, Tuple

__all__ = ["DEVICE_SOCKET", "NAME", "SYSTEM_FOLDER", "find", "runtime_folders", "socket_path"]

NAME = "broker.sock"
DEVICE_SOCKET = "/dev/quantum/qvm.sock"
SYSTEM_FOLDER = "/run/quantainer"
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def runtime_folders(uid: int, environ: Mapping[str, str]) -> List[str]:
    """Return the folders in which a user's own broker may run; the first is its default.

    Root's broker is the system's. Others' lies in ``XDG_RUNTIME_DIR``, or in ``/tmp`` if it was
    started where that is not set, as in cron or after ``su``.
    """
    if uid == 0:
        return [SYSTEM_FOLDER]
    runtime = environ.get("XDG_RUNTIME_DIR")
    own = [f"/tmp/quantainer-{uid}"]  # its owner is looked at before it is used
    return [f"{runtime}/quantainer", *own] if runtime else own


def socket_path() -> str:
    """Return the socket of the broker that this process means.

    That is ``QUANTAINER_SOCKET``; else the one in ``QUANTAINER_RUNTIME_DIR``; else the first that
    is there of the container's device, the user's own broker, and the system's.

    Raises:
        QuantainerError: ``broker_unavailable`` if there is none, with the places looked at.
    """
    found, looked, ignored = find(os.geteuid(), os.environ)
    if found is not None:
        for why in ignored:
            sys.stderr.write(f"quantainer: {why}\n")
        return found
    raise QuantainerError(
        "broker_unavailable",
        " ".join(
            [f"There is no quantum device here: none of {', '.join(looked)} exists.", *ignored]
        ),
        hint=(
            "In a container: start it with --device quantainer.dev/qpu=qsim. "
            "On the host: start the broker with `quantainer up`, or set QUANTAINER_SOCKET."
        ),
    )


def find(uid: int, environ: Mapping[str, str]) -> Tuple[Optional[str], List[str], List[str]]:
    """Return the socket to use, if any, the places looked at, and why others were ignored."""
    named = environ.get("QUANTAINER_SOCKET")
    if named:
        return named, [named], []
    folder = environ.get("QUANTAINER_RUNTIME_DIR")
    if folder:
        return f"{folder}/{NAME}", [f"{folder}/{NAME}"], []
    looked: List[str] = []
    ignored: List[str] = []
    system = f"{SYSTEM_FOLDER}/{NAME}"
    own = [f"{folder}/{NAME}" for folder in runtime_folders(uid, environ)]
    for path in dict.fromkeys([DEVICE_SOCKET, *own, system]):
        looked.append(path)
        if not os.path.lexists(path):  # pathlib would cost its import
            continue
        why = None if path in (DEVICE_SOCKET, system) else _distrust(path, uid)
        if why is None:
            return path, looked, ignored
        ignored.append(why)
    return None, looked, ignored


def _distrust(path: str, uid: int) -> Optional[str]:
    """Tell why a socket may be another user's: everybody can make a folder in ``/tmp``."""
    folder = path.rpartition("/")[0]
    try:
        status = os.lstat(folder)
    except OSError as error:
        return f"{folder} is ignored: {error.strerror}."
    if not stat.S_ISDIR(status.st_mode):
        return f"{folder} is ignored: it is no folder."
    if status.st_uid not in (0, uid):
        return f"{folder} is ignored: it belongs to user {status.st_uid}, not to user {uid}."
    if status.st_mode & _OTHERS_WRITE:
        return f"{folder} is ignored: other users may write to it."
    return None
