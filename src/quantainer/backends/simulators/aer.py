"""Aer: the reference for everything and the engine for noise (Apache-2.0, Qiskit/qiskit-aer).

The method is always named; Aer's ``automatic`` is never used. Shots are never split among threads,
since Aer seeds each part apart and the bits would depend on the number of threads.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from quantainer.backends.simulators import entanglement
from quantainer.backends.simulators.gates import matrix_of
from quantainer.backends.simulators.program import (
    Assign,
    Branch,
    Gate,
    Measure,
    Operation,
    Program,
    Repeat,
    Reset,
)
from quantainer.backends.simulators.shots import from_counts
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
    from qiskit import QuantumCircuit
    from qiskit.circuit import Clbit

__all__ = ["Aer", "run_circuit"]

_METHODS: dict[Method, str] = {
    "statevector": "statevector",
    "trajectories": "statevector",
    "density_matrix": "density_matrix",
    "mps": "matrix_product_state",
    "stabilizer": "stabilizer",
}
_BASIS = frozenset(
    {"ccx", "cp", "cx", "cz", "h", "p", "r", "rx", "rxx", "ry", "ryy", "rz", "rzx", "rzz", "s"}
    | {"sdg", "swap", "sx", "sxdg", "t", "tdg", "u", "u1", "u3", "x", "y", "z"}
)
_CLIFFORD_BASIS = frozenset({"cx", "cz", "h", "s", "sdg", "swap", "sx", "sxdg", "x", "y", "z"})
_ALL = 1 - 1e-12
_VALUE_BITS = 64
_DISCARDED = re.compile(r"discarded_value=([0-9.eE+-]+)")


class Aer:
    """Adapter."""

    name = "aer"
    distribution = "qiskit-aer"
    module = "qiskit_aer"
    methods: frozenset[Method] = frozenset(_METHODS)
    precisions: frozenset[Precision] = frozenset({"single", "double"})
    expects: frozenset[Method] = frozenset({"statevector", "mps", "density_matrix"})

    def load(self) -> None:
        """Import Aer (about 40 ms after Qiskit)."""
        import_module("qiskit_aer")

    def refuses(self, program: Program, method: Method) -> str | None:
        """Refuse methods that do not fit, and run-time variables, on which Aer 0.18 fails."""
        if program.body is not None and any(map(_assigns, program.body)):
            return "it assigns run-time variables"
        if program.body is None or _has_open_conditions(program.body):
            widest = _widest_read(program.source)
            if widest > _VALUE_BITS:
                return f"it computes with {_VALUE_BITS} bits at most, and {widest} are read at once"
        if method == "stabilizer" and not _only(program, _CLIFFORD_BASIS):
            return "its stabilizer method knows only named Clifford gates"
        return None

    def prepare(
        self, program: Program, method: Method, precision: Precision, bond: int | None = None
    ) -> Prepared:
        """Build the circuit with the active qubits only."""
        return _Prepared(program, method, precision, bond or entanglement.BOND)


class _Prepared:
    def __init__(self, program: Program, method: Method, precision: Precision, bond: int) -> None:
        self._program = program
        self._method = method
        self._options = {
            "method": _METHODS[method],
            "precision": precision,
            # Fusion costs more than it saves on two cores (measured: 20 qubits, depth 20).
            "fusion_enable": False,
        }
        # Aer never empties its log: it is only asked for where something can be lost.
        self._may_lose = method == "mps" and 1 << entanglement.bond_log2(program) > bond
        if method == "mps":
            self._options |= {
                "matrix_product_state_max_bond_dimension": bond,
                "mps_log_data": self._may_lose,
            }
        self.bytes = 1000 + 800 * len(program.body or program.source.data)

    @cached_property
    def _circuit(self) -> QuantumCircuit:
        return build(self._program)

    def _loss(self, metadata: dict[str, Any]) -> float | None:
        if self._method != "mps":
            return None
        return _lost(metadata) if self._may_lose else 0.0

    def sample(self, shots: int, seed: int, threads: int) -> Samples:
        """Draw shots."""
        data, metadata = run_circuit(self._circuit, self._options, shots, seed, threads)
        counts = ((int(key, 16), count) for key, count in data["counts"].items())
        packed = from_counts(counts, self._program.clbits, seed)
        return Samples(packed, self._loss(metadata))

    def expect(self, terms: Sequence[Term], threads: int) -> Values:
        """Return analytic values by the method's own contraction."""
        from qiskit.quantum_info import Pauli

        circuit = build(self._program, measure=False)
        for index, term in enumerate(terms):
            qubits = [qubit for qubit, _ in term]
            label = "".join(axis for _, axis in reversed(term))
            circuit.save_expectation_value(Pauli(label), qubits, label=f"v{index}")
        data, metadata = run_circuit(circuit, self._options, 1, 0, threads)
        numbers = [float(np.real(data[f"v{index}"])) for index in range(len(terms))]
        return Values(np.array(numbers), self._loss(metadata))


def run_circuit(
    circuit: QuantumCircuit, options: dict[str, Any], shots: int, seed: int, threads: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run one circuit on Aer and return its data and metadata.

    Raises:
        MemoryError: If Aer was refused memory.
        QuantainerError: ``backend_failed`` with Aer's own reason otherwise.
    """
    simulator = import_module("qiskit_aer").AerSimulator(
        **options,
        # Aer 0.18's own removal of qubits mixes qubits up for some circuits (wrong counts and
        # values, see docs/simulators.md); ours was done in lowering.
        enable_truncation=False,
        max_parallel_threads=threads,
        max_parallel_shots=1,
        max_parallel_experiments=1,
    )
    result = simulator.run(circuit, shots=shots, seed_simulator=derive(seed, "aer") >> 32).result()
    if not result.success:
        reason = result.results[0].status if result.results else result.status
        if "allocate memory" in str(reason) or "bad_alloc" in str(reason):
            raise MemoryError(reason)
        raise QuantainerError("backend_failed", f"Aer failed: {reason}")
    return result.data(0), result.results[0].metadata


def build(program: Program, *, measure: bool = True) -> QuantumCircuit:
    """Return the program as a circuit in Aer's own gates."""
    from qiskit import QuantumCircuit

    if program.body is None or _has_open_conditions(program.body):
        return _from_source(program)
    circuit = QuantumCircuit(program.qubits, program.clbits)
    _append(circuit, program.body, circuit.clbits)
    if measure and program.readout is not None:
        for clbit, place in program.readout.columns:
            circuit.measure(program.readout.qubits[place], clbit)
    return circuit


def _append(circuit: QuantumCircuit, body: Iterable[Operation], clbits: list[Clbit]) -> None:
    for operation in body:
        match operation:
            case Gate():
                _append_gate(circuit, operation)
            case Measure():
                circuit.measure(operation.qubit, clbits[operation.clbit])
            case Reset():
                circuit.reset(operation.qubit)
            case Branch():
                _append_branch(circuit, operation, clbits)
            case Repeat():
                test = _expression(operation.condition.tests or (), clbits)
                with circuit.while_loop(test):
                    _append(circuit, operation.body, clbits)


def _append_gate(circuit: QuantumCircuit, gate: Gate) -> None:
    if gate.name in _BASIS and gate.matrix is None:
        getattr(circuit, _SPELLING.get(gate.name, gate.name))(*gate.params, *gate.qubits)
        return
    # A copy: Aer 0.18 takes a read-only array for its transpose.
    circuit.unitary(matrix_of(gate).copy(), list(gate.qubits))


_SPELLING = {"u1": "p", "u3": "u"}


def _append_branch(circuit: QuantumCircuit, branch: Branch, clbits: list[Clbit]) -> None:
    test = _expression(branch.condition.tests or (), clbits)
    with circuit.if_test(test) as otherwise:
        _append(circuit, branch.then, clbits)
    if branch.otherwise:
        with otherwise:
            _append(circuit, branch.otherwise, clbits)


def _expression(tests: tuple[tuple[int, bool], ...], clbits: list[Clbit]) -> Any:
    """Return a balanced conjunction of bit tests: Aer compares registers of 64 bits at most."""
    from qiskit.circuit.classical import expr

    nodes = [
        expr.lift(clbits[bit]) if value else expr.logic_not(clbits[bit]) for bit, value in tests
    ]
    while len(nodes) > 1:
        pairs = zip(nodes[::2], nodes[1::2], strict=False)
        rest = nodes[-1:] if len(nodes) % 2 else []
        nodes = [expr.logic_and(left, right) for left, right in pairs] + rest
    return nodes[0]


def _has_open_conditions(body: Iterable[Operation]) -> bool:
    """Tell whether some condition is more than a conjunction of bit tests."""
    for operation in body:
        if isinstance(operation, Branch):
            inner = (*operation.then, *operation.otherwise)
        elif isinstance(operation, Repeat):
            inner = operation.body
        else:
            continue
        if not operation.condition.tests or _has_open_conditions(inner):
            return True
    return False


def _from_source(program: Program) -> QuantumCircuit:
    """Return the circuit as written, in Aer's gates."""
    from qiskit import circuit, transpile
    from qiskit.transpiler import Target

    flow = {
        "break_loop": circuit.BreakLoopOp,
        "continue_loop": circuit.ContinueLoopOp,
        "for_loop": circuit.ForLoopOp,
        "if_else": circuit.IfElseOp,
        "store": circuit.Store,
        "switch_case": circuit.SwitchCaseOp,
        "while_loop": circuit.WhileLoopOp,
    }
    basis = sorted(_BASIS | {"measure", "reset"} | flow.keys())
    target = Target.from_configuration(basis_gates=basis, custom_name_mapping=flow)
    return transpile(program.source, target=target, optimization_level=0)


def _widest_read(circuit: QuantumCircuit) -> int:
    """Return the width of the widest value that a condition, an expression or a store reads."""
    from qiskit.circuit.classical import expr

    widest = 0
    for instruction in circuit.data:
        if not instruction.is_control_flow() and instruction.name != "store":
            continue
        operation = instruction.operation
        for name in ("condition", "target", "rvalue"):
            value = getattr(operation, name, None)
            value = value[0] if isinstance(value, tuple) else value
            if isinstance(value, expr.Expr):
                widths = [getattr(node.type, "width", 1) for node in expr.iter_vars(value)]
            else:
                widths = [getattr(value, "size", 1)]
            widest = max(widest, *widths, 0)
        blocks = getattr(operation, "blocks", ())
        widest = max([widest, *map(_widest_read, blocks)])
    return widest


def _assigns(operation: Operation) -> bool:
    match operation:
        case Assign():
            return True
        case Branch():
            return any(map(_assigns, (*operation.then, *operation.otherwise)))
        case Repeat():
            return any(map(_assigns, operation.body))
    return False


_log_length = 0


def _lost(metadata: dict[str, Any]) -> float:
    """Return the loss by the weight that this run dropped, step by step of what was left.

    Aer 0.18 keeps one log for the whole process and hands out all of it: what is new is what lies
    behind the length seen last.
    """
    global _log_length  # noqa: PLW0603
    log = metadata.get("MPS_log_data", "")
    new = log[_log_length:] if len(log) > _log_length else log
    # The log is in braces; the closing one is overwritten when it grows.
    _log_length = max(0, len(log) - 1)
    return -sum(math.log1p(-min(float(value), _ALL)) for value in _DISCARDED.findall(new))


def _only(program: Program, names: frozenset[str]) -> bool:
    if program.body is None:
        return True
    return all(
        operation.matrix is None and operation.name in names
        for operation in _every_gate(program.body)
    )


def _every_gate(body: Iterable[Operation]) -> Iterable[Gate]:
    for operation in body:
        match operation:
            case Gate():
                yield operation
            case Branch():
                yield from _every_gate(operation.then)
                yield from _every_gate(operation.otherwise)
            case Repeat():
                yield from _every_gate(operation.body)
