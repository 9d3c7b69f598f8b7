"""The automatic choice of ``qsim`` against each single engine, class of circuit by class."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from qiskit import QuantumCircuit

from quantainer.backends.simulators.catalogue import ADAPTERS, Catalogue
from quantainer_bench.circuits import dynamic, near_clifford, random_dense, weakly_entangled
from quantainer_bench.peer import Peer, qpy_bytes
from quantainer_bench.rounds import Times, time_each
from quantainer_client.connection import Connection
from quantainer_client.submission import Pub

__all__ = ["against_engines"]

SHOTS = 1000
ROUNDS = 5
_BURST = 3
_PATIENCE_S = 60.0
_SLOW_MS = 3000.0
"""A contender slower than this runs in the first round only."""
_DENSE = (("statevector", "single"), ("statevector", "double"))


def against_engines(connection: Connection, say: Callable[[str], None]) -> dict[str, Any]:
    """Return, for each class, our time end to end and the best single engine's, sampling alone.

    The engines run in processes of their own with the threads that the broker gives a job; their
    time excludes conversion of the circuit, which has woken the processors; ours includes
    everything from submit to result, and is the median of a few calls in a row.
    """
    threads = connection.run(_pub(random_dense(4)), shots=1).metadata["threads"]
    report: dict[str, Any] = {"random": {}}
    with ExitStack() as stack:
        peers = [stack.enter_context(Peer(name, _PATIENCE_S)) for name in ADAPTERS]
        for name, why in Catalogue().dropped.items():
            say(f"engine {name} is left out: {why}")
        for qubits in (10, 16, 20, 24):
            say(f"random dense circuit, {qubits} qubits, against each engine")
            report["random"][str(qubits)] = _contest(
                connection, peers, random_dense(qubits), _DENSE, threads
            )
        classes = {
            "wide": (weakly_entangled(), (("mps", "single"), ("mps", "double"))),
            "near_clifford": (near_clifford(), (("near_clifford", "double"), ("mps", "double"))),
            "dynamic": (dynamic(), (*_DENSE, ("trajectories", "double"))),
        }
        for name, (circuit, ways) in classes.items():
            say(f"{name.replace('_', '-')} circuit against each engine")
            report[name] = _contest(connection, peers, circuit, ways, threads)
    return report


def _contest(
    connection: Connection,
    peers: list[Peer],
    circuit: QuantumCircuit,
    ways: tuple[tuple[str, str], ...],
    threads: int,
) -> dict[str, Any]:
    pub = _pub(circuit)
    ours: list[float] = []
    theirs: dict[str, list[float] | str] = {}
    for number in range(ROUNDS + 1):
        elapsed = time_each(lambda: connection.run(pub, shots=SHOTS), _BURST, warmup=0).median
        ours += [elapsed] if number else []
        for peer in peers:
            for method, precision in ways:
                key = f"{peer.engine} {method} {precision}"
                _add(theirs, key, peer, circuit, (method, precision, SHOTS, threads))
    times = {key: Times(tuple(v)) for key, v in theirs.items() if not isinstance(v, str)}
    metadata = connection.run(pub, shots=SHOTS).metadata
    return {
        "ours_ms": Times(tuple(ours)).median,
        "ours": Times(tuple(ours)).fields(),
        "chosen": f"{metadata['engine']} {metadata['method']} {metadata['precision']}",
        **_best(times, Times(tuple(ours)).median),
        "engines": {
            key: value if isinstance(value, str) else times[key].fields()
            for key, value in theirs.items()
        },
    }


def _best(times: dict[str, Times], ours_ms: float) -> dict[str, Any]:
    """Return the fastest engine; nothing is known of it where none could run the circuit."""
    if not times:
        return {"best_single": None, "best_single_ms": None, "ours_over_best": None}
    best = min(times, key=lambda key: times[key].median)
    return {
        "best_single": best,
        "best_single_ms": times[best].median,
        "ours_over_best": ours_ms / times[best].median,
    }


def _add(
    theirs: dict[str, list[float] | str],
    key: str,
    peer: Peer,
    circuit: QuantumCircuit,
    run: tuple[str, str, int, int],
) -> None:
    """Time one contender once more, unless it is out or too slow to be asked again.

    The first time counts only for those too slow to be asked twice.
    """
    so_far = theirs.get(key, [])
    if isinstance(so_far, str) or (so_far and so_far[0] > _SLOW_MS):
        return
    elapsed = peer.time_ms(circuit, *run)
    theirs[key] = elapsed if isinstance(elapsed, str) else [*so_far, elapsed]


def _pub(circuit: QuantumCircuit) -> Pub:
    return Pub(qpy_bytes(circuit), format="qpy")
