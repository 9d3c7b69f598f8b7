"""CPU and memory grants over made-up control group trees: v1, v2 and hybrid."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantainer.broker.resources import Memberships, cpu_grant, memory_grant, parse_cpuset

GIB = 1 << 30


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def v2(root: Path, group: str = "/a/b", **files: str) -> Path:
    named = {f"sys/fs/cgroup{name}".replace("__", "/"): text for name, text in files.items()}
    return tree(
        root,
        {"proc/self/cgroup": f"0::{group}\n", "sys/fs/cgroup/cgroup.controllers": "cpu", **named},
    )


@pytest.mark.report(2)
@pytest.mark.parametrize(
    ("quota", "threads"),
    [
        ("50000 100000", 1),
        ("150000 100000", 2),
        ("400000 100000", 4),
        ("max 100000", 8),
        ("1000 100000", 1),
        ("rubbish", 8),
    ],
)
def test_v2_quota_is_rounded_up(tmp_path: Path, quota: str, threads: int) -> None:
    root = tree(
        v2(tmp_path),
        {"sys/fs/cgroup/a/b/cpu.max": quota, "sys/fs/cgroup/a/cpu.max": "max 100000"},
    )
    grant = cpu_grant(root=root, environ={}, affinity=8)
    assert grant.threads == threads
    assert grant.source == ("cpu quota" if threads < 8 else "affinity")


def test_the_tightest_ancestor_counts(tmp_path: Path) -> None:
    root = tree(
        v2(tmp_path),
        {"sys/fs/cgroup/a/b/cpu.max": "max 100000", "sys/fs/cgroup/a/cpu.max": "200000 100000"},
    )
    assert cpu_grant(root=root, environ={}, affinity=8).threads == 2


@pytest.mark.report(2)
def test_smaller_cpuset_wins_over_quota(tmp_path: Path) -> None:
    root = tree(
        v2(tmp_path),
        {
            "sys/fs/cgroup/a/b/cpu.max": "400000 100000",
            "sys/fs/cgroup/a/b/cpuset.cpus.effective": "0-1",
        },
    )
    grant = cpu_grant(root=root, environ={}, affinity=8)
    assert (grant.threads, grant.source) == (2, "cpuset")


@pytest.mark.report(2)
def test_v1_quota_cpuset_and_throttling(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/docker/x\n3:cpuset:/docker/x\n1:name=systemd:/\n",
            "sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us": "250000\n",
            "sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.stat": "nr_periods 9\nnr_throttled 3\n",
            "sys/fs/cgroup/cpuset/docker/x/cpuset.cpus": "0-5",
        },
    )
    grant = cpu_grant(root=root, environ={}, affinity=8)
    assert (grant.threads, grant.source) == (3, "cpu quota")
    assert "throttled this node 3 times" in grant.warnings[0]


def test_hybrid_reads_the_controllers_on_v1(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "2:cpu:/x\n1:memory:/x\n0::/\n",
            "sys/fs/cgroup/unified/cgroup.controllers": "",
            "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/memory/x/memory.limit_in_bytes": str(2 * GIB),
            "proc/meminfo": "MemTotal: 16777216 kB\nMemAvailable: 16000000 kB\n",
        },
    )
    assert cpu_grant(root=root, environ={}, affinity=8).threads == 1
    assert memory_grant(root=root, reserve=0).limit_bytes == 2 * GIB


@pytest.mark.report(1)
@pytest.mark.parametrize(
    ("environ", "option", "threads", "source"),
    [
        ({"OMP_NUM_THREADS": "3"}, None, 3, "OMP_NUM_THREADS"),
        ({"OMP_NUM_THREADS": "3,2"}, None, 3, "OMP_NUM_THREADS"),
        ({"OMP_NUM_THREADS": "99"}, None, 8, "affinity"),
        ({"OMP_NUM_THREADS": "zero"}, None, 8, "affinity"),
        ({"OMP_NUM_THREADS": "3"}, 2, 2, "setting threads"),
        ({}, 99, 8, "affinity"),
    ],
)
def test_users_may_ask_for_less(
    tmp_path: Path, environ: dict[str, str], option: int | None, threads: int, source: str
) -> None:
    grant = cpu_grant(option, root=tmp_path, environ=environ, affinity=8)
    assert (grant.threads, grant.source) == (threads, source)


def test_v2_memory_of_every_ancestor(tmp_path: Path) -> None:
    root = tree(
        v2(tmp_path),
        {
            "proc/meminfo": "MemTotal: 16777216 kB\nMemAvailable: 16000000 kB\n",
            "sys/fs/cgroup/a/b/memory.max": "max",
            "sys/fs/cgroup/a/memory.max": str(GIB),
            "sys/fs/cgroup/a/memory.current": str(GIB // 2),
            "sys/fs/cgroup/a/memory.stat": f"anon 1\ninactive_file {GIB // 4}\n",
        },
    )
    grant = memory_grant(root=root, reserve=0)
    # Half is used, of which half is file cache that gives way.
    assert grant.available_bytes == GIB - GIB // 4
    assert grant.free_bytes == GIB - GIB // 4
    assert (grant.limit_bytes, grant.source) == (GIB, "memory cgroup")


def test_memory_option_and_reserve(tmp_path: Path) -> None:
    root = tree(tmp_path, {"proc/meminfo": "MemTotal: 8388608 kB\nMemAvailable: 8388608 kB\n"})
    assert memory_grant(root=root).limit_bytes == 8 * GIB - GIB // 2
    limited = memory_grant(GIB, 0, root=root)
    assert (limited.limit_bytes, limited.source) == (GIB, "setting memory_limit")
    # The broker and its processes count: 64 MiB, and 128 MiB for each of two workers and one more.
    assert memory_grant(GIB, workers=2, root=root).limit_bytes == GIB - (448 << 20)
    assert memory_grant(256 << 20, workers=2, root=root).limit_bytes == 0


@pytest.mark.parametrize(("text", "count"), [("0-3,8", 5), ("0", 1), ("", 0), ("0-1,1-2\n", 3)])
def test_cpuset(text: str, count: int) -> None:
    assert parse_cpuset(text) == count


@given(st.text(max_size=200))
def test_any_cgroup_text_is_read(text: str) -> None:
    member = Memberships.parse(text)
    assert member.v2 is None or member.v2.startswith("/")


def test_this_machine() -> None:
    assert cpu_grant().threads >= 1
    assert memory_grant().limit_bytes > 0
