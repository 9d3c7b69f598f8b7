"""The device on rootless Docker: containers in a user namespace, without control groups."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from engine import rootless
from engine.broker import Broker
from engine.docker import Docker
from engine.host import UnavailableError
from engines.conftest import DEVICE

pytestmark = pytest.mark.engine

GHZ = """
import os
from quantainer_client import Circuit, run
circuit = Circuit(3).h(0).cx(0, 1).cx(1, 2)
print(os.getuid(), sorted(run(circuit.measure_all(), shots=200).counts()))
"""
WHO = """
import json, sys, time
from quantainer_client import connect
print(json.dumps(connect().hello()["lease"]), flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Docker]:
    try:
        running = rootless.start()
    except UnavailableError as reason:
        pytest.skip(str(reason))
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def image(engine: Docker) -> str:
    return rootless.load_base(engine)


@pytest.fixture(scope="module")
def owner(engine: Docker, user_broker: Broker) -> Broker:
    """The same user's broker, described where the engine looks."""
    user_broker("cdi", "generate", "-o", engine.cdi / "quantainer.yaml")
    return user_broker


def run(engine: Docker, *words: str, check: bool = True) -> str:
    done = engine("run", "--rm", "--network=none", *words, check=check)
    return done.stdout.strip() if check else done.stderr


def test_it_is_rootless(engine: Docker) -> None:
    said = engine("info", "--format", "{{json .SecurityOptions}}").stdout
    assert any("rootless" in option for option in json.loads(said))


def test_plain_docker_run_gets_a_device(engine: Docker, image: str, owner: Broker) -> None:
    assert run(engine, *DEVICE, image, "python3", "-c", GHZ) == "0 ['000', '111']"
    as_user = run(engine, "--user", "1234", *DEVICE, image, "python3", "-c", GHZ)
    assert as_user == "1234 ['000', '111']"
    assert owner.leases() == []


def test_two_containers_are_two_tenants(engine: Docker, image: str, owner: Broker) -> None:
    words = ("run", "-d", "--network=none", *DEVICE, image, "python3", "-c", WHO)
    names = [engine(*words).stdout.strip() for _ in range(2)]
    try:
        said = [_first_line(engine, name) for name in names]
        assert [lease["tenant"] for lease in said] == names
        assert {lease["container"] for lease in owner.leases()} == set(names)
        # One ends, the other stays.
        engine("rm", "-f", names[0])
        deadline = time.monotonic() + 20
        while len(owner.leases()) != 1:
            assert time.monotonic() < deadline
        assert owner.leases()[0]["container"] == names[1]
    finally:
        engine("rm", "-f", *names, check=False)


def _first_line(engine: Docker, name: str) -> dict[str, str]:
    deadline = time.monotonic() + 60
    while not (said := engine("logs", name).stdout):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    found: dict[str, str] = json.loads(said.splitlines()[0])
    return found


def test_without_the_device_there_is_no_lease(engine: Docker, image: str, owner: Broker) -> None:
    device = owner.home / "run" / "dev"
    client = next((owner.home / "run" / "client").iterdir())
    code = (
        "from quantainer_client import connect\n"
        "try: connect().hello()\n"
        "except Exception as error: print(error.code)"
    )
    words = ("-v", f"{device}:/dev/quantum:ro", "-v", f"{client}:/c:ro", "-e", "PYTHONPATH=/c")
    assert run(engine, *words, image, "python3", "-c", code) == "no_lease"


def test_what_cannot_be_told_from_the_host_is_refused(
    engine: Docker, image: str, owner: Broker
) -> None:
    refused = run(engine, "--pid=host", *DEVICE, image, "true", check=False)
    assert "neither a control group nor a pid namespace of its own" in refused
    assert owner.leases() == []


def test_without_its_broker_a_container_does_not_start(
    engine: Docker, image: str, owner: Broker
) -> None:
    owner.stop()
    try:
        refused = run(engine, *DEVICE, image, "true", check=False)
    finally:
        owner.start()
    assert "quantainer up" in refused
