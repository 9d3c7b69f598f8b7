"""Freezer: sees containers paused, unpaused and gone as the kernel does, whoever did it.

What tells of a change, by the layout of control groups:

- v2: the kernel reports each change of ``cgroup.events`` (frozen, populated) by inotify.
- v1: nothing is reported by the kernel itself, but ``freezer.state`` is written by whoever freezes
  (the OCI runtime), and inotify reports that write. Freezing a parent group changes its children
  without a write to them; a slow look at each group finds that.
- both: the removal of a group is reported by inotify on the directory that held it, and an open
  file of a removed group can no longer be read.

Every group is also looked at once in ``poll_seconds``: a lost report costs that long, no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from quantainer.broker.inotify import IN_DELETE, IN_MODIFY, Inotify
from quantainer.broker.shortage import refuse_shortage
from quantainer_client.errors import QuantainerError

__all__ = ["CgroupState", "Freezer"]

log = logging.getLogger("quantainer.broker")

_V1_TREES = ("devices", "pids", "memory", "cpu", "systemd", "freezer")


class CgroupState(StrEnum):
    """What the kernel says of a container's control group."""

    RUNNING = "running"
    FROZEN = "frozen"
    GONE = "gone"
    """It was removed, or its last process ended."""
    UNSEEN = "unseen"
    """No such group is visible here, and none was; nothing can be said."""


@dataclass(slots=True)
class _Group:
    """One watched control group: an open state file, and how to read it."""

    path: str
    directory: Path
    state_fd: int
    v2: bool
    on_change: Callable[[CgroupState], None]
    state: CgroupState = CgroupState.UNSEEN
    watch: int | None = None
    populated: bool = False


class Freezer:
    """Watches control groups for an asyncio loop.

    Args:
        root: Where control groups are mounted.
        poll_seconds: How often each group is looked at besides, while any is watched.
    """

    def __init__(self, root: Path = Path("/sys/fs/cgroup"), *, poll_seconds: float = 0.5) -> None:
        self._root = root
        self._poll_seconds = poll_seconds
        self._groups: dict[str, _Group] = {}
        self._files: dict[int, _Group] = {}
        self._parents: dict[Path, tuple[int, int]] = {}
        self._directories: dict[int, Path] = {}
        self._inotify: Inotify | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._polling: asyncio.TimerHandle | None = None

    def watch(self, cgroup: str, on_change: Callable[[CgroupState], None]) -> CgroupState:
        """Watch a group and return its state now; tell of each change until it is gone.

        Args:
            cgroup: Its path from the root of the hierarchies, such as ``/docker/4f…``.
            on_change: Called in the loop with the new state.

        Raises:
            QuantainerError: ``queue_full`` if it cannot be looked for now.
        """
        group = self._open(cgroup, on_change)
        self.unwatch(cgroup)  # not before: who watched it stays served if it cannot be opened now
        if group is None:
            return CgroupState.UNSEEN
        self._start()
        self._groups[cgroup] = group
        self._add_watches(group)
        group.state = self._read(group)
        if group.state is CgroupState.GONE:
            self.unwatch(cgroup)
        return group.state

    def unwatch(self, cgroup: str) -> None:
        """Watch a group no longer."""
        group = self._groups.pop(cgroup, None)
        if group is None:
            return
        os.close(group.state_fd)
        if self._inotify is not None:
            self._drop_watches(group, self._inotify)
        if not self._groups and self._polling is not None:
            self._polling.cancel()
            self._polling = None

    def close(self) -> None:
        """Watch nothing any more."""
        for cgroup in list(self._groups):
            self.unwatch(cgroup)
        if self._inotify is not None:
            if self._loop is not None:
                self._loop.remove_reader(self._inotify.fileno())
            self._inotify.close()
            self._inotify = None
        self._loop = None

    # Finding and reading a group

    def _open(self, cgroup: str, on_change: Callable[[CgroupState], None]) -> _Group | None:
        relative = cgroup.lstrip("/")
        # With both layouts at once engines freeze by v1, and the v2 group never says so.
        fd = _opened(self._root / "freezer" / relative / "freezer.state")
        if fd is not None:
            return _Group(cgroup, self._root / "freezer" / relative, fd, False, on_change)
        for tree in (self._root, self._root / "unified"):
            directory = tree / relative
            fd = _opened(directory / "cgroup.events")
            if fd is not None:
                return _Group(cgroup, directory, fd, True, on_change)
        for name in _V1_TREES:
            directory = self._root / name / relative
            fd = _opened(directory / "cgroup.procs")
            if fd is not None:
                return _Group(cgroup, directory, fd, False, on_change)
        return None

    def _read(self, group: _Group) -> CgroupState:
        try:
            text = _text(group.state_fd)
            if text is None:
                return CgroupState.GONE
            populated = b"populated 1" in text if group.v2 else self._has_processes(group)
        except QuantainerError as error:
            log.warning("%s cannot be looked into: %s", group.path, error)
            return CgroupState.UNSEEN
        frozen = b"frozen 1" in text if group.v2 else text.startswith((b"FROZEN", b"FREEZING"))
        if group.populated and not populated:
            return CgroupState.GONE
        group.populated = populated
        return CgroupState.FROZEN if frozen else CgroupState.RUNNING

    @staticmethod
    def _has_processes(group: _Group) -> bool:
        """Tell whether processes live in a v1 group or below it, as ``populated`` does of v2.

        Raises:
            QuantainerError: If that cannot be told now; then the container is not to be taken for
                gone.
        """
        if _holds_process(group.directory):
            return True
        walk = os.walk(group.directory, onerror=refuse_shortage)
        below = (Path(folder) for folder, _, _ in walk)
        return any(map(_holds_process, below))

    # News

    def _start(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            try:
                self._inotify = Inotify()
                self._loop.add_reader(self._inotify.fileno(), self._news)
            except OSError as error:
                log.warning("pauses are seen every %s s only: %s", self._poll_seconds, error)
        if self._polling is None:
            self._polling = self._loop.call_later(self._poll_seconds, self._poll)

    def _add_watches(self, group: _Group) -> None:
        if self._inotify is None:
            return
        name = "cgroup.events" if group.v2 else "freezer.state"
        parent = group.directory.parent
        with contextlib.suppress(OSError):  # too many watches: the group is looked at besides
            group.watch = self._inotify.add(group.directory / name, IN_MODIFY)
            self._files[group.watch] = group
        with contextlib.suppress(OSError):
            watch = self._inotify.add(parent, IN_DELETE)
            _, users = self._parents.get(parent, (watch, 0))
            self._parents[parent] = watch, users + 1
            self._directories[watch] = parent

    def _drop_watches(self, group: _Group, inotify: Inotify) -> None:
        if group.watch is not None:
            self._files.pop(group.watch, None)
            inotify.remove(group.watch)
        parent = group.directory.parent
        watch, users = self._parents.get(parent, (-1, 0))
        if users > 1:
            self._parents[parent] = watch, users - 1
        elif users == 1:
            del self._parents[parent]
            self._directories.pop(watch, None)
            inotify.remove(watch)

    def _news(self) -> None:
        if self._inotify is None:
            return
        touched: dict[str, _Group] = {}
        for watch, name in self._inotify.read():
            group = self._files.get(watch)
            if group is None and watch in self._directories:
                group = self._at(self._directories[watch] / name)
            if group is not None:
                touched[group.path] = group
        for group in touched.values():
            self._look(group)

    def _at(self, directory: Path) -> _Group | None:
        for tree in (self._root, *(self._root / name for name in ("unified", *_V1_TREES))):
            if directory.is_relative_to(tree):
                group = self._groups.get(f"/{directory.relative_to(tree)}")
                if group is not None and group.directory == directory:
                    return group
        return None

    def _poll(self) -> None:
        self._polling = None
        for group in list(self._groups.values()):
            self._look(group)
        if self._groups and self._loop is not None:
            self._polling = self._loop.call_later(self._poll_seconds, self._poll)

    def _look(self, group: _Group) -> None:
        if self._groups.get(group.path) is not group:
            return
        state = self._read(group)
        if state in (group.state, CgroupState.UNSEEN):
            return
        group.state = state
        if state is CgroupState.GONE:
            self.unwatch(group.path)
        group.on_change(state)


def _opened(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        refuse_shortage(error)
        return None


def _text(fd: int) -> bytes | None:
    """Return what a state file says; ``None`` if its group was removed."""
    try:
        return os.pread(fd, 256, 0)
    except OSError as error:
        refuse_shortage(error)
        return None


def _holds_process(directory: Path) -> bool:
    try:
        fd = os.open(directory / "cgroup.procs", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        refuse_shortage(error)
        return False
    try:
        return bool(os.read(fd, 16))
    except OSError as error:
        refuse_shortage(error)
        return False
    finally:
        os.close(fd)
