"""Probe: what a machine's control groups do to containers, and what the broker's own code sees.

``python -m engine.probe MAKER RUNTIME ROOT NODES`` prints one JSON object. MAKER is ``bundle`` (the
OCI runtime alone) or ``podman``. It runs on this machine and in a guest alike, so that the answers
of both can be compared; it needs root, the standard library and the code under test. NODES are the
``deviceNodes`` of a CDI device, as JSON; their ``hostPath`` are made by the probe: ``…-misc`` and
``…-full``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engine.bundle import BundleContainer
from engine.container import OPEN, Container
from engine.podman import PodmanContainer
from quantainer.broker.freezer import CgroupState, Freezer
from quantainer.device.identity import Namespaces, anchors_of, identify, open_peer
from quantainer.device.residents import inspect, is_shared, resident_of_group, residents

PARENT = f"/quantainer-probe-{os.getpid()}"
GROUPS = Path("/sys/fs/cgroup")
UNIFIED = (GROUPS / "cgroup.controllers").exists()
_MAKERS: dict[str, type[Container]] = {"bundle": BundleContainer, "podman": PodmanContainer}
_DRIVERS = ("hw_random", "vga_arbiter", "fuse", "loop-control", "cpu_dma_latency")
_NO_POLL_S = 60.0  # so that what is seen was reported by the kernel

_CALL = """
import socket, time
caller = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
caller.connect("/run/probe/socket")
time.sleep(600)
"""
_GRANTS = """
import json, os
from quantainer.broker.resources import cpu_grant, memory_grant
with open("{group}/cgroup.procs", "w") as procs:
    procs.write(str(os.getpid()))
cpu, memory = cpu_grant(), memory_grant()
print(json.dumps([cpu.threads, cpu.source, memory.limit_bytes, memory.source]))
"""


def main(maker: str, runtime: str, root: str, granted: str) -> None:
    """Print all answers for one runtime."""
    kind = _MAKERS[maker]
    home = Path(tempfile.mkdtemp(prefix="quantainer-probe-"))
    made: list[Container] = []

    def container(**options: Any) -> Container:
        name = f"c{len(made)}"
        made.append(kind(runtime, name, home / name, Path(root), PARENT, **options))
        return made[-1]

    nodes = json.loads(granted)
    with _made(nodes) as misc:
        try:
            answers = {
                "membership": Path("/proc/self/cgroup").read_text(),
                "granted": _opened(container(nodes=nodes), misc),
                "not granted": _opened(container(), misc),
                "freezer": asyncio.run(_freezer(container())),
                "identity": _identity(container(binds={"/run/probe": home / "probe"}), home),
            }
            if UNIFIED:
                answers["grants"] = _grants()
            print(json.dumps(answers))
        finally:
            for each in made:
                with contextlib.suppress(RuntimeError):
                    each.delete()
            _remove_groups()
            shutil.rmtree(home, ignore_errors=True)


# --- Device nodes ------------------------------------------------------------------------------


@contextlib.contextmanager
def _made(nodes: list[dict[str, Any]]) -> Iterator[list[int]]:
    """Make the host's nodes; give the minor numbers of two drivers of major 10."""
    lines = [line.split() for line in Path("/proc/misc").read_text().splitlines()]
    numbers = {name: int(number) for number, name in lines}
    misc = [numbers[name] for name in _DRIVERS if name in numbers][:2]
    paths = [node["hostPath"] for node in nodes]
    try:
        for path in paths:
            number = (1, 7) if path.endswith("-full") else (10, misc[0])
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(*number))
        yield misc
    finally:
        for path in paths:
            Path(path).unlink(missing_ok=True)


def _opened(container: Container, misc: list[int]) -> dict[str, str]:
    control, other = ([10, number] for number in misc)
    attempts = [
        ["read", "/dev/qpu-control", None, "O_RDONLY"],
        ["write", "/dev/qpu-control", None, "O_WRONLY"],
        ["full", "/dev/qpu0", None, "O_RDWR"],
        ["same numbers", "/tmp/same", control, "O_RDONLY"],
        ["same numbers to write", "/tmp/same-too", control, "O_WRONLY"],
        ["other numbers", "/tmp/other", other, "O_RDONLY"],
        ["memory of the host", "/tmp/memory", [1, 1], "O_RDONLY"],
        ["null", "/dev/null", None, "O_RDWR"],
    ]
    printed = container.run("python3", "-c", OPEN, json.dumps(attempts))
    answers: dict[str, str] = json.loads(printed)
    return answers


# --- Freezer -----------------------------------------------------------------------------------


async def _freezer(container: Container) -> list[list[Any]]:
    """Return for each thing done: its name, the state seen, and seconds from its end until then.

    Where a runtime waits for the kernel itself, the state is seen before it ends: below zero.
    """
    container.start("sleep", "600")
    news: asyncio.Queue[tuple[CgroupState, float]] = asyncio.Queue()
    freezer = Freezer(poll_seconds=_NO_POLL_S)
    first = freezer.watch(
        container.cgroup, lambda state: news.put_nowait((state, time.monotonic()))
    )
    seen: list[list[Any]] = [["start", first, 0.0]]
    steps: dict[str, Callable[[], object]] = {"pause": container.pause, "resume": container.resume}
    if UNIFIED:
        freeze = GROUPS / PARENT.lstrip("/") / "cgroup.freeze"
        steps["freeze the parent"] = lambda: freeze.write_text("1")
        steps["thaw the parent"] = lambda: freeze.write_text("0")
    steps["delete"] = container.delete
    try:
        for name, step in steps.items():
            await asyncio.to_thread(step)
            ended = time.monotonic()
            state, at = await asyncio.wait_for(news.get(), 10)
            while name == "delete" and state is not CgroupState.GONE:  # crun freezes, then kills
                state, at = await asyncio.wait_for(news.get(), 10)
            seen.append([name, state, at - ended])
    finally:
        freezer.close()
    return seen


# --- Identity ----------------------------------------------------------------------------------


def _identity(container: Container, home: Path) -> dict[str, Any]:
    """Return what is known of a container's process that connects to a socket."""
    (home / "probe").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(str(home / "probe" / "socket"))
        server.listen()
        server.settimeout(30)
        started = container.start("python3", "-c", _CALL)
        connection, _ = server.accept()
        with connection:
            pidfd, pid, uid, gid = open_peer(connection)
            try:
                answers = _known(pidfd, pid, uid, gid, started)
                if UNIFIED:
                    answers["nested"] = _nested(container, pidfd, pid)
                return answers | {"container": container.cgroup}
            finally:
                os.close(pidfd)


def _known(pidfd: int, pid: int, uid: int, gid: int, started: int) -> dict[str, Any]:
    peer = identify(pidfd, pid, uid, gid)
    own = inspect(os.getpid())
    group, *_ = anchors = list(anchors_of(peer))
    return {
        "cgroup": peer.cgroup,
        "same process": pid == started,
        "on host": [peer.on_host(Namespaces.of("self")), own.on_host(Namespaces.of("self"))],
        "anchors": [[anchor.kind, anchor.value] for anchor in anchors],
        "pid namespaces": [str(inode) for inode in peer.pid_namespaces],
        "own cgroup": own.cgroup,
        "shared": is_shared(peer),
        "resident": resident_of_group(group) == pid,
        "residents": all(residents().get(anchor) == pid for anchor in anchors[:1]),
    }


def _nested(container: Container, pidfd: int, pid: int) -> list[str]:
    """Move the process to a group below its container's, as containers within it do."""
    inner = GROUPS / container.cgroup.lstrip("/") / "inner"
    inner.mkdir()
    (inner / "cgroup.procs").write_text(str(pid))
    return [each.value for each in anchors_of(identify(pidfd, pid)) if each.kind == "cgroup"]


# --- Grants ------------------------------------------------------------------------------------


def _grants() -> list[Any]:
    """Return what a broker in a limited group takes as its share of the machine."""
    (GROUPS / "cgroup.subtree_control").write_text("+cpu +memory")
    group = GROUPS / f"{PARENT.lstrip('/')}-limited"
    group.mkdir()
    (group / "cpu.max").write_text("100000 100000")
    (group / "memory.max").write_text(str(512 * 1024**2))
    code = _GRANTS.format(group=group)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    found: list[Any] = json.loads(done.stdout)
    return found


def _remove_groups() -> None:
    trees = [GROUPS, *(path for path in GROUPS.iterdir() if path.is_dir())]
    for tree in trees:
        for group in sorted(tree.glob(f"{PARENT.lstrip('/')}*"), reverse=True):
            with contextlib.suppress(OSError):
                group.rmdir()


if __name__ == "__main__":
    main(*sys.argv[1:])
