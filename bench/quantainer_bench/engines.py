"""Every engine on every class of circuit: the table that the choice of ``qsim`` rests on.

``python -m quantainer_bench.engines [--json] [--rounds N] [--largest QUBITS] [--threads N]
[--only CLASS]``. Engines take turns round by round in one process; preparing a circuit is timed
apart from drawing 1000 shots. The numbers belong into ``src/quantainer/backends/rates.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from qiskit import QuantumCircuit

from quantainer.backends.simulators.catalogue import Catalogue
from quantainer.backends.simulators.lowering import lower
from quantainer.backends.simulators.simulator import Method, Precision
from quantainer_bench.circuits import dynamic, ghz, near_clifford, random_dense, weakly_entangled
from quantainer_bench.rounds import Times

__all__ = ["main", "table"]

SHOTS = 1000
_SLOW_MS = 3_000.0
"""A contender slower than this is not asked again, nor for a larger circuit of its class."""

Contender = tuple[str, Method, Precision]  # engine, method, precision


def brick_clifford(qubits: int, layers: int = 20, seed: int = 7) -> QuantumCircuit:
    """Return a random Clifford brick."""
    return near_clifford(qubits, t_gates=0, layers=layers, seed=seed)


def classes(largest: int) -> Iterator[tuple[str, int, QuantumCircuit, tuple[str, ...]]]:
    """Yield class, size, circuit, and the methods that compete."""
    for qubits in (4, 10, 16, 20, 22, 24, 26):
        if qubits <= largest:
            yield "random", qubits, random_dense(qubits), ("statevector",)
    for qubits in (4, 50, 1000):
        yield "ghz", qubits, ghz(qubits), ("stabilizer",)
    for qubits in (50, 200, 1000):
        yield "clifford", qubits, brick_clifford(qubits), ("stabilizer",)
    for layers in (5, 10, 20):
        yield "wide", layers, weakly_entangled(30, layers), ("mps",)
    for t_gates in (5, 10, 20, 24):
        circuit = near_clifford(40, t_gates)
        yield "near_clifford", t_gates, circuit, ("near_clifford", "mps")
    for qubits in (5, 12, 16):
        yield "dynamic", qubits, dynamic(qubits, 5), ("trajectories",)


def table(rounds: int, largest: int, threads: int, only: str | None) -> Iterator[dict[str, Any]]:
    """Yield one row for each contender, class and size: preparation and sampling."""
    catalogue = Catalogue()
    engines = {name: catalogue.ready(name) for name in tuple(catalogue.offered)}
    out: set[tuple[str, Contender]] = set()
    for name, size, circuit, methods in classes(largest):
        if only not in (None, name):
            continue
        program = lower(circuit)
        prepared: dict[Contender, Any] = {}
        preparing: dict[Contender, float] = {}
        for engine in filter(None, engines.values()):
            for method in sorted(engine.methods.intersection(methods)):
                for precision in sorted(engine.precisions):
                    who: Contender = (engine.name, method, precision)
                    hopeless = engine.name == "aer" and size > 200  # a minute a run
                    if hopeless or (name, who) in out or engine.refuses(program, method):
                        continue
                    started = time.perf_counter_ns()
                    prepared[who] = engine.prepare(program, method, precision)
                    preparing[who] = (time.perf_counter_ns() - started) / 1e6
        drawn = _race(prepared, rounds, threads, {who for kind, who in out if kind == name})
        for who, values in drawn.items():
            if not values or max(values) > _SLOW_MS:
                out.add((name, who))
            if values:
                yield (
                    {"class": name, "size": size, "engine": who[0], "method": who[1]}
                    | {"precision": who[2], "prepare_ms": preparing[who]}
                    | Times(tuple(values)).fields()
                )


def _race(
    prepared: dict[Contender, Any], rounds: int, threads: int, out: set[Contender]
) -> dict[Contender, list[float]]:
    """Return the times of each contender; the first round counts for the slow ones only."""
    drawn: dict[Contender, list[float]] = {who: [] for who in prepared}
    for number in range(rounds + 1):
        for who, one in prepared.items():
            if who in out:
                continue
            started = time.perf_counter_ns()
            try:
                one.sample(SHOTS, number, threads)
            except Exception as error:
                sys.stderr.write(f"{who}: {type(error).__name__}: {error}\n")
                out.add(who)
                continue
            elapsed = (time.perf_counter_ns() - started) / 1e6
            if number or elapsed > _SLOW_MS:
                drawn[who].append(elapsed)
            if elapsed > _SLOW_MS:
                out.add(who)
    return drawn


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--largest", type=int, default=22, help="widest dense circuit")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", help="one class: random, ghz, clifford, wide, …")
    chosen = parser.parse_args()
    rows = table(chosen.rounds, chosen.largest, chosen.threads, chosen.only)
    if chosen.json:
        report = {"threads": chosen.threads, "shots": SHOTS, "rows": list(rows)}
        print(json.dumps(report, indent=1))
        return
    for row in rows:
        print(
            f"{row['class']:14}{row['size']:6}  {row['engine']:10}{row['method']:14}"
            f"{row['precision']:7}  prepare {row['prepare_ms']:9.2f}  "
            f"min {row['min_ms']:10.3f}  median {row['p50_ms']:10.3f}  "
            f"max {row['max_ms']:10.3f} ms",
            flush=True,
        )


if __name__ == "__main__":
    # Spinning threads of two engines would wait for each other.
    if os.environ.get("OMP_WAIT_POLICY") != "PASSIVE":
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.execv(sys.executable, [sys.executable, "-m", "quantainer_bench.engines", *sys.argv[1:]])
    main()
