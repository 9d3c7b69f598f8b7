"""``quantainer bench compile --devices``: compile rates on devices of each kind, beside Qiskit.

One device for each set of gates that real ones have, with its calibration, and one without. Every
compile is the first of its structure, by a steady cache with its shelf on disk, as for a job. The
times are wall times: ``answer`` of what the job waits for, ``with_after`` with what is done once it
is answered, beside Qiskit's own pass manager of the same level in turn; the ratios are those of its
time to ours, by round. ``processor`` are those of processor time for ``answer``, which load on the
machine lengthens less. Where Qiskit fails, there is no ratio.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit.library import efficient_su2
from qiskit.synthesis import synth_qft_full
from qiskit.transpiler import generate_preset_pass_manager

from quantainer.backends.snapshot import read_snapshot, snapshot_folders
from quantainer.circuits import Circuit, measure, read
from quantainer.circuits.cache import CompileCache
from quantainer.circuits.compile import LEVELS
from quantainer.core.facts import Facts
from quantainer.core.target import TargetFacts
from quantainer_bench.compile import device, thin
from quantainer_client.qiskit.encode import encode
from quantainer_client.qiskit.target import target_of

__all__ = ["DEVICES", "run"]

DEVICES = (
    "heavy_hex_27",
    "fake_kolkata",
    "fake_torino",
    "fake_sherbrooke",
    "fake_hanoi",
    "fake_cambridge",
    "fake_cairo",
    "fake_fractional",
)
"""CX without calibration, and with; CZ; ECR one way; CX one way; u1, u2, u3 and CX; CX or ECR by
the pair; RX and RZZ too."""
CIRCUITS: dict[str, Callable[[int], QuantumCircuit]] = {
    "thin_4": lambda number: thin(4, 5000 + number),
    "thin_10": lambda number: thin(10, 5000 + number),
    "thin_20": lambda number: thin(20, 5000 + number),
    "ghz_5": lambda _: _ghz(5),
    "ghz_20": lambda _: _ghz(20),
    "qft_5": lambda _: _measured(synth_qft_full(5)),
    "su2_4": lambda _: _measured(efficient_su2(4, reps=2)),
    "su2_10": lambda _: _measured(efficient_su2(10, reps=2)),
    "lone_10": lambda _: _lone(10),
}
ROUNDS = 9
_SEED = 20_260


@dataclass(frozen=True, slots=True)
class _Took:
    """Seconds by the clock, and of the processor."""

    wall: float
    processor: float

    def __add__(self, other: _Took) -> _Took:
        return _Took(self.wall + other.wall, self.processor + other.processor)


def run(say: Callable[[str], None]) -> dict[str, Any]:
    """Compile each circuit for each device at each level.

    Args:
        say: Called with a line before each device and level, for progress.
    """
    report: dict[str, Any] = {}
    for name in DEVICES:
        target = _target(name)
        fitting = {
            circuit: program_of
            for circuit, program_of in CIRCUITS.items()
            if program_of(0).num_qubits <= target.qubits
        }
        report[name] = {"gates": " ".join(target.basis_gates)}
        for level in LEVELS:
            say(f"compile for {name} at level {level}")
            report[name][str(level)] = {
                circuit: _against(program_of, target, level)
                for circuit, program_of in fitting.items()
            }
    return report


def _target(name: str) -> TargetFacts:
    if name == "heavy_hex_27":
        return device()
    return read_snapshot(name, snapshot_folders()[name]).target()


def _against(
    program_of: Callable[[int], QuantumCircuit], target: TargetFacts, level: int
) -> dict[str, Any]:
    manager = generate_preset_pass_manager(
        level, target=target_of(asdict(target)), seed_transpiler=_SEED
    )
    answers: list[_Took] = []
    after: list[_Took] = []
    qiskit: list[_Took] = []
    gates = {"ours": 0, "qiskit": 0}
    with TemporaryDirectory() as folder:
        for number in range(ROUNDS + 1):
            program = program_of(number)
            source = read(encode(program)[0])
            facts = measure(source)
            cache = CompileCache(directory=Path(folder, str(number)), steady=True)
            job = _Job(cache, source, facts, target, level)
            took, made = _timed(job.compile)
            later, _ = _timed(cache.settle)
            theirs, found = _timed_or_none(partial(manager.run, program))
            gates["ours"] += _wide(made)
            gates["qiskit"] += 0 if found is None else _wide(found)
            if number:
                answers.append(took)
                after.append(took + later)
                if theirs is not None:
                    qiskit.append(theirs)
    return {
        "answer_ms": 1e3 * statistics.median(took.wall for took in answers),
        "answer": _ratio(qiskit, answers),
        "with_after": _ratio(qiskit, after),
        "processor": _ratio(qiskit, answers, processor=True),
        "two_qubit_gates": gates,
    }


@dataclass(frozen=True, slots=True)
class _Job:
    """A circuit that a worker has read and measured for admission."""

    cache: CompileCache
    circuit: Circuit
    facts: Facts
    target: TargetFacts
    level: int

    def compile(self) -> QuantumCircuit:
        return self.cache.compile(self.circuit, self.facts, self.target, self.level).program


def _timed(call: Callable[[], Any]) -> tuple[_Took, Any]:
    wall, processor = time.perf_counter(), time.process_time()
    made = call()
    return _Took(time.perf_counter() - wall, time.process_time() - processor), made


def _timed_or_none(call: Callable[[], Any]) -> tuple[_Took | None, Any]:
    """Return nothing where Qiskit fails: on pairs that have different gates it does."""
    try:
        return _timed(call)
    except Exception:
        return None, None


def _ratio(
    theirs: list[_Took], ours: list[_Took], *, processor: bool = False
) -> dict[str, float] | None:
    """Return how many times as long Qiskit takes: median and spread of the ratios by round."""
    if len(theirs) < len(ours):
        return None
    ratios = sorted(
        a.processor / b.processor if processor else a.wall / b.wall
        for a, b in zip(theirs, ours, strict=True)
    )
    return {"min": ratios[0], "p50": statistics.median(ratios), "max": ratios[-1]}


def _wide(program: QuantumCircuit) -> int:
    return int(program.num_nonlocal_gates())


def _measured(program: QuantumCircuit) -> QuantumCircuit:
    program = program.copy()
    program.measure_all()
    return program


def _ghz(qubits: int) -> QuantumCircuit:
    program = QuantumCircuit(qubits)
    program.h(0)
    for qubit in range(1, qubits):
        program.cx(qubit - 1, qubit)
    return _measured(program)


def _lone(qubits: int) -> QuantumCircuit:
    """Return a circuit in which two qubits are joined and the others are alone."""
    program = QuantumCircuit(qubits)
    program.cx(0, 1)
    for qubit in range(qubits):
        program.rx(0.1 * (1 + qubit), qubit)
    return _measured(program)
