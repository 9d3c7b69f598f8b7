"""Two containers at once: each has its own jobs and knows nothing of the other's."""

from __future__ import annotations

import json

import pytest

from engine.broker import Broker
from engine.docker import Docker
from engines.conftest import DEVICE

pytestmark = pytest.mark.engine

SUBMIT = """
import json, sys
from quantainer_client import Circuit, connect
connection = connect()
circuit = Circuit(3)
circuit.x(int(sys.argv[1]))
job = connection.submit(circuit.measure_all(), shots=100)
print(json.dumps({"job": job.id, "counts": job.result().counts()}))
"""
SPY = """
import json, sys
from quantainer_client import QuantainerError, connect
connection = connect()
answers = []

for ask in (connection.result, connection.cancel):
    try:
        answers.append(str(ask(sys.argv[1])))
    except QuantainerError as error:
        answers.append(error.code)
print(json.dumps({"answers": answers, "jobs": [job["job"] for job in connection.jobs()]}))
"""


def test_neither_sees_the_others_jobs(docker: Docker, base: str, broker: Broker) -> None:
    names = [
        docker("run", "-d", "--network", "none", *DEVICE, base, "sleep", "90").stdout.strip()
        for _ in range(2)
    ]
    path = ("-e", "PYTHONPATH=/opt/quantainer")

    def python(name: str, code: str, *words: str) -> dict[str, object]:
        answer: dict[str, object] = json.loads(
            docker("exec", *path, name, "python3", "-c", code, *words).stdout
        )
        return answer

    try:
        first, second = (python(name, SUBMIT, str(bit)) for bit, name in enumerate(names))
        assert first["counts"] == {"001": 100}
        assert second["counts"] == {"010": 100}
        spied = python(names[1], SPY, str(first["job"]))
        assert spied["answers"] == ["unknown_job", "unknown_job"]
        assert spied["jobs"] == [second["job"]]
        nothing = python(names[1], SPY, "0" * 24)
        assert nothing["answers"] == spied["answers"]  # its very existence is not told
    finally:
        docker("rm", "-f", *names)


def test_container_without_a_lease_is_refused_at_the_socket(
    docker: Docker, base: str, broker: Broker
) -> None:
    """A container that mounts the folder by itself has the socket, but no lease."""
    client = next((broker.home / "run" / "client").iterdir())
    mounts = ("-v", f"{broker.home}/run/dev:/dev/quantum", "-v", f"{client}:/opt/quantainer:ro")
    code = "from quantainer_client import connect; connect().hello()"
    options = (*mounts, "-e", "PYTHONPATH=/opt/quantainer", "-e", "QUANTAINER_PYTHONPATH=")
    done = docker("run", "--rm", *options, base, "python3", "-c", code, check=False)
    assert done.returncode == 1
    assert "belongs to no container with a quantum device" in done.stderr


def test_host_socket_is_refused_to_containers(docker: Docker, base: str, broker: Broker) -> None:
    code = (
        "from quantainer_client import QuantainerError, connect\n"
        "try: print(connect('/run/broker.sock').hello())\n"
        "except QuantainerError as error: print(error.code)"
    )
    mount = ("-v", f"{broker.socket}:/run/broker.sock")
    done = docker("run", "--rm", *mount, *DEVICE, base, "python3", "-c", code)
    assert done.stdout.strip() in ("forbidden", "no_lease")
