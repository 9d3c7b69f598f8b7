"""Identity: what the kernel says of the process at the other end of a socket.

Nothing a caller sends takes part. The peer's pid comes with the connection (``SO_PEERCRED``), is
held by a pidfd so that it cannot be reused unnoticed, and leads to control group and namespaces.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from quantainer.broker.resources import Memberships
from quantainer.broker.shortage import refuse_shortage
from quantainer.core.lease import Anchor
from quantainer_client.errors import QuantainerError

__all__ = [
    "Namespaces",
    "Peer",
    "anchors_of",
    "container_cgroup",
    "has_ended",
    "identify",
    "open_peer",
    "root_of",
]

_SO_PEERPIDFD = 77  # Linux 6.5
_NS_GET_PARENT = 0xB702
_HOST_NAMESPACES = ("pid", "mnt", "user")


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Inodes of the namespaces that tell a host process from a contained one."""

    pid: int
    mnt: int
    user: int

    @classmethod
    def of(cls, pid: int | str) -> Namespaces:
        """Read the namespaces of a process.

        Raises:
            OSError: If the process is gone or may not be inspected.
        """
        inodes = [Path(f"/proc/{pid}/ns/{name}").stat().st_ino for name in _HOST_NAMESPACES]
        return cls(*inodes)


@dataclass(frozen=True, slots=True)
class Peer:
    """A process at the other end of a connection.

    Attributes:
        uid: Its effective user, as the broker's user namespace numbers it.
        cgroup: Its container-like control group, ``/`` if it is in the root group.
        namespaces: ``None`` if the kernel does not let this broker look: then no host process.
        pid_namespaces: Its pid namespace and the parents of it below the broker's own.
        root: Device and inode of its root directory; ``None`` as for ``namespaces``.
    """

    pid: int
    uid: int
    gid: int
    cgroup: str
    namespaces: Namespaces | None
    pid_namespaces: tuple[int, ...] = ()
    root: tuple[int, int] | None = None

    def on_host(self, own: Namespaces) -> bool:
        """Tell whether the process lives in the broker's own namespaces."""
        return self.namespaces == own


def container_cgroup(member: Memberships) -> str:
    """Return the one path that stands for a process's container.

    Engines put a container into the same path of every hierarchy they use; the unified one comes
    first, then v1 controllers in a fixed order, so that the same rule holds at lease and look-up.
    """
    candidates = [
        member.v2,
        *(member.v1.get(name) for name in ("devices", "pids", "memory", "cpu")),
    ]
    candidates += [member.v1.get("name=systemd")]
    for path in candidates:
        if path is not None and path != "/":
            return path.removesuffix(" (deleted)")
    return "/"


def open_peer(connection: socket.socket) -> tuple[int, int, int, int]:
    """Return ``(pidfd, pid, uid, gid)`` of whoever connected.

    Raises:
        QuantainerError: ``no_lease`` if the process is gone or not visible from here,
            ``queue_full`` if it cannot be looked at now.
    """
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid, uid, gid = struct.unpack("3i", raw)
    if pid <= 0:
        raise _unseen()
    try:
        pidfd = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
        os.set_inheritable(pidfd, False)
    except OSError as error:
        # A process that has ended already is refused: its number may be another's by now.
        if error.errno != errno.ENOPROTOOPT:
            raise _unseen(error) from None
        pidfd = _pidfd_by_number(pid)
    return pidfd, pid, uid, gid


def _pidfd_by_number(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        raise _unseen(error) from None


def identify(pidfd: int, pid: int, uid: int | None = None, gid: int | None = None) -> Peer:
    """Read control group and namespaces of the process that ``pidfd`` holds.

    Args:
        pidfd: Holds the process.
        pid: Its number.
        uid: Its user, if the connection told; else the kernel is asked.
        gid: Its group, likewise.

    Raises:
        QuantainerError: ``no_lease`` if it ended meanwhile: what was read may be another's;
            ``queue_full`` if it cannot be looked at now.
    """
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            cgroup = container_cgroup(Memberships.parse(file.read()))
        if uid is None or gid is None:
            uid, gid = _owner(pid)
    except OSError as error:
        raise _unseen(error) from None
    namespaces: Namespaces | None = None
    root: tuple[int, int] | None = None
    with suppress(OSError):
        namespaces = Namespaces.of(pid)
        root = root_of(pid)
    pid_namespaces = tuple(_pid_namespaces(pid))
    if has_ended(pidfd):
        raise _unseen()
    return Peer(pid, uid, gid, cgroup, namespaces, pid_namespaces, root)


def root_of(pid: int | str) -> tuple[int, int]:
    """Return device and inode of a process's root directory.

    Raises:
        OSError: If the process is gone or may not be inspected.
    """
    status = Path(f"/proc/{pid}/root").stat()
    return status.st_dev, status.st_ino


def _owner(pid: int) -> tuple[int, int]:
    """Return the effective user and group of a process.

    They own its folder in ``/proc``, if not what lies in it: a process can hide that.

    Raises:
        OSError: If the process is gone.
    """
    status = Path(f"/proc/{pid}").stat()
    return status.st_uid, status.st_gid


def has_ended(pidfd: int) -> bool:
    """Tell whether the process of a pidfd is gone."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def _pid_namespaces(pid: int) -> Iterator[int]:
    """Yield the inodes of the process's pid namespace and of its visible parents."""
    try:
        handle = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        refuse_shortage(error)
        return
    while True:
        yield os.fstat(handle).st_ino
        try:
            parent = fcntl.ioctl(handle, _NS_GET_PARENT)
        except OSError as error:
            refuse_shortage(error)
            return
        finally:
            os.close(handle)
        handle = parent


def anchors_of(peer: Peer) -> Iterator[Anchor]:
    """Yield what may tie the peer to a lease, innermost first."""
    path = peer.cgroup
    while path not in ("", "/"):
        yield Anchor("cgroup", path)
        path = path.rpartition("/")[0]
    for inode in peer.pid_namespaces:
        yield Anchor("pidns", str(inode))


def _unseen(error: OSError | None = None) -> QuantainerError:
    if error is not None:
        refuse_shortage(error)
    return QuantainerError(
        "no_lease",
        "The kernel does not say which process is calling, or it has ended.",
        hint="Connect from a running process of a container with a quantum device.",
    )
