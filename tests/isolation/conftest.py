"""Containers without an engine, and the engine's fixtures for what only it shows."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import broker as brokers
from engine.broker import Broker
from engine.docker import Docker
from engines.conftest import base, build, docker, user_broker, without_v2  # noqa: F401 - fixtures
from isolation.box import CGROUPS, Box, Group, lease


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    for item in items:
        if "isolation" in item.path.parts and item.get_closest_marker("ordinary") is None:
            item.add_marker(pytest.mark.skip(reason="makes namespaces and control groups: root"))


@pytest.fixture
def box(broker: Broker) -> Iterator[Callable[..., Box]]:
    """Start boxes; each has a lease by its pid namespace unless ``leased=False``."""
    made: list[Box] = []

    def start(name: str, *, leased: bool = True, **options: Any) -> Box:
        fields = options.pop("fields", {})
        made.append(Box(broker, **options))
        if leased:
            lease(broker, name, pid=made[-1].pid, **({"anchor": "pidns"} | fields))
        return made[-1]

    yield start
    for each in made:
        each.stop()


@pytest.fixture
def group() -> Iterator[Callable[..., Group]]:
    """Make control groups."""
    if not os.access(CGROUPS, os.W_OK):
        pytest.skip("control groups cannot be made here")
    made: list[Group] = []

    def make(name: str, parent: Group | None = None) -> Group:
        try:
            made.append(Group(name, parent))
        except OSError as error:
            pytest.skip(f"control groups cannot be made here: {error}")
        return made[-1]

    yield make
    for each in reversed(made):
        each.remove()


# --- A real engine -----------------------------------------------------------------------------

# Numbers that containers may not open by default, of drivers that do nothing when opened.
_DRIVERS = ("loop-control", "fuse", "hw_random", "vga_arbiter")


@pytest.fixture(scope="session")
def misc() -> list[int]:
    """Minor numbers of two such drivers (major 10)."""
    lines = [line.split() for line in Path("/proc/misc").read_text().splitlines()]
    numbers = {name: int(number) for number, name in lines}
    found = [numbers[name] for name in _DRIVERS if name in numbers]
    if len(found) < 2:
        pytest.skip(f"this kernel has none of the harmless drivers {', '.join(_DRIVERS)}")
    return found[:2]


@pytest.fixture(scope="session")
def nodes(misc: list[int]) -> Iterator[dict[str, str]]:
    """Device nodes of the test's own, under names of their own: ``full`` and ``misc``."""
    prefix = f"/dev/quantainer-test-{os.getpid()}"
    made = {"full": f"{prefix}-full", "misc": f"{prefix}-misc", "gone": f"{prefix}-gone"}
    numbers = {"full": (1, 7), "misc": (10, misc[0])}
    try:
        for name, number in numbers.items():
            os.mknod(made[name], stat.S_IFCHR | 0o600, os.makedev(*number))
    except OSError as error:
        pytest.skip(f"device nodes cannot be made here: {error}")
    Path(f"{prefix}-link").symlink_to(made["full"])
    yield made | {"link": f"{prefix}-link"}
    for path in (*made.values(), f"{prefix}-link"):
        Path(path).unlink(missing_ok=True)


def granted(nodes: dict[str, str]) -> str:
    """Return the setting ``nodes``: one for reading only, one through a link, and one missing."""
    return json.dumps(
        {
            "qsim": [f"{nodes['misc']}:/dev/qpu-control:r", f"{nodes['link']}:/dev/qpu0"],
            "fake_sherbrooke": [nodes["gone"]],
        }
    )


@pytest.fixture(scope="session")
def engine_broker(docker: Docker, nodes: dict[str, str]) -> Iterator[Broker]:  # noqa: F811
    """A broker that the engine knows, with device nodes."""
    running = brokers.make(docker.cdi, stop_grace="1", workers="1", nodes=granted(nodes))
    try:
        running.start()
        yield running
    finally:
        brokers.remove(running)
