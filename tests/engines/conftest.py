"""One engine and one broker for the whole test run."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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
