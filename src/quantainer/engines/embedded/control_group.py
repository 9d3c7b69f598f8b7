"""The control group of an embedded container, where this user may make one.

Every hierarchy of the host gets the same path, as other engines do it, so that cgroup v1, v2 and
both at once identify the container alike.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from quantainer.engines.embedded.options import Limits
from quantainer_client.errors import QuantainerError

__all__ = ["ControlGroup"]

PARENT = "quantainer"
_CONTROLLERS = ("devices", "pids", "memory", "cpu", "freezer")
_PERIOD_US = 100_000
_ABANDONED_S = 60
"""A younger group may be one that is about to be entered."""


class ControlGroup:
    """A group in each hierarchy; empty (``folders == []``) where none can be made."""

    def __init__(self, name: str, limits: Limits) -> None:
        self.folders: list[Path] = []
        if os.geteuid() == 0:
            self._make(name)
        if limits.any and not self.folders:
            raise QuantainerError(
                "bad_request",
                "--memory, --cpus and --pids-limit need a control group; this user may make none.",
                hint="Run as root, or leave them out.",
            )
        try:
            self._limit(limits)
        except BaseException:
            self.remove()
            raise

    def _make(self, name: str) -> None:
        for root in _hierarchies():
            folder = root / PARENT / name
            _remove_abandoned(root / PARENT)
            with suppress(OSError):
                folder.mkdir(parents=True)
                self.folders.append(folder)

    def _limit(self, limits: Limits) -> None:
        if limits.memory_bytes is not None:
            self._set("--memory", ("memory.max", "memory.limit_in_bytes"), str(limits.memory_bytes))
        if limits.pids is not None:
            self._set("--pids-limit", ("pids.max",), str(limits.pids))
        if limits.cpus is not None:
            quota = max(1000, int(limits.cpus * _PERIOD_US))
            self._set("--cpus", ("cpu.max", "cpu.cfs_quota_us"), str(quota))

    def _set(self, what: str, names: tuple[str, ...], value: str) -> None:
        for folder in self.folders:
            for name in names:
                if (folder / name).exists():
                    (folder / name).write_text(value)
                    return
        raise QuantainerError("bad_request", f"This host has no control group for {what}.")

    def enter(self) -> None:
        """Move the calling process into the group; for the child between fork and exec."""
        for folder in self.folders:
            (folder / "cgroup.procs").write_text("0")

    def remove(self) -> None:
        """Remove the group; a process that is still ending is waited for, but not long."""
        deadline = time.monotonic() + 2
        for folder in self.folders:
            while folder.exists():
                try:
                    folder.rmdir()
                except OSError:
                    if time.monotonic() > deadline:
                        break
                    time.sleep(0.01)
        self.folders = []


def _remove_abandoned(parent: Path) -> None:
    """Remove groups whose engine was killed; the kernel keeps those that hold a process."""
    before = time.time() - _ABANDONED_S
    for folder in parent.glob("embedded-*"):
        with suppress(OSError):
            if folder.stat().st_ctime < before:
                folder.rmdir()


def _hierarchies() -> list[Path]:
    """Return where the host's hierarchies are mounted: the v1 ones in use, and the unified one."""
    found: dict[str, Path] = {}
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        mount, _, filesystem = line.partition(" - ")
        kind, _, options = filesystem.split(" ")[:3]
        point = Path(mount.split(" ")[4])
        if kind == "cgroup2":
            found.setdefault("unified", point)
        elif kind == "cgroup":
            for name in set(options.split(",")) & set(_CONTROLLERS):
                found.setdefault(name, point)
    return list(dict.fromkeys(found.values()))
