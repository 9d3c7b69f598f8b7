"""``quantainer bench device``: what a container pays for its qubits, beside what peers need.

Every section is one function that returns JSON fields. Peers run in the same call, in turn with us.
"""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from quantainer_bench.circuits import ghz
from quantainer_bench.contest import against_engines
from quantainer_bench.private_broker import private_broker
from quantainer_bench.rounds import Times, ratio, time_each, time_rounds
from quantainer_bench.start import engine_here, in_containers
from quantainer_client import Circuit
from quantainer_client.connection import Connection

__all__ = ["run"]

SHOTS = 1000
GHZ_WIDTHS = (4, 20, 50, 100, 1000)
_AER_ROUNDS = {4: (20, 9), 20: (20, 9), 50: (15, 9), 100: (5, 5), 1000: (1, 1)}
"""Rounds, and calls in each: Aer's stabilizer method grows with the cube of the width, to over a
minute a run at 1000."""


def run(
    say: Callable[[str], None], *, engines: bool = True, containers: bool = True
) -> dict[str, Any]:
    """Run every section.

    Args:
        say: Called with a line before each section, for progress.
        engines: Also compare with every single engine (minutes).
        containers: Also start containers; first, for that is what can be refused.

    Raises:
        QuantainerError: ``invalid_option`` if a broker that runs has described its devices to
            Docker, ``backend_failed`` with what the engine said if a container does not run.
    """
    report: dict[str, Any] = {}
    started: dict[str, Any] = {}
    if containers:
        engine = engine_here()
        say(f"container start with and without the device, GHZ-50 from inside: {engine.name}")
        started = in_containers(engine)
    with private_broker() as broker:
        connection = broker.connect()
        say("hello: round trips through the broker")
        report["hello"] = _hello(connection)
        report["ghz"] = {}
        for qubits in GHZ_WIDTHS:
            say(f"GHZ-{qubits}: cold, warm, Aer, Stim")
            report["ghz"][str(qubits)] = _ghz(connection, qubits)
        if engines:
            report |= against_engines(connection, say)
    report |= started
    say("client import")
    report["client_import_ms"] = _client_import().median
    return report


def _hello(connection: Connection) -> dict[str, float]:
    times = time_each(connection.hello, repeats=5000, warmup=200)
    return {"p50_us": times.median * 1e3, "p99_us": times.quantile(0.99) * 1e3, "n": 5000}


def _ghz(connection: Connection, qubits: int) -> dict[str, Any]:
    cold = Times(tuple(_cold_ms(connection, qubits, seed) for seed in range(10)))
    known = _ghz_circuit(range(qubits))

    def ours() -> object:
        return connection.run(known, shots=SHOTS)

    warm = time_each(ours, repeats=300, warmup=20)
    contenders = {"ours": ours, "aer": _aer_automatic(qubits), "stim": _stim(qubits)}
    turns, burst = _AER_ROUNDS[qubits]
    rounds = time_rounds(contenders, turns, warmup=min(1, turns - 1), burst=burst)
    return {
        "cold_ms": cold.median,
        "cold": cold.fields(),
        "warm_p50_ms": warm.median,
        "warm": warm.fields(),
        "aer": rounds["aer"].fields(),
        "stim": rounds["stim"].fields(),
        "aer_over_ours": ratio(rounds["aer"], rounds["ours"])["p50"],
        "aer_over_ours_spread": ratio(rounds["aer"], rounds["ours"]),
        "ours_over_stim": ratio(rounds["ours"], rounds["stim"])["p50"],
    }


def _cold_ms(connection: Connection, qubits: int, seed: int) -> float:
    """Time a GHZ circuit whose chain no one has seen: its qubits are shuffled."""
    order = list(range(qubits))
    random.Random(f"{qubits} {seed}").shuffle(order)
    circuit = _ghz_circuit(order)
    return time_each(lambda: connection.run(circuit, shots=SHOTS), repeats=1, warmup=0).median


def _ghz_circuit(order: Any) -> Circuit:
    chain = list(order)
    circuit = Circuit(len(chain))
    circuit.h(chain[0])
    for control, target in itertools.pairwise(chain):
        circuit.cx(control, target)
    circuit.measure_all()
    return circuit


def _aer_automatic(qubits: int) -> Callable[[], object]:
    from qiskit_aer import AerSimulator

    simulator = AerSimulator()
    circuit = ghz(qubits)
    return lambda: simulator.run(circuit, shots=SHOTS).result().get_counts()


def _stim(qubits: int) -> Callable[[], object]:
    import stim

    chain = "".join(f"CX {qubit} {qubit + 1}\n" for qubit in range(qubits - 1))
    everything = " ".join(str(qubit) for qubit in range(qubits))
    circuit = stim.Circuit(f"H 0\n{chain}M {everything}")
    return lambda: circuit.compile_sampler().sample_bit_packed(SHOTS)


def _client_import() -> Times:
    command = [sys.executable, "-I", "-S", "-c", _IMPORT.format(path=_client_path())]
    values = []
    for _ in range(11):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        values.append(float(done.stdout))
    return Times(tuple(values[1:]))


_IMPORT = """
import sys, time
sys.path.insert(0, {path!r})
started = time.perf_counter_ns()
import quantainer_client
from quantainer_client import Circuit, run
print((time.perf_counter_ns() - started) / 1e6)
"""


def _client_path() -> str:
    import quantainer_client

    return str(quantainer_client.__path__[0]).rsplit("/", 1)[0]
