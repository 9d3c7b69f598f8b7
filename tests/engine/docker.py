"""One Docker Engine of our own: containerd and dockerd with private folders and sockets."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine import base_image, packages
from engine.host import UnavailableError, need_root, need_tools, run

CONTAINERD = """\
version = 3
root = "{home}/containerd"
state = "{home}/containerd-run"
disabled_plugins = [
  "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime", "io.containerd.cri.v1.images",
  "io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt",
]
[grpc]
address = "{home}/containerd.sock"
"""


@dataclass
class Docker:
    """A running engine.

    Attributes:
        cli: The ``docker`` program to use with it.
        host: ``DOCKER_HOST``.
        cdi: A folder from which the engine reads CDI specifications.
        path: ``PATH`` for programs that call ``docker`` by name.
    """

    cli: str
    host: str
    cdi: Path
    path: str
    _stop: Any = field(default=None, repr=False)
    _restart: Any = field(default=None, repr=False)

    def environment(self) -> dict[str, str]:
        """Return an environment in which ``docker`` is this engine's."""
        return {**os.environ, "DOCKER_HOST": self.host, "PATH": self.path}

    def __call__(
        self, *arguments: str | Path, check: bool = True, timeout: float = 120, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run ``docker`` with the arguments; on failure show what it said."""
        done = subprocess.run(
            [self.cli, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment(),
            check=False,
            **options,
        )
        if check and done.returncode:
            raise AssertionError(f"docker {arguments[0]}: exit {done.returncode}: {done.stderr}")
        return done

    def load_base(self) -> str:
        """Import the base image unless it is there; return its name."""
        if self("image", "inspect", base_image.NAME, check=False).returncode:
            self("import", base_image.tarball(), base_image.NAME, timeout=300)
        return base_image.NAME

    def restart(self, number: signal.Signals, *, keep: bool) -> None:
        """End the engine and start it again.

        Args:
            number: The signal that ends it.
            keep: Whether containers go on meanwhile (the engine's ``live-restore``).

        Raises:
            UnavailableError: If the engine is not of the tests' own making.
        """
        if self._restart is None:
            raise UnavailableError("the engine that DOCKER_HOST names is not restarted by tests")
        self._restart(number, keep)

    def stop(self) -> None:
        """Stop what was started and leave nothing behind."""
        if self._stop is not None:
            self._stop()


def start() -> Docker:
    """Return the engine that ``DOCKER_HOST`` names if it is new enough, else one of our own.

    Raises:
        UnavailableError: If this machine can have none; the message says why.
    """
    need_root()
    need_tools("debootstrap", "runc")
    return _given() or _own()


def _given() -> Docker | None:
    host, cli = os.environ.get("DOCKER_HOST"), shutil.which("docker")
    if not host or not cli:
        return None
    try:
        info = json.loads(run(cli, "info", "--format", "{{json .}}", timeout=20))
    except (UnavailableError, subprocess.TimeoutExpired):
        return None
    folders = info.get("CDISpecDirs") or []
    major = re.match(r"\d+", info.get("ServerVersion") or "0")
    if not folders or major is None or int(major[0]) < 27:
        return None
    return Docker(cli, host, Path(folders[-1]), os.environ.get("PATH", ""))


def _own() -> Docker:
    root = packages.unpacked()
    home = Path(tempfile.mkdtemp(prefix="quantainer-engine-"))
    path = f"{root}/usr/bin:{root}/usr/sbin:{os.environ.get('PATH', '')}"
    environment = {**os.environ, "PATH": path}
    host = f"unix://{home}/docker.sock"
    children: list[subprocess.Popen[bytes]] = []

    def stop() -> None:
        for child in reversed(children):
            _terminate(child)
        _unmount(home)
        shutil.rmtree(home, ignore_errors=True)

    def start_dockerd() -> None:
        children.append(_spawn(_dockerd(home, root, host), home / "docker.log", environment))
        _await(
            lambda: engine("version", check=False).returncode == 0,
            children[-1],
            home / "docker.log",
        )

    def restart(number: signal.Signals, keep: bool) -> None:
        dockerd = children.pop()
        _configure(home, keep=keep)
        dockerd.send_signal(signal.SIGHUP)  # it reads the file again
        _await(lambda: _keeps(engine) is keep, dockerd, home / "docker.log")
        dockerd.send_signal(number)
        dockerd.wait(timeout=60)
        start_dockerd()

    engine = Docker(f"{root}/usr/bin/docker", host, home / "cdi", path, stop, restart)
    try:
        (home / "cdi").mkdir()
        (home / "containerd.toml").write_text(CONTAINERD.format(home=home))
        _configure(home, keep=False)
        containerd = ["containerd", "--config", f"{home}/containerd.toml"]
        children.append(_spawn(containerd, home / "containerd.log", environment))
        _await((home / "containerd.sock").exists, children[-1], home / "containerd.log")
        start_dockerd()
    except BaseException:
        stop()
        raise
    return engine


def _dockerd(home: Path, root: Path, host: str) -> list[str]:
    return [
        *("dockerd", f"--config-file={home}/daemon.json", f"--host={host}"),
        *(f"--data-root={home}/docker", f"--exec-root={home}/exec"),
        *(f"--pidfile={home}/docker.pid", f"--containerd={home}/containerd.sock"),
        *(f"--init-path={root}/usr/bin/tini-static", f"--cdi-spec-dir={home}/cdi"),
        # No bridge and no packet filter: the tests need neither, and the host keeps its own.
        *("--bridge=none", "--iptables=false", "--ip6tables=false"),
    ]


def _configure(home: Path, *, keep: bool) -> None:
    settings = {"features": {"cdi": True}, "live-restore": keep}
    (home / "daemon.json").write_text(json.dumps(settings))


def _keeps(engine: Docker) -> bool:
    return engine("info", "--format", "{{.LiveRestoreEnabled}}").stdout.strip() == "true"


def _spawn(command: list[str], log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(
            command, stdout=out, stderr=out, env=environment, start_new_session=True
        )


def _await(ready: Any, child: subprocess.Popen[bytes], log: Path, timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while not ready():
        if child.poll() is not None or time.monotonic() > deadline:
            last = (log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
            raise UnavailableError(f"{Path(child.args[0]).name} did not start: {last}")  # type: ignore[index, arg-type]
        time.sleep(0.05)


def _terminate(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
    try:
        child.wait(timeout=30)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _unmount(home: Path) -> None:
    """Detach mounts that a killed container left, deepest first."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((m for m in mounts if m.startswith(f"{home}/")), reverse=True):
        subprocess.run(["umount", "-l", point], check=False, capture_output=True)
