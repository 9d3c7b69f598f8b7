"""One engine and one broker for the whole test run."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import quantainer
import quantainer_client
from engine import broker as brokers
from engine.broker import Broker
from engine.docker import Docker, start
from engine.host import UnavailableError

DEVICE = ("--device", "quantainer.dev/qpu=qsim")


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    """A real Docker Engine, version 27 or later."""
    try:
        engine = start()
    except UnavailableError as reason:
        pytest.skip(str(reason))
    yield engine
    engine.stop()


@pytest.fixture(scope="session")
def base(docker: Docker) -> str:
    """The name of an image with Python 3.11 and no quantum software."""
    return docker.load_base()


@pytest.fixture(scope="session")
def broker(docker: Docker) -> Iterator[Broker]:
    """A broker whose devices the engine knows."""
    running = brokers.make(docker.cdi, stop_grace="1")
    try:
        running.start()
        yield running
    finally:
        brokers.remove(running)


@pytest.fixture
def mortal_broker(docker: Docker, broker: Broker) -> Iterator[Broker]:
    """A broker that a test may end; its devices take the place of the other's meanwhile."""
    running = brokers.make(docker.cdi, stop_grace="1")
    try:
        running.start()
        running("cdi", "generate")
        yield running
    finally:
        brokers.remove(running)
        broker("cdi", "generate")


@pytest.fixture(scope="session")
def sdk() -> tuple[str, ...]:
    """Options that give a container the SDKs of the test environment, and nothing of the host's."""
    packages = sysconfig.get_paths()["purelib"]
    return ("-v", f"{packages}:/sdk:ro", "-e", "PYTHONPATH=/sdk")


@pytest.fixture
def build(docker: Docker, base: str, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Make an image from the base with changes of its configuration, as a Dockerfile would."""
    made: list[str] = []

    def commit(name: str, *changes: str, command: str = "true") -> str:
        container = docker("create", base, "sh", "-c", command).stdout.strip()
        docker("start", "-a", container)
        flags = [word for change in changes for word in ("--change", change)]
        docker("commit", *flags, container, f"quantainer-test/{name}")
        docker("rm", container)
        made.append(f"quantainer-test/{name}")
        return made[-1]

    yield commit
    for image in made:
        docker("image", "rm", "-f", image, check=False)


@pytest.fixture(scope="session")
def without_v2() -> Iterator[tuple[str, ...]]:
    """Words that run a command where a v1 host's unused v2 controllers are hidden.

    crun refuses hosts that have controllers on both; it is shown none on v2, in a mount namespace
    that only the test sees.
    """
    listed = Path("/sys/fs/cgroup/unified/cgroup.controllers")
    if not listed.exists():
        yield ()
        return
    hide = f"mount --bind /dev/null {listed} && echo ready && exec sleep infinity"
    holder = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", hide], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        if holder.stdout.readline().strip() != "ready":
            pytest.skip("a mount namespace cannot be made here")
        yield ("nsenter", f"--mount=/proc/{holder.pid}/ns/mnt")
    finally:
        holder.kill()
        holder.communicate()


# --- An ordinary user --------------------------------------------------------------------------


@pytest.fixture(scope="session")
def user_broker() -> Iterator[Broker]:
    """A broker of the user ``nobody``, run by it."""
    if os.geteuid() != 0:
        pytest.skip("the tests run as an ordinary user already")
    nobody = pwd.getpwnam("nobody")
    python = python_of(nobody.pw_uid)
    if python is None:
        pytest.skip("this checkout or its Python lies where other users may not read")
    running = brokers.make()
    os.chown(running.home, nobody.pw_uid, nobody.pw_gid)
    running.user, running.program = "nobody", (python, "-m", "quantainer")
    running.settings |= {"HOME": "/nonexistent", "PYTHONPATH": IMPORTS}
    try:
        running.start()
        yield running
    finally:
        brokers.remove(running)


IMPORTS = ":".join(
    [
        sysconfig.get_paths()["purelib"],
        str(Path(quantainer.__file__).parents[1]),
        str(Path(quantainer_client.__file__).parents[1]),
    ]
)


def python_of(uid: int) -> str | None:
    """Return a Python of the tests' version that the user may run with the tests' packages."""
    wanted = (
        "import quantainer, qiskit, sys;"
        f"sys.exit(sys.version_info[:2] != {tuple(sys.version_info[:2])})"
    )
    environment = {"PYTHONPATH": IMPORTS}
    for python in (sys.executable, "/usr/bin/python3"):
        command = [python, "-c", wanted]
        try:
            done = subprocess.run(
                command, user=uid, env=environment, capture_output=True, cwd="/", check=False
            )
        except OSError:
            continue
        if done.returncode == 0:
            return python
    return None
