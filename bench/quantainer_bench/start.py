"""Containers with and without the device: how long they take to start, and GHZ-50 from inside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from quantainer.device import cdi
from quantainer_bench.described import broker_in, refuse_if_in_use
from quantainer_bench.private_broker import PrivateBroker, private_broker
from quantainer_bench.rounds import ratio, time_rounds
from quantainer_client.errors import QuantainerError

__all__ = ["DEFAULT_IMAGE", "Engine", "engine_here", "in_containers"]

ROUNDS = 20
DEFAULT_IMAGE = "python:3.11-slim"
_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Engine:
    """How a container is run here.

    Attributes:
        plain: Command line up to the image, without the device.
        device: What goes in front of the image to grant the device.
        cdi_dir: Where the engine looks for CDI specifications; None if it needs none.
    """

    name: str
    plain: tuple[str, ...]
    device: tuple[str, ...]
    image: str
    cdi_dir: str | None

    def command(self, *words: str, device: bool) -> list[str]:
        granted = self.device if device else ()
        return [*self.plain, *granted, self.image, *words]


def engine_here() -> Engine:
    """Return the engine that containers are to run on.

    Docker 27 or newer where it runs and has the image that the environment variable
    QUANTAINER_BENCH_IMAGE names (default python:3.11-slim), else the embedded engine.

    Raises:
        QuantainerError: ``invalid_option`` if another broker's devices are those that Docker knows.
    """
    engine = _docker() or _embedded()
    if engine.cdi_dir is not None:
        refuse_if_in_use(engine.cdi_dir)
    return engine


def in_containers(engine: Engine) -> dict[str, Any]:
    """Return ``container_start`` and ``container_ghz`` as JSON fields.

    Raises:
        QuantainerError: ``backend_failed`` with what the engine said if a container does not run.
    """
    with _broker_for(engine) as broker:
        environment = broker.environment

        def start(*, device: bool) -> None:
            _run(engine.command("true", device=device), environment)

        times = time_rounds(
            {"plain": lambda: start(device=False), "device": lambda: start(device=True)}, ROUNDS
        )
        inside = _run(engine.command("python3", "-c", _GHZ_INSIDE, device=True), environment)
    return {
        "container_start": {
            "engine": engine.name,
            "plain": times["plain"].fields(),
            "device": times["device"].fields(),
            "ratio": ratio(times["device"], times["plain"])["p50"],
            "ratio_spread": ratio(times["device"], times["plain"]),
        },
        "container_ghz": {"engine": engine.name, "50": json.loads(inside)},
    }


def _broker_for(engine: Engine) -> AbstractContextManager[PrivateBroker]:
    return private_broker() if engine.cdi_dir is None else broker_in(engine.cdi_dir)


def _docker() -> Engine | None:
    form = "{{.ServerVersion}} {{json .CDISpecDirs}}"
    image = os.environ.get("QUANTAINER_BENCH_IMAGE", DEFAULT_IMAGE)
    try:
        said = _run(["docker", "info", "--format", form], dict(os.environ))
        _run(["docker", "image", "inspect", image], dict(os.environ))
    except QuantainerError:
        return None
    version, _, folders = said.partition(" ")
    writable = [folder for folder in json.loads(folders) or () if os.access(folder, os.W_OK)]
    if int(version.split(".")[0]) < 27 or not writable:
        return None
    return Engine(
        f"docker {version}",
        ("docker", "run", "--rm", "--network", "none"),
        ("--device", f"{cdi.KIND}=qsim"),
        image,
        writable[-1],
    )


def _embedded() -> Engine:
    run = (sys.executable, "-m", "quantainer", "run", "--engine", "embedded", "--rm")
    return Engine("embedded", run, ("--device", "/dev/qsim"), "host", None)


def _run(command: list[str], environment: dict[str, str]) -> str:
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        )
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip() or f"exit {error.returncode}"
        raise _failed(command, said) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _failed(command, str(error)) from None
    return done.stdout


def _failed(command: list[str], said: str) -> QuantainerError:
    return QuantainerError("backend_failed", f"{' '.join(command[:6])} …: {said[-500:]}")


_GHZ_INSIDE = """
import json, time
from quantainer_client import Circuit, Connection
circuit = Circuit(50)
circuit.h(0)
for qubit in range(49):
    circuit.cx(qubit, qubit + 1)
circuit.measure_all()
connection = Connection()
times = []
for _ in range(520):
    started = time.perf_counter_ns()
    result = connection.run(circuit, shots=1000)
    times.append((time.perf_counter_ns() - started) / 1e6)
assert set(result.counts()) == {"0" * 50, "1" * 50}
warm = sorted(times[20:])
found = {"cold_ms": times[0], "n": 500, "warm_p50_ms": warm[250], "warm_p95_ms": warm[475]}
print(json.dumps(found))
"""
