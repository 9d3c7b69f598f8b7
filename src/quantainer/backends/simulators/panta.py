"""panta-sim: the fastest engine for up to 18 qubits, float64, feed-forward and MPS (MIT).

A young engine: pinned, self-tested, and its ``auto`` method never used, which returned wrong counts
without a word.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from quantainer.backends.simulators import entanglement
from quantainer.backends.simulators.entanglement import loss_of
from quantainer.backends.simulators.gates import matrix_of, within
from quantainer.backends.simulators.program import (
    Assign,
    Branch,
    Gate,
    Measure,
    Operation,
    Program,
    Readout,
    Repeat,
    Reset,
)
from quantainer.backends.simulators.shots import bits_of_strings
from quantainer.backends.simulators.simulator import (
    Method,
    Precision,
    Prepared,
    Samples,
    Term,
    Values,
)
from quantainer.core.seed import derive

if TYPE_CHECKING:
    pass

__all__ = ["Panta"]

_NAMES = frozenset(
    {"x", "y", "z", "h", "s", "sdg", "t", "tdg", "sx", "sxdg", "p", "u", "rx", "ry", "rz"}
    | {"cx", "cy", "cz", "ch", "swap", "iswap", "ecr", "dcx", "rxx", "ryy", "rzz", "rzx"}
    | {"cp", "crx", "cry", "crz", "cu", "ccx", "cswap"}
)
_ROUNDING = 1e-9
_CONDITION_BITS = 63
_FORMS = {"single": "f32", "double": "f64"}
_BACKENDS: dict[Method, str] = {
    "statevector": "statevector",
    "trajectories": "statevector",
    "mps": "mps",
}


class Panta:
    """Adapter on panta's native module. Threads are those of the process's pool."""

    name = "panta"
    distribution = "panta-sim"
    module = "panta_sim"
    methods: frozenset[Method] = frozenset({"statevector", "trajectories", "mps"})
    precisions: frozenset[Precision] = frozenset({"single", "double"})
    expects: frozenset[Method] = frozenset({"statevector", "mps"})

    def load(self) -> None:
        """Import panta-sim (80 ms)."""
        import_module("panta_sim.qsim_python")

    def refuses(self, program: Program, method: Method) -> str | None:
        """Refuse loops that depend on data, and conditions that are not plain comparisons."""
        if program.body is None:
            return "it uses control flow beyond classical bits"
        if method == "trajectories":
            return _unplain(program.body)
        return None

    def prepare(
        self, program: Program, method: Method, precision: Precision, bond: int | None = None
    ) -> Prepared:
        """Build panta's circuit."""
        return _Prepared(program, method, precision, bond or entanglement.BOND)


class _Prepared:
    def __init__(self, program: Program, method: Method, precision: Precision, bond: int) -> None:
        assert program.body is not None
        self._program = program
        self._method = method
        self._precision = precision
        self._bond = bond
        self._widest = 5 if method != "mps" else 1
        every = {bit: bit for bit in range(program.clbits)}
        self._readout = program.readout or Readout.of(program.clbits, every)
        self.bytes = 400 * (len(program.body) + 1)

    @cached_property
    def _measured(self) -> Any:
        """The circuit with the measured qubits in order at its end."""
        program = self._program
        body = program.body or ()
        if program.readout is not None:
            qubits = enumerate(program.readout.qubits)
            body = (*body, *(Measure(qubit, place) for place, qubit in qubits))
        return _circuit(program.qubits, body, self._widest)

    @cached_property
    def _bare(self) -> Any:
        return _circuit(self._program.qubits, self._program.gates, self._widest)

    def _run(self, circuit: Any, shots: int, seed: int, threads: int) -> Any:
        # Read once, when the pool starts: later calls of this process keep its size.
        os.environ.setdefault("RAYON_NUM_THREADS", str(threads))
        native = import_module("panta_sim.qsim_python")
        return native.run(
            circuit,
            shots,
            seed,
            _FORMS[self._precision],
            _BACKENDS[self._method],
            self._bond,
            0.0,
        )

    def sample(self, shots: int, seed: int, threads: int) -> Samples:
        """Draw shots."""
        result = self._run(self._measured, shots, derive(seed, "panta"), threads)
        bits = bits_of_strings(result.counts(), seed)
        width = len(self._readout.qubits)
        if bits.shape[1] < width:  # bits behind the last one that is written
            bits = np.pad(bits, ((0, 0), (0, width - bits.shape[1])))
        packed = self._readout.pack(bits[:, :width])
        if self._method != "mps":
            return Samples(packed)
        return Samples(packed, _loss(result))

    def expect(self, terms: Sequence[Term], threads: int) -> Values:
        """Return the state's own values."""
        n = self._program.qubits
        raw = self._run(self._bare, 0, 0, threads)
        result = import_module("panta_sim.result").SimulationResult(raw)
        labels = []
        for term in terms:
            letters = ["I"] * n
            for qubit, axis in term:
                letters[n - 1 - qubit] = axis
            labels.append("".join(letters))
        numbers = np.asarray(result.expectation_values(labels), dtype=np.float64)
        return Values(numbers, _loss(raw) if self._method == "mps" else None)


def _loss(result: Any) -> float:
    """Return the loss by the sum of truncations or by the final norm, whichever is worse."""
    by_sum = 1.0 - float(result.mps_truncation_error_sum)
    norm = float(result.mps_final_norm_sq)
    return max(loss_of(norm), loss_of(by_sum) if by_sum > _ROUNDING else 0.0)


def _circuit(qubits: int, body: Iterable[Operation], widest: int) -> Any:
    circuit = import_module("panta_sim.qsim_python").Circuit(qubits)
    for operation in body:
        match operation:
            case Gate():
                for gate in within((operation,), _NAMES, widest):
                    _place(circuit, gate)
            case Measure():
                circuit.measure(operation.qubit, operation.clbit)
            case Reset():
                circuit.reset(operation.qubit)
            case Branch():
                tests = operation.condition.tests or ()
                value = sum(int(wanted) << place for place, (_, wanted) in enumerate(tests))
                circuit.add_if_else(
                    [bit for bit, _ in tests],
                    value,
                    _circuit(qubits, operation.then, widest),
                    _circuit(qubits, operation.otherwise, widest) if operation.otherwise else None,
                )
            case Repeat() | Assign():
                raise AssertionError("refused")
    return circuit


def _place(circuit: Any, gate: Gate) -> None:
    if gate.matrix is None and gate.name in _NAMES:
        getattr(circuit, gate.name)(*map(float, gate.params), *gate.qubits)
    elif len(gate.qubits) == 1:
        circuit.unitary(matrix_of(gate), gate.qubits[0], False)
    else:
        circuit.apply_unitary(matrix_of(gate), list(gate.qubits))


def _unplain(body: Iterable[Operation]) -> str | None:
    for operation in body:
        if isinstance(operation, Repeat | Assign):
            return "it has loops or variables that depend on measured bits"
        if isinstance(operation, Branch):
            tests = operation.condition.tests
            if tests is None or len(tests) > _CONDITION_BITS:
                return f"it has conditions other than comparing up to {_CONDITION_BITS} bits"
            inner = _unplain(operation.then) or _unplain(operation.otherwise)
            if inner is not None:
                return inner
    return None
