"""200 random circuits through every engine, method and precision, against exact probabilities.

Chi-square tests, each failing a right engine with chance 1e-9 (``exact.ALARM``): some 4,000
comparisons give a false alarm in 4 of a million runs; and seeds are fixed, so a run that passed
passes again.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import random_circuits as rc
from exact import check, distribution, memories, pub_of, run
from qiskit import QuantumCircuit

from quantainer.backends.backend import Limits, Options, Plan, Pub
from quantainer.backends.choice import METHODS
from quantainer.backends.qsim import Qsim
from quantainer.backends.simulators.catalogue import ADAPTERS, Catalogue
from quantainer_client.errors import QuantainerError

KINDS: dict[str, tuple[Callable[[int], QuantumCircuit], int]] = {
    "dense": (rc.dense, 90),
    "clifford": (rc.clifford, 40),
    "near_clifford": (rc.near_clifford, 30),
    "feed_forward": (rc.with_feed_forward, 25),
    "clifford_feed_forward": (lambda seed: rc.with_feed_forward(seed, only_clifford=True), 15),
}
MUST_RUN = {
    "dense": {("aer", "statevector"), ("aer", "mps"), ("aer", "density_matrix")},
    "clifford": {("stim", "stabilizer"), ("aer", "statevector")},
    "near_clifford": {("aer", "statevector")},
    "feed_forward": {("aer", "trajectories"), ("numpy", "trajectories")},
    "clifford_feed_forward": {("stim", "stabilizer"), ("aer", "trajectories")},
}
FAST = {
    "dense": {("panta", "statevector"), ("panta", "mps"), ("qevedo", "mps")},
    "clifford": {("prism", "stabilizer")},
    "near_clifford": {("prism", "near_clifford"), ("qevedo", "near_clifford")},
    "feed_forward": {("panta", "trajectories"), ("lightning", "trajectories")},
    "clifford_feed_forward": {("panta", "trajectories")},
}


def test_there_are_200() -> None:
    assert sum(count for _, count in KINDS.values()) == 200


def planned(qsim: Qsim, pub: Pub, options: Options, limits: Limits) -> Plan | None:
    """Return the plan, ``None`` if the engine says that it cannot run the circuit."""
    try:
        return qsim.plan(pub, options, limits)
    except QuantainerError as refused:
        if refused.code != "unsupported_circuit":
            raise
        return None


@pytest.mark.parametrize("kind", KINDS)
def test_every_engine_and_method(
    kind: str, qsim: Qsim, catalogue: Catalogue, limits: Limits
) -> None:
    make, count = KINDS[kind]
    ran: set[tuple[str, str]] = set()
    for seed in range(count):
        circuit = make(seed)
        expected = distribution(circuit)
        clbits = circuit.num_clbits
        check(memories(run(qsim, circuit, limits, seed=seed), clbits), expected)
        for name, engine in catalogue.offered.items():
            for method in sorted(engine.methods):
                for precision in sorted(engine.precisions):
                    options = Options(method=method, engine=name, precision=precision)
                    pub = pub_of(circuit, shots=1000)
                    plan = planned(qsim, pub, options, limits)
                    if plan is None:
                        continue
                    assert (plan.engine, plan.method) == (name, method)
                    result = qsim.run(pub, plan, options, seed + 1000, 1)
                    assert result.metadata["engine"] == name
                    try:
                        check(memories(result, clbits), expected)
                    except AssertionError as wrong:
                        raise AssertionError(f"{kind} {seed} on {name} {method}: {wrong}") from None
                    ran.add((name, method))
    assert MUST_RUN[kind] <= ran
    installed = set(catalogue.offered)
    assert {way for way in FAST[kind] if way[0] in installed} <= ran


@pytest.mark.report(43)
@pytest.mark.parametrize("engine", ADAPTERS)
@pytest.mark.parametrize("threads", [1, 2])
def test_bit_order(
    engine: str, threads: int, qsim: Qsim, catalogue: Catalogue, limits: Limits
) -> None:
    """X on one qubit shows in its bit alone, wherever the measurement writes it (report 43)."""
    if engine not in catalogue.offered:
        pytest.skip(f"{engine} is not installed: {catalogue.dropped.get(engine)}")
    options = Options(engine=engine)
    for qubit in range(4):
        circuit = QuantumCircuit(4, 11)
        circuit.x(qubit)
        circuit.cx(qubit, (qubit + 1) % 4)
        if engine == "prism":  # one engine needs a reason to be asked
            circuit.h(qubit)
            circuit.h(qubit)
        order = [9, 2, 10, 0]
        circuit.measure(range(4), order)
        seen = memories(run(qsim, circuit, limits, shots=8, options=options, threads=threads), 11)
        assert set(seen) == {1 << order[qubit] | 1 << order[(qubit + 1) % 4]}


ESTABLISHED = ("stim", "aer", "qsimcirq", "numpy")


@pytest.mark.parametrize("kind", KINDS)
def test_the_default_install_does_everything(kind: str, limits: Limits) -> None:
    """Without the young engines and lightning: slower, and nothing is missing."""
    qsim = Qsim(Catalogue({name: ADAPTERS[name] for name in ESTABLISHED}))
    make, count = KINDS[kind]
    for seed in range(0, count, 5):
        circuit = make(seed)
        result = run(qsim, circuit, limits, shots=1000, seed=seed)
        check(memories(result, circuit.num_clbits), distribution(circuit))


def test_measuring_what_no_gate_touched_is_0_on_every_engine(
    qsim: Qsim, limits: Limits, catalogue: Catalogue
) -> None:
    """Nothing is left to simulate: engines would stumble over a state of no qubits."""
    circuit = QuantumCircuit(3, 2)
    circuit.h(0)
    circuit.measure([1, 2], [1, 0])
    for engine in catalogue.offered:
        for method in METHODS:
            options = Options(engine=engine, method=method)
            if planned(qsim, pub_of(circuit, shots=20), options, limits) is None:
                continue
            result = run(qsim, circuit, limits, shots=20, options=options)
            assert set(memories(result, 2)) == {0}, (engine, method)


def test_turns_cost_no_digits_of_an_angle(qsim: Qsim, limits: Limits, catalogue: Catalogue) -> None:
    """Single precision has seven: of an angle of a million turns it would leave none."""
    circuit = QuantumCircuit(1, 1)
    circuit.rx(1e7 + 0.3, 0)  # as parameter values may be
    circuit.measure(0, 0)
    expected = distribution(circuit)
    for engine in catalogue.offered:
        for precision in ("single", "double"):
            options = Options(engine=engine, precision=precision)
            if planned(qsim, pub_of(circuit, shots=20), options, limits) is None:
                continue
            result = run(qsim, circuit, limits, shots=5000, options=options)
            check(memories(result, 1), expected)


@pytest.mark.parametrize("options", [Options(engine="stim"), Options(method="stabilizer")])
@pytest.mark.parametrize("angle", [3.1, -3.0866, 0.01, 1.5, 1e-4])
@pytest.mark.parametrize("gate", ["p", "rx", "cp", "rzz"])
def test_what_is_only_near_a_clifford_gate_is_none(
    gate: str, angle: float, options: Options, qsim: Qsim, limits: Limits
) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.h([0, 1])
    getattr(circuit, gate)(angle, *range(1 if gate in ("p", "rx") else 2))
    circuit.measure([0, 1], [0, 1])
    with pytest.raises(QuantainerError, match="Clifford"):
        qsim.plan(pub_of(circuit, shots=20), options, limits)
