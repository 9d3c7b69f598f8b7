"""Resources: what this process was granted by control groups, affinity and the machine.

Control groups come in three layouts: v1 (a tree per controller), v2 (one tree) and hybrid (both,
with the controllers on v1). A limit may sit on any ancestor, so every level up to the root is read
and the tightest counts.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "READING_BYTES",
    "WORKER_BYTES",
    "CpuGrant",
    "Memberships",
    "MemoryGrant",
    "cpu_grant",
    "memory_grant",
    "parse_cpuset",
]

_BROKER_BYTES = 64 * 1024**2  # private memory, measured: 48 MiB
WORKER_BYTES = 128 * 1024**2  # the same with engines loaded and circuits kept: 75 MiB and more
READING_BYTES = 2 * 1024**3  # for circuits while they are read and planned
_V1_UNLIMITED = 1 << 60  # v1 writes a page-rounded 2^63 for "no limit"


@dataclass(frozen=True, slots=True)
class CpuGrant:
    """How many threads may compute at once, and who says so."""

    threads: int
    source: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MemoryGrant:
    """How much memory jobs may use together, and who says so.

    Attributes:
        limit_bytes: At most, when nobody else uses any.
        free_bytes: At this moment.
        available_bytes: At this moment, what is to be kept free included.
    """

    limit_bytes: int
    free_bytes: int
    available_bytes: int
    source: str


@dataclass(frozen=True, slots=True)
class Memberships:
    """The control groups of one process: v1 controller to path, and the v2 path if there is one."""

    v1: Mapping[str, str]
    v2: str | None

    @classmethod
    def parse(cls, text: str) -> Memberships:
        """Read the text of ``/proc/PID/cgroup``; lines that do not fit are skipped."""
        v1: dict[str, str] = {}
        v2: str | None = None
        for line in text.splitlines():
            number, _, rest = line.partition(":")
            controllers, colon, path = rest.partition(":")
            if not colon or not path.startswith("/"):
                continue
            if number == "0" and not controllers:
                v2 = path
            for controller in filter(None, controllers.split(",")):
                v1[controller] = path
        return cls(v1, v2)


def parse_cpuset(text: str) -> int:
    """Return the number of CPUs in a list such as ``0-3,8``; 0 for an empty one.

    Raises:
        ValueError: If the text is not a CPU list.
    """
    cpus: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        cpus.update(range(int(first), int(last or first) + 1))
    return len(cpus)


def cpu_grant(
    option: int | None = None,
    *,
    root: Path = Path("/"),
    environ: Mapping[str, str] | None = None,
    affinity: int | None = None,
) -> CpuGrant:
    """Return the thread grant: the tightest of affinity, cpuset and quota, then what users ask.

    A quota is rounded up, so that half a CPU is one thread. ``OMP_NUM_THREADS`` and the option may
    lower the grant, never raise it.
    """
    environ = os.environ if environ is None else environ
    if affinity is None:
        affinity = len(os.sched_getaffinity(0))
    threads, source = affinity, "affinity"
    member = Memberships.parse(_read(root / "proc/self/cgroup"))
    for candidate, name in _cgroup_cpus(root, member):
        if candidate < threads:
            threads, source = candidate, name
    asked = environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isdigit() and 0 < int(asked) < threads:
        threads, source = int(asked), "OMP_NUM_THREADS"
    if option is not None and option < threads:
        threads, source = option, "setting threads"
    return CpuGrant(max(1, threads), source, tuple(_throttling(root, member)))


def _cgroup_cpus(root: Path, member: Memberships) -> Iterator[tuple[int, str]]:
    for group in _levels(root, member, "cpuset"):
        for name in ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus"):
            if count := _cpuset(group / name):
                yield count, "cpuset"
                break
    for group in _levels(root, member, "cpu"):
        quota = _quota(group)
        if quota is not None:
            yield max(1, math.ceil(quota)), "cpu quota"


def _cpuset(path: Path) -> int:
    try:
        return parse_cpuset(_read(path))
    except ValueError:
        return 0


def _quota(group: Path) -> float | None:
    """Return the CPUs that one control group may use; ``None`` without a quota."""
    v2 = _read(group / "cpu.max").split()
    if v2:
        limit, period = v2[0], v2[1] if len(v2) > 1 else "100000"
    else:
        limit = _read(group / "cpu.cfs_quota_us").strip()
        period = _read(group / "cpu.cfs_period_us").strip()
    if not limit.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return int(limit) / int(period)


def _throttling(root: Path, member: Memberships) -> Iterator[str]:
    for group in _levels(root, member, "cpu"):
        for line in _read(group / "cpu.stat").splitlines():
            name, _, count = line.partition(" ")
            if name == "nr_throttled" and count.isdigit() and int(count) > 0:
                yield f"CPU quota of {group} throttled this node {count} times"


def memory_grant(
    limit: int | None = None,
    reserve: int | None = None,
    *,
    workers: int = 1,
    root: Path = Path("/"),
) -> MemoryGrant:
    """Return the memory that jobs may use: the tightest limit less what is reserved.

    Args:
        limit: The operator's own limit in bytes.
        reserve: Bytes kept free; default is a sixteenth of the limit, at least what the broker and
            its worker processes take themselves.
        workers: Worker processes; one more may exist.
        root: Where ``proc`` and ``sys`` are, for tests.
    """
    host = _meminfo(root)
    total = host.get("MemTotal", 0)
    available = host.get("MemAvailable", total)
    source = "machine"
    member = Memberships.parse(_read(root / "proc/self/cgroup"))
    for group in _levels(root, member, "memory"):
        bound = _memory_limit(group)
        if bound is None:
            continue
        available = min(available, max(0, bound - _memory_used(group)))
        if bound < total:
            total, source = bound, "memory cgroup"
    if limit is not None and limit < total:
        total, source = limit, "setting memory_limit"
        available = min(available, limit)
    if reserve is None:
        reserve = max(total // 16, _BROKER_BYTES + (workers + 1) * WORKER_BYTES)
    free = max(0, min(total, available) - reserve)
    return MemoryGrant(max(0, total - reserve), free, available, source)


def _memory_limit(group: Path) -> int | None:
    bounds = [
        int(text)
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes")
        if (text := _read(group / name).strip()).isdigit()
    ]
    tight = [bound for bound in bounds if bound < _V1_UNLIMITED]
    return min(tight) if tight else None


def _memory_used(group: Path) -> int:
    """Return bytes in use that cannot be reclaimed: usage less inactive file cache."""
    used = _read(group / "memory.current").strip() or _read(group / "memory.usage_in_bytes").strip()
    if not used.isdigit():
        return 0
    cache = 0
    for line in _read(group / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file") and value.isdigit():
            cache = int(value)
    return max(0, int(used) - cache)


def _meminfo(root: Path) -> dict[str, int]:
    fields: dict[str, int] = {}
    for line in _read(root / "proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if words and words[0].isdigit():
            fields[name] = int(words[0]) * 1024
    return fields


def _levels(root: Path, member: Memberships, controller: str) -> Iterator[Path]:
    """Yield the directories of the process's group and each ancestor, on v1 and on v2."""
    mount = root / "sys/fs/cgroup"
    if controller in member.v1:
        for tree in _v1_trees(mount, controller):
            yield from _upwards(tree, member.v1[controller])
    if member.v2 is not None:
        for tree in (mount, mount / "unified"):
            if (tree / "cgroup.controllers").exists():
                yield from _upwards(tree, member.v2)


def _v1_trees(mount: Path, controller: str) -> Iterator[Path]:
    names = (controller, "cpu,cpuacct", "cpuacct,cpu") if controller == "cpu" else (controller,)
    for name in names:
        if (mount / name).is_dir():
            yield mount / name
            return


def _upwards(tree: Path, path: str) -> Iterator[Path]:
    """Yield ``tree/path`` and its parents down to ``tree``.

    Inside a container without a cgroup namespace the path names the host's tree while only the
    container's own group is mounted: levels that do not exist are simply not there to read.
    """
    group = tree / path.lstrip("/")
    while group != tree:
        if ".." not in group.parts:
            yield group
        group = group.parent
    yield tree


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
