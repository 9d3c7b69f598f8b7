"""Emulation: how the noise of a compiled circuit is simulated, and the simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from quantainer.backends.backend import Limits, Options, Plan, Pub
from quantainer.backends.expectation import (
    Group,
    observables_of,
    places_by_row,
    sampled,
    weighed,
)
from quantainer.backends.memory import Footprint, peak_bytes
from quantainer.backends.simulators.aer import run_circuit
from quantainer.backends.simulators.ending import without_ending
from quantainer.backends.simulators.shots import from_counts
from quantainer.backends.simulators.simulator import Method, Precision
from quantainer.backends.snapshot import Snapshot
from quantainer.circuits.circuit import Circuit
from quantainer.core.seed import derive, member
from quantainer_client.errors import QuantainerError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qiskit import QuantumCircuit
    from qiskit_aer.noise import NoiseModel

__all__ = ["METHODS", "Compiled", "Emulation", "choose_noise_method"]

METHODS: tuple[Method, ...] = ("density_matrix", "trajectories", "mps")
_AER: dict[Method, str] = {
    "density_matrix": "density_matrix",
    "trajectories": "statevector",
    "mps": "matrix_product_state",
}
_EXACT_BOND_LOG2 = 8


@dataclass(frozen=True, slots=True)
class Compiled:
    """A circuit on the device, cut down to the qubits it uses.

    Attributes:
        physical: The device's number of each qubit.
        operations: Number of operations.
        bond_log2: Bound for the entanglement, after routing.
    """

    circuit: QuantumCircuit
    physical: tuple[int, ...]
    operations: int
    bond_log2: int


def choose_noise_method(pub: Pub, options: Options, limits: Limits, compiled: Compiled) -> Plan:
    """Return the cheapest method that is exact and fits."""
    width = len(compiled.physical)
    analytic = bool(pub.observables) and pub.precision == 0
    if analytic and _collapses(compiled.circuit):
        raise QuantainerError(
            "unsupported_circuit",
            "There are no exact expectation values of a circuit that measures on the way: each of "
            "its runs ends in another state.",
            hint="Ask for a precision above 0: then shots are drawn.",
        )
    rows = 1 if pub.parameters is None else len(pub.parameters)
    shots = (pub.shots or 1) * max(1, rows)
    precision: Precision = "single" if options.precision == "single" else "double"
    footprint = Footprint(
        qubits=width,
        operations=compiled.operations,
        shots=shots,
        clbits=pub.facts.clbits,
        bond_log2=compiled.bond_log2,
    )
    ways: list[tuple[float, int, Method]] = []
    for method in METHODS:
        if options.method not in (None, method) or (analytic and method != "density_matrix"):
            continue
        if method == "mps" and compiled.bond_log2 > _EXACT_BOND_LOG2:
            continue
        seconds = _seconds(method, width, compiled, shots, max(1, rows))
        ways.append((seconds, peak_bytes(method, "aer", precision, footprint), method))
    fitting = [way for way in ways if way[1] <= limits.memory_bytes]
    if not fitting:
        raise _too_large(width, analytic, ways, limits)
    seconds, memory, method = min(fitting)
    return Plan(
        method=method,
        engine="aer",
        engine_version=version("qiskit-aer"),
        precision=precision,
        memory_bytes=memory,
        seconds=seconds,
        reason=f"The device's noise on {width} qubits, {_HOW[method]}.",
    )


def _collapses(circuit: QuantumCircuit) -> bool:
    from qiskit.circuit import ControlFlowOp

    return any(
        instruction.name == "measure" or isinstance(instruction.operation, ControlFlowOp)
        for instruction in circuit.data
        if not instruction.is_standard_gate()
    )


_HOW: dict[Method, str] = {
    "density_matrix": "exactly by a density matrix",
    "trajectories": "one random trajectory of a state vector for each shot",
    "mps": "one random trajectory of a matrix product state for each shot",
}


def _seconds(method: Method, width: int, compiled: Compiled, shots: int, rows: int) -> float:
    """Return a rough run time, by Aer on two cores."""
    operations = compiled.operations
    match method:
        case "density_matrix":
            return rows * (5e-3 + operations * (2e-5 + 4e-9 * 4.0**width))
        case "trajectories":
            return rows * 5e-3 + shots * operations * (1e-6 + 4e-9 * 2.0**width)
        case _:
            bond = 2.0**compiled.bond_log2
            return rows * 5e-3 + shots * operations * (2e-5 + 6e-9 * bond**3)


def _too_large(
    width: int, analytic: bool, ways: list[tuple[float, int, Method]], limits: Limits
) -> QuantainerError:
    if not ways:
        return QuantainerError(
            "unsupported_circuit",
            "The circuit is too entangled for a matrix product state without loss.",
            hint="Leave method open.",
        )
    least = min(memory for _, memory, _ in ways)
    exactly = " and exact expectation values" if analytic else ""
    return QuantainerError(
        "out_of_memory",
        f"The noise of {width} qubits{exactly} does not fit into the memory granted.",
        limit=limits.memory_bytes,
        needed=least,
        hint="Ask for a precision above 0 (shots), or use fewer qubits."
        if analytic
        else "Use fewer qubits, or a circuit with less entanglement.",
    )


class Emulation:
    """One pub being run on an emulated device.

    Args:
        compile_: Compiles a circuit for the device.
        noise: Returns the noise of some of the device's qubits.
    """

    def __init__(
        self,
        pub: Pub,
        plan: Plan,
        threads: int,
        snapshot: Snapshot,
        compile_: Callable[[Circuit], Compiled],
        noise: Callable[[tuple[int, ...]], NoiseModel],
    ) -> None:
        self._pub = pub
        self._method = plan.method
        self._precision = plan.precision
        self._threads = threads
        self._snapshot = snapshot
        self._compile = compile_
        self._noise = noise

    def samples(self, compiled: Compiled, seed: int) -> NDArray[np.uint8]:
        """Return ``uint8[rows, shots, bytes]``."""
        rows = 1 if self._pub.parameters is None else len(self._pub.parameters)
        drawn = [self._draw(compiled, row, member(seed, row)) for row in range(rows)]
        return np.stack(drawn)

    def expectations(self, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return values and standard errors in the order of the pub's pairs.

        Exact values are what shots without end would give: readout errors are in them.
        """
        observables = observables_of(self._pub.observables)
        wanted = places_by_row(self._pub.pairs)
        evs = np.zeros(len(self._pub.pairs))
        stds = np.zeros(len(self._pub.pairs))
        for row, places in sorted(wanted.items()):
            chosen = [observables[self._pub.pairs[place][1]] for place in places]
            if self._pub.precision == 0:
                evs[places] = weighed(chosen, self._weigher(row))
                continue

            def draw(index: int, group: Group, row: int = row) -> NDArray[np.uint8]:
                compiled = self._measured(group)
                packed = self._draw(compiled, row, derive(member(seed, row), "group", index))
                width = compiled.circuit.num_clbits
                bits = np.unpackbits(packed, axis=1, bitorder="little", count=width)
                return bits[:, width - len(group.axes) :]

            evs[places], stds[places] = sampled(chosen, draw)
        return evs, stds

    def _measured(self, group: Group) -> Compiled:
        """Compile the circuit with a group's basis measured at its end."""
        from qiskit import ClassicalRegister

        circuit = without_ending(self._pub.circuit.program)
        for name, qubit in group.rotations():
            getattr(circuit, name)(qubit)
        # A name of its own would make it another circuit each time to the compile cache.
        name = "basis"
        while any(register.name == name for register in circuit.cregs):
            name += "_"
        register = ClassicalRegister(len(group.axes), name)
        circuit.add_register(register)
        circuit.measure(group.qubits, register)
        return self._compile(Circuit(circuit, self._pub.circuit.format))

    def _weigher(self, row: int) -> Any:
        def weigh(group: Group) -> NDArray[np.float64]:
            compiled = self._measured(group)
            circuit = self._bound(compiled.circuit, row)
            first = circuit.num_clbits - len(group.axes)
            source = _final_qubits(circuit)
            qubits = [source[first + column] for column in range(len(group.axes))]
            final = without_ending(circuit)
            final.save_probabilities(qubits, label="weights")
            data, _ = self._run(final, compiled.physical, 1, 0)
            weights = np.asarray(data["weights"], dtype=np.float64)
            physical = [compiled.physical[qubit] for qubit in qubits]
            return _misread(weights, self._snapshot, physical)

        return weigh

    def _draw(self, compiled: Compiled, row: int, seed: int) -> NDArray[np.uint8]:
        circuit = self._bound(compiled.circuit, row)
        data, _ = self._run(circuit, compiled.physical, self._pub.shots or 1, seed)
        counts = ((int(key, 16), count) for key, count in data["counts"].items())
        return from_counts(counts, circuit.num_clbits, seed)

    def _bound(self, circuit: QuantumCircuit, row: int) -> QuantumCircuit:
        """Return the circuit with a parameter row bound, by name."""
        rows = self._pub.parameters
        if rows is None or not circuit.num_parameters:
            return circuit
        column = {name: index for index, name in enumerate(self._pub.facts.parameters)}
        values = {p: float(rows[row, column[p.name]]) for p in circuit.parameters}
        return circuit.assign_parameters(values)

    def _run(
        self, circuit: QuantumCircuit, physical: tuple[int, ...], shots: int, seed: int
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        options: dict[str, Any] = {
            "method": _AER[self._method],  # type: ignore[index]
            "precision": self._precision,
            "noise_model": self._noise(physical),
        }
        if self._method == "mps":
            options["matrix_product_state_max_bond_dimension"] = 1 << _EXACT_BOND_LOG2
        return run_circuit(circuit, options, shots, seed, self._threads)


def _final_qubits(circuit: QuantumCircuit) -> dict[int, int]:
    """Return classical bit to the qubit measured into it last."""
    return {
        circuit.find_bit(instruction.clbits[0]).index: circuit.find_bit(instruction.qubits[0]).index
        for instruction in circuit.data
        if instruction.name == "measure"
    }


def _misread(
    weights: NDArray[np.float64], snapshot: Snapshot, physical: list[int]
) -> NDArray[np.float64]:
    """Return probabilities of what is read from probabilities of what is there."""
    width = len(physical)
    tensor = weights.reshape((2,) * width)
    for place, qubit in enumerate(physical):
        facts = snapshot.qubits[qubit]
        up, down = facts.one_for_zero or 0.0, facts.zero_for_one or 0.0
        confusion = np.array([[1 - up, down], [up, 1 - down]])
        axis = width - 1 - place
        tensor = np.moveaxis(np.tensordot(confusion, tensor, axes=(1, axis)), 0, axis)
    return tensor.reshape(-1)
