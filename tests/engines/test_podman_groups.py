"""Podman's containers without control groups of their own: told apart all the same, or refused."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from engine import base_image
from engine.broker import Broker
from engines.test_podman import (  # noqa: F401 - fixtures
    DEVICE,
    LIMITS,
    Podman,
    broker,
    enter,
    podman,
    runtime,
)
from isolation.box import Group

pytestmark = pytest.mark.engine

UNGROUPED = ("--cgroups=disabled", "--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096")
WHO = (
    "import json, sys; from quantainer_client import connect;"
    "print(json.dumps(connect().hello()['lease']['id']), flush=True); sys.stdin.read()"
)


@pytest.fixture
def session() -> Iterator[Group]:
    """A control group from which containers are started, as a login session's."""
    group = Group("session")
    group.take(os.getpid())
    yield group
    group.expel(os.getpid())
    group.remove()


@pytest.fixture
def ungrouped(podman: Podman, session: Group) -> Podman:  # noqa: F811
    """Podman that makes no control groups."""
    probe = podman("run", "--rm", *UNGROUPED, base_image.NAME, "true", check=False)
    if probe.returncode:
        pytest.skip(f"no --cgroups=disabled here: {probe.stderr.strip().splitlines()[-1]}")
    return podman


def says(refusal: str, ours: str) -> bool:
    """Tell whether Podman or the broker refused; recent Podman does so before any hook runs."""
    podmans = (
        "containers not creating Cgroups must create a private PID namespace",
        "cannot join another container's PID namespace if not creating cgroups",
    )
    return any(words in refusal for words in (ours, *podmans))


def test_two_containers_without_groups_are_two_leases(
    ungrouped: Podman,
    broker: Broker,  # noqa: F811
) -> None:
    names = [
        ungrouped(
            *("run", "-d", "-i", "--rm", "--network=none", *UNGROUPED, *DEVICE),
            *(base_image.NAME, "python3", "-c", WHO),
        ).stdout.strip()
        for _ in range(2)
    ]
    try:
        leases = {lease["container"]: lease for lease in broker.leases()}
        assert set(names) == set(leases)
        assert all(lease["anchor"].startswith("pidns:") for lease in leases.values())
        for name in names:
            said = ""
            while not said:
                said = ungrouped("logs", name).stdout.strip()
            assert json.loads(said) == leases[name]["id"]
    finally:
        ungrouped("rm", "-f", "-t", "0", *names)
    assert broker.leases() == []


def test_without_a_pid_namespace_either_the_start_is_refused(
    ungrouped: Podman,
    broker: Broker,  # noqa: F811
) -> None:
    words = ("--network=none", *UNGROUPED, *DEVICE, base_image.NAME, "true")
    done = ungrouped("run", "--rm", "--pid=host", *words, check=False)
    assert done.returncode != 0
    assert says(done.stderr, "neither a control group nor a pid namespace of its own")
    assert broker.leases() == []


def test_a_shared_pid_namespace_without_groups_is_refused(
    ungrouped: Podman,
    broker: Broker,  # noqa: F811
) -> None:
    owner = ungrouped(
        *("run", "-d", "--rm", *LIMITS, *DEVICE, base_image.NAME, "sleep", "600")
    ).stdout.strip()
    try:
        words = ("--network=none", *UNGROUPED, *DEVICE, base_image.NAME, "true")
        done = ungrouped("run", "--rm", f"--pid=container:{owner}", *words, check=False)
        assert done.returncode != 0
        assert says(done.stderr, "pid namespace it shares")
        assert [lease["container"] for lease in broker.leases()] == [owner]
    finally:
        ungrouped("rm", "-f", "-t", "0", owner)
