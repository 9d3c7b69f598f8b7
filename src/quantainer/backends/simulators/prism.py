"""prism-q: wide Clifford circuits, and Clifford circuits with some T gates (MIT or Apache-2.0).

A young engine: pinned, self-tested, its ``auto`` backend never used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from quantainer.backends.simulators.gates import matrix_of, within
from quantainer.backends.simulators.program import Gate, Program
from quantainer.backends.simulators.simulator import (
    Method,
    Precision,
    Prepared,
    Samples,
    Term,
    Values,
)
from quantainer.core.seed import derive
from quantainer_client.errors import QuantainerError

if TYPE_CHECKING:
    pass

__all__ = ["Prism"]

_CLIFFORD = frozenset({"x", "y", "z", "h", "s", "sdg", "sx", "sxdg", "cx", "cz", "swap"})
_EIGHTHS = frozenset({"rz", "p", "rx", "ry"})  # fine where the angle is a multiple of π/4
_NAMES: dict[Method, frozenset[str]] = {
    "stabilizer": _CLIFFORD,
    "near_clifford": _CLIFFORD | {"t", "tdg"} | _EIGHTHS,
    "statevector": _CLIFFORD
    | _EIGHTHS
    | {
        "cy",
        "iswap",
        "t",
        "tdg",
        "u",
        "rxx",
        "ryy",
        "rzz",
        "ch",
        "crx",
        "cry",
        "crz",
        "cp",
        "ccx",
        "cswap",
    },
}
_T_GATES_MAX = 20
_SPELLING = {"cp": "cphase"}


class Prism:
    """Adapter."""

    name = "prism"
    distribution = "prism-q"
    module = "prism_q"
    methods: frozenset[Method] = frozenset({"stabilizer", "near_clifford", "statevector"})
    precisions: frozenset[Precision] = frozenset({"double"})
    expects: frozenset[Method] = frozenset({"statevector"})

    def load(self) -> None:
        """Import prism-q (12 ms)."""
        import_module("prism_q")

    def refuses(self, program: Program, method: Method) -> str | None:
        """Refuse gates off the method's grid, and measurements on the way."""
        if not program.terminal:
            return "its adapter takes circuits that measure at the end only"
        if method == "statevector":
            return None
        try:
            words = _words(program, method)
        except QuantainerError as error:
            return error.message
        odd = next((gate.name for gate in words if not _on_grid(gate)), None)
        if odd is not None:
            return f"the angle of a gate {odd} is no multiple of π/4"
        return _unfit_count(sum(map(_splits, words))) if method == "near_clifford" else None

    def prepare(self, program: Program, method: Method, precision: Precision) -> Prepared:
        """Build prism's circuit, the measured qubits in order."""
        del precision
        return _Prepared(program, method)


class _Prepared:
    def __init__(self, program: Program, method: Method) -> None:
        assert program.readout is not None
        self._program = program
        self._readout = program.readout
        self._method = method
        self.bytes = 100 * (len(program.gates) + 1)

    @cached_property
    def _measured(self) -> Any:
        return _circuit(self._program, self._method, self._readout.qubits)

    @cached_property
    def _bare(self) -> Any:
        return _circuit(self._program, self._method, ())

    def sample(self, shots: int, seed: int, threads: int) -> Samples:
        """Draw shots."""
        prism = import_module("prism_q")
        seed = derive(seed, "prism")
        if self._method == "stabilizer":
            sampler = prism.CompiledSampler(self._measured, seed)
            packed = sampler.sample_packed(shots)
            if self._readout.plain:
                return Samples(packed)
            width = len(self._readout.qubits)
            bits = np.unpackbits(packed, axis=1, count=width, bitorder="little")
            return Samples(self._readout.pack(bits))
        run = self._simulation(self._measured).seed(seed)
        drawn = prism.ThreadPool(threads).install(run.shots, shots)
        return Samples(self._readout.pack(np.asarray(drawn.shots, dtype=np.uint8)))

    def expect(self, terms: Sequence[Term], threads: int) -> Values:
        """Return the state's own values."""
        run = self._simulation(self._bare).seed(0)
        products = [list(term) for term in terms]
        values = (
            import_module("prism_q").ThreadPool(threads).install(run.expectation_values, products)
        )
        return Values(np.array(values, dtype=np.float64))

    def _simulation(self, circuit: Any) -> Any:
        prism = import_module("prism_q")
        kinds = prism.BackendKind
        kind = kinds.stabilizer_rank() if self._method == "near_clifford" else kinds.statevector()
        return prism.simulate(circuit).backend(kind)


def _unfit_count(t_gates: int) -> str | None:
    if t_gates == 0:
        return "the circuit has no T gate"
    if t_gates > _T_GATES_MAX:  # seconds at 20, minutes at 24, by the circuit
        return f"the circuit has {t_gates} T gates, more than {_T_GATES_MAX}"
    return None


def _words(program: Program, method: Method) -> tuple[Gate, ...]:
    return tuple(within(program.gates, _NAMES[method], 5 if method == "statevector" else 0))


def _circuit(program: Program, method: Method, measured: tuple[int, ...]) -> Any:
    prism = import_module("prism_q")
    builder = prism.CircuitBuilder(program.qubits, len(measured))
    for gate in _words(program, method):
        if gate.matrix is None and gate.name in _NAMES[method]:
            name = _SPELLING.get(gate.name, gate.name)
            builder = getattr(builder, name)(*map(float, gate.params), *gate.qubits)
        else:
            # prism's matrices have the first target highest.
            builder = builder.gate(prism.Gate.unitary(matrix_of(gate)), list(reversed(gate.qubits)))
    for place, qubit in enumerate(measured):
        builder = builder.measure(qubit, place)
    return builder.build()


def _on_grid(gate: Gate) -> bool:
    if gate.name not in _EIGHTHS:
        return True
    try:
        eighths = float(gate.params[0]) / (math.pi / 4)
    except TypeError:  # a free parameter may take any value
        return False
    return abs(eighths - round(eighths)) < 1e-9


def _splits(gate: Gate) -> bool:
    """Tell whether the gate is outside the Clifford group, of those on the grid."""
    if gate.name in _EIGHTHS:
        return round(float(gate.params[0]) / (math.pi / 4)) % 2 == 1
    return gate.name not in _CLIFFORD
