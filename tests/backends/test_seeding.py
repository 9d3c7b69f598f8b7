"""The rule of docs/seeds.md: what a seed decides, and that neighbours are independent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from exact import memories, pub_of, run
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from quantainer.backends.backend import Limits, Options
from quantainer.backends.qsim import Qsim
from quantainer.backends.simulators.catalogue import ADAPTERS, Catalogue
from quantainer.core.seed import derive, member

WAYS = [
    ("stim", "stabilizer"),
    ("prism", "stabilizer"),
    ("prism", "near_clifford"),
    ("qevedo", "near_clifford"),
    ("aer", "statevector"),
    ("aer", "mps"),
    ("aer", "density_matrix"),
    ("aer", "trajectories"),
    ("qsimcirq", "statevector"),
    ("lightning", "statevector"),
    ("lightning", "trajectories"),
    ("numpy", "trajectories"),
    ("panta", "statevector"),
    ("panta", "mps"),
    ("panta", "trajectories"),
    ("prism", "statevector"),
    ("qevedo", "statevector"),
    ("qevedo", "mps"),
]


def reset_and_flip(engine: str) -> QuantumCircuit:
    """Return reset, h, measure: the circuit of Qiskit/qiskit-aer#1916."""
    circuit = QuantumCircuit(1, 1)
    circuit.reset(0)
    circuit.h(0)
    if engine != "stim":
        circuit.t(0)
    circuit.measure(0, 0)
    return circuit


@pytest.mark.report(12)
@pytest.mark.parametrize(("engine", "method"), WAYS)
def test_neighbouring_seeds_are_independent(
    engine: str, method: str, qsim: Qsim, catalogue: Catalogue, limits: Limits
) -> None:
    """Counts of 1000 shots over 200 neighbouring seeds vary as a binomial does (report 12)."""
    if engine not in catalogue.offered:
        pytest.skip(f"{engine} is not installed")
    circuit = reset_and_flip(engine if method != "near_clifford" else "t")
    if (engine, method) == ("prism", "stabilizer"):
        circuit = reset_and_flip("stim")
    options = Options(method=method, engine=engine)
    pub = pub_of(circuit, shots=1000)
    plan = qsim.plan(pub, options, limits)
    drawn = [qsim.run(pub, plan, options, seed, 1).samples for seed in range(200)]
    ones = np.array([int(samples.sum()) for samples in drawn])  # type: ignore[union-attr]
    # Variance of a sample variance of 200 normal values: 2 σ⁴ / 199. Five of its deviations: 6e-7.
    spread = ones.var(ddof=1) / 250
    assert abs(spread - 1) < 5 * np.sqrt(2 / 199)
    assert abs(ones.mean() - 500) < 5 * np.sqrt(250 / 200)
    correlation = np.corrcoef(ones[1:], ones[:-1])[0, 1]
    assert abs(correlation) < 5 / np.sqrt(199)
    assert len({samples.tobytes() for samples in drawn}) == 200  # type: ignore[union-attr]


@pytest.mark.parametrize(("engine", "method"), WAYS)
def test_shots_of_one_run_do_not_hang_together(
    engine: str, method: str, qsim: Qsim, catalogue: Catalogue, limits: Limits
) -> None:
    """Neither sorted nor in runs: neighbouring shots are uncorrelated."""
    if engine not in catalogue.offered:
        pytest.skip(f"{engine} is not installed")
    circuit = QuantumCircuit(2, 2)
    circuit.h([0, 1])
    if method == "near_clifford":
        circuit.t(0)
    circuit.measure([0, 1], [0, 1])
    options = Options(method=method, engine=engine)
    seen = np.array(memories(run(qsim, circuit, limits, shots=4000, options=options), 2))
    for bit in (seen & 1, seen >> 1):
        assert abs(np.corrcoef(bit[1:], bit[:-1])[0, 1]) < 5 / np.sqrt(4000)
        halves = bit.reshape(2, -1).mean(axis=1)
        assert abs(halves[0] - halves[1]) < 5 * 0.5 * np.sqrt(2 / 2000)


CHILD = """
import hashlib, json, sys
sys.path[:0] = {paths!r}
from exact import run
from quantainer.backends.backend import Limits, Options
from quantainer.backends.qsim import Qsim
import test_seeding
threads = {threads}
limits = Limits(2 << 30, threads)
qsim, digests = Qsim(), {{}}
for engine, method in test_seeding.WAYS:
    if engine not in qsim.engines:
        continue
    circuit = test_seeding.wide(engine, method)
    options = Options(method=method, engine=engine)
    result = run(qsim, circuit, limits, seed=42, threads=threads, options=options)
    digests[engine + " " + method] = hashlib.sha256(result.samples.tobytes()).hexdigest()
print(json.dumps(digests))
"""


def wide(engine: str, method: str) -> QuantumCircuit:
    """Return a circuit wide enough that every engine really uses its threads."""
    qubits = {"density_matrix": 7, "trajectories": 5, "mps": 12}.get(method, 16)
    circuit = QuantumCircuit(qubits, qubits)
    for qubit in range(qubits):
        circuit.h(qubit)
    for qubit in range(qubits - 1):
        circuit.cx(qubit, qubit + 1)
        if method not in ("stabilizer", "near_clifford"):
            circuit.ry(0.3 + 0.1 * qubit, qubit)
    if method == "near_clifford":
        circuit.t(3)
        circuit.h(3)
    if method == "trajectories":
        circuit.measure(0, 0)
        with circuit.if_test((circuit.clbits[0], 1)):
            circuit.x(1)
    circuit.measure(range(qubits), range(qubits))
    return circuit


def test_same_bits_on_one_and_two_threads_and_after_a_restart() -> None:
    """Fresh processes: the pools of some engines take their size once, from the environment."""
    here = str(Path(__file__).parent)
    answers = []
    for threads in (1, 2, 2):
        environment = os.environ | {
            "RAYON_NUM_THREADS": str(threads),
            "OMP_NUM_THREADS": str(threads),
            "OMP_WAIT_POLICY": "PASSIVE",
        }
        child = subprocess.run(
            [sys.executable, "-c", CHILD.format(paths=[here], threads=threads)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        answers.append(json.loads(child.stdout.splitlines()[-1]))
    assert answers[0] == answers[1] == answers[2]
    assert {"stim stabilizer", "aer statevector", "aer trajectories"} <= set(answers[0])


@pytest.mark.parametrize("engine", [None, *ADAPTERS])
def test_a_row_of_a_batch_alone_has_the_same_bits(
    engine: str | None, qsim: Qsim, catalogue: Catalogue, limits: Limits
) -> None:
    """The documented rule: row r runs with member(seed, r), which row 0 keeps."""
    if engine is not None and engine not in catalogue.offered:
        pytest.skip(f"{engine} is not installed")
    if engine in ("stim", "numpy"):
        pytest.skip(f"{engine} has no state vector of this circuit")
    angle = Parameter("a")
    circuit = QuantumCircuit(2, 2)
    circuit.rx(angle, 0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [1, 0])
    rows = np.array([[0.3], [1.1], [2.0]])
    options = Options(engine=engine, method="statevector" if engine else None)
    batch = run(qsim, circuit, limits, shots=200, seed=9, options=options, parameters=rows).samples
    assert batch is not None
    assert batch.shape == (3, 200, 1)
    for row in range(3):
        alone = run(
            qsim,
            circuit,
            limits,
            shots=200,
            seed=member(9, row),
            options=options,
            parameters=rows[row : row + 1],
        )
        assert np.array_equal(alone.samples[0], batch[row])  # type: ignore[index]
        assert alone.metadata["seed"] == member(9, row)


def test_equal_rows_of_a_batch_differ(qsim: Qsim, limits: Limits) -> None:
    angle = Parameter("a")
    circuit = QuantumCircuit(1, 1)
    circuit.rx(angle, 0)
    circuit.measure(0, 0)
    rows = np.full((4, 1), 1.2)
    samples = run(qsim, circuit, limits, shots=300, parameters=rows).samples
    assert samples is not None
    assert len({row.tobytes() for row in samples}) == 4


def test_a_seed_near_the_limit_runs(qsim: Qsim, catalogue: Catalogue, limits: Limits) -> None:
    for engine, method in WAYS:
        if engine in catalogue.offered:
            options = Options(method=method, engine=engine)
            for seed in (0, 2**63 - 1):
                run(qsim, wide(engine, method), limits, shots=5, seed=seed, options=options)


def test_derived_seeds_are_what_engines_get() -> None:
    assert derive(1, "stim") != 1
