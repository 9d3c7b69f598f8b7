"""Residents: which process still lives in a container, by control groups and ``/proc``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from quantainer.broker.shortage import refuse_shortage
from quantainer.core.lease import Anchor
from quantainer.device.identity import Peer, anchors_of, identify
from quantainer_client.errors import QuantainerError

__all__ = ["birth", "inspect", "is_shared", "resident_of_group", "residents", "was_there"]

_GROUPS = Path("/sys/fs/cgroup")
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_TREES = ("", "unified", "devices", "pids", "memory", "cpu", "systemd")


def inspect(pid: int) -> Peer:
    """Return what the kernel says of a process.

    Raises:
        QuantainerError: ``bad_request`` if there is none, ``no_lease`` if it ends meanwhile,
            ``queue_full`` if it cannot be looked at now.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except OSError as error:
        refuse_shortage(error)
        raise QuantainerError("bad_request", f"There is no process {pid}.") from None
    try:
        return identify(pidfd, pid)
    finally:
        os.close(pidfd)


def resident_of_group(anchor: Anchor, root: Path = _GROUPS) -> int | None:
    """Return a process that lives in a control group or below it; None if none does.

    This asks the group itself: the whole machine's processes take a hundred milliseconds where a
    thousand containers run.

    Raises:
        QuantainerError: ``queue_full`` if nobody can be looked at now.
    """
    for tree in _TREES:
        for pid in _members(root / tree / anchor.value.lstrip("/")):
            if anchor in _anchors(pid):
                return pid
    return None


def is_shared(peer: Peer, root: Path = _GROUPS) -> bool:
    """Tell whether others than a container's processes live in its control group.

    Then no engine made that group for the container (``podman run --cgroups=disabled``): it is that
    of whoever started it, and says nothing.
    """
    for tree in _TREES:
        for pid in _members(root / tree / peer.cgroup.lstrip("/")):
            if not _is_of(pid, peer):
                return True
    return False


def _is_of(pid: int, peer: Peer) -> bool:
    """Tell whether a process is the peer, lives in its pid namespace, or descends from it."""
    if pid == peer.pid:
        return True
    other = _inspected(pid)
    if other is None:
        return True  # it has ended
    hosts = Path("/proc/self/ns/pid").stat().st_ino
    own = peer.pid_namespaces[0] if peer.pid_namespaces else hosts
    if own != hosts and own in other.pid_namespaces:
        return True
    return peer.pid in _ancestors(pid)


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        fields = _status(pid)
        if fields is None:
            return
        pid = int(fields[1])
        yield pid


def birth(pid: int) -> str | None:
    """Return when a process started: this boot, and clock ticks since; None if it is gone.

    Raises:
        QuantainerError: ``queue_full`` if it cannot be looked at now.
    """
    ticks = _ticks(pid)
    return None if ticks is None else f"{_boot()} {ticks}"


@cache
def _boot() -> str:
    """Return what names the machine's running since its last start."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError as error:
        refuse_shortage(error)
        raise


def was_there(pid: int, born: str) -> bool:
    """Tell whether a process is as old as a birth; younger ones may have got a number again."""
    boot, _, ticks = born.partition(" ")
    own_boot, _, own_ticks = (birth(pid) or "").partition(" ")
    return boot == own_boot and int(own_ticks) <= int(ticks)


def _ticks(pid: int) -> int | None:
    fields = _status(pid)
    return None if fields is None else int(fields[19])


def _status(pid: int) -> list[bytes] | None:
    """Return the fields of ``/proc/PID/stat`` after the name, its state first; None if gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            return file.read().rpartition(b")")[2].split() or None
    except OSError as error:
        refuse_shortage(error)
        return None


def residents() -> dict[Anchor, int]:
    """Return for each anchor on this machine the oldest process that stands there.

    Raises:
        QuantainerError: ``queue_full`` if nobody can be looked at now.
    """
    found: dict[Anchor, int] = {}
    ages = sorted((ticks, pid) for pid in _pids() if (ticks := _ticks(pid)) is not None)
    for _, pid in ages:
        for anchor in _anchors(pid):
            found.setdefault(anchor, pid)
    return found


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208
    except OSError as error:
        refuse_shortage(error)
        raise


def _members(group: Path) -> Iterator[int]:
    for folder, _, files in os.walk(group, onerror=refuse_shortage):
        if "cgroup.procs" not in files:
            continue
        try:
            text = (Path(folder) / "cgroup.procs").read_text(encoding="ascii")
        except OSError as error:
            refuse_shortage(error)
            continue  # removed meanwhile, or threaded (its processes are listed above it)
        yield from map(int, text.split())


def _anchors(pid: int) -> list[Anchor]:
    peer = _inspected(pid)
    return [] if peer is None else list(anchors_of(peer))


def _inspected(pid: int) -> Peer | None:
    """Return what the kernel says of a process; None if it has ended."""
    try:
        return inspect(pid)
    except QuantainerError as error:
        if error.code == "queue_full":
            raise
        return None
