"""Emulators: real devices from their calibration: their qubits, gates, coupling and noise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quantainer.backends.backend import Backend, Limits, Options, Plan, Pub, PubResult
from quantainer.backends.expectation import Group, observables_of, sampled, weighed
from quantainer.backends.memory import Footprint, peak_bytes
from quantainer.backends.recent import Recent
from quantainer.backends.simulators.aer import run_circuit
from quantainer.backends.simulators.lowering import without_idle
from quantainer.backends.simulators.shots import from_counts
from quantainer.backends.simulators.simulator import Method, Precision
from quantainer.backends.snapshot import Snapshot, read_snapshot, snapshot_folders
from quantainer.circuits import measure
from quantainer.circuits.circuit import Circuit
from quantainer.core.seed import derive, member
from quantainer.core.target import TargetFacts
from quantainer_client.errors import QuantainerError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qiskit import QuantumCircuit

__all__ = ["Emulator", "provide"]

_METHODS: tuple[Method, ...] = ("density_matrix", "trajectories", "mps")
_AER: dict[Method, str] = {
    "density_matrix": "density_matrix",
    "trajectories": "statevector",
    "mps": "matrix_product_state",
}
_EXACT_BOND_LOG2 = 8
_KEPT_BYTES = 32 << 20
_IDLE = frozenset({"delay", "id"})


def provide(limits: Limits) -> Iterable[Backend]:
    """Yield an emulator for each calibration that is installed; none is read before it is used."""
    del limits
    return [Emulator(name, folder) for name, folder in snapshot_folders().items()]


@dataclass(frozen=True, slots=True)
class _Compiled:
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


class Emulator:
    """One device, emulated."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self._compiled: Recent[_Compiled] = Recent(_KEPT_BYTES)

    @property
    def snapshot(self) -> Snapshot:
        """The calibration."""
        try:
            return read_snapshot(self.name, self.folder)
        except (OSError, ValueError, KeyError) as error:
            raise QuantainerError(
                "backend_failed", f"The calibration of {self.name} cannot be read: {error}."
            ) from error

    def target(self, limits: Limits) -> TargetFacts:
        """Return the facts of the device."""
        del limits
        return self.snapshot.target()

    def plan(self, pub: Pub, options: Options, limits: Limits) -> Plan:
        """Decide how the device's noise is simulated.

        Raises:
            QuantainerError: ``too_many_qubits``, ``unsupported_circuit``, ``no_measurement``,
                ``invalid_option`` or ``out_of_memory``.
        """
        self._check(pub, options)
        compiled = self._compile(pub, options.level)
        return _chosen(pub, options, limits, compiled)

    def run(self, pub: Pub, plan: Plan, options: Options, seed: int, threads: int) -> PubResult:
        """Run a planned pub. Row ``r`` of the parameters runs with ``member(seed, r)``."""
        work = _Work(self, pub, plan, options, threads)
        compiled = self._compile(pub, options.level)
        evs: NDArray[np.float64] | None = None
        stds: NDArray[np.float64] | None = None
        samples: NDArray[np.uint8] | None = None
        if pub.observables:
            evs, stds = work.expectations(seed)
        else:
            samples = work.samples(compiled, seed)
        snapshot = self.snapshot
        metadata = {
            "method": plan.method,
            "engine": plan.engine,
            "engine_version": plan.engine_version,
            "precision": plan.precision,
            "reason": plan.reason,
            "seed": seed,
            "threads": threads,
            "truncation_error": None,
            "bit_order": "qiskit",
            "physical_qubits": list(compiled.physical),
            "calibrated_at": snapshot.calibrated_at,
            "calibration": snapshot.digest,
            "notes": [*pub.circuit.notes, f"compiled for {self.name} at level {options.level}"],
        }
        return PubResult(samples=samples, evs=evs, stds=stds, metadata=metadata)

    def _check(self, pub: Pub, options: Options) -> None:
        snapshot, facts = self.snapshot, pub.facts
        usable = [index for index, qubit in enumerate(snapshot.qubits) if qubit.usable]
        if facts.active_qubits > len(usable):
            dead = [index for index in range(len(snapshot.qubits)) if index not in usable]
            raise QuantainerError(
                "too_many_qubits",
                f"The circuit uses {facts.active_qubits} qubits; {self.name} has {len(usable)} "
                f"usable qubits of {len(snapshot.qubits)} (dead: {dead or 'none'}).",
                limit=len(usable),
                needed=facts.active_qubits,
                hint="Choose a wider device, or the backend qsim.",
            )
        if facts.dynamic and not snapshot.dynamic:
            raise _cannot(self.name, "act on measured values")
        if facts.mid_circuit and not snapshot.mid_circuit:
            raise _cannot(self.name, "measure or reset a qubit and use it again")
        if not pub.observables and not facts.measured_clbits:
            raise QuantainerError(
                "no_measurement",
                f"{pub.circuit.name or 'The circuit'} measures nothing: sampling yields nothing.",
                hint="Add measurements, or ask for expectation values.",
            )
        if not pub.observables and (pub.shots is None or pub.shots < 1):
            raise QuantainerError("invalid_shots", "Sampling needs at least one shot.", needed=1)
        if options.engine not in (None, "aer"):
            raise QuantainerError(
                "invalid_option",
                f"{self.name} emulates noise, which engine {options.engine!r} does not do here.",
                hint="Leave engine open, or aer.",
            )
        if options.method is not None and options.method not in _METHODS:
            raise QuantainerError(
                "invalid_option",
                f"There is no method {options.method!r} for noise.",
                hint=f"One of: {', '.join(_METHODS)}; or none, and it is chosen.",
            )

    def _compile(self, pub: Pub, level: int) -> _Compiled:
        """Compile a pub's circuit for the device; kept by the circuit's digest."""

        def make() -> tuple[_Compiled, int]:
            source = _bare(pub.circuit.program) if pub.observables else pub.circuit.program
            made = self.compiled(source, level)
            return made, 400 * (made.operations + 10)

        return self._compiled.get_or((pub.digest, level, bool(pub.observables)), make)

    def compiled(self, circuit: QuantumCircuit, level: int) -> _Compiled:
        """Compile for the device and cut down to the qubits used.

        Raises:
            QuantainerError: ``unsupported_circuit`` with the compiler's reason.
        """
        from qiskit.exceptions import QiskitError

        reduced, _ = without_idle(circuit, _IDLE)
        try:
            native = _pass_manager(self.name, self.folder, level).run(reduced)
        except QiskitError as error:
            raise QuantainerError(
                "unsupported_circuit",
                f"The circuit does not compile for {self.name}: {error.message}",
                hint="See the backend's gates, couplings and dead qubits in its facts.",
            ) from error
        small, physical = without_idle(native, _IDLE)
        facts = measure(Circuit(small, "qiskit"))
        return _Compiled(small, physical, facts.size, facts.bond_log2)


@lru_cache(maxsize=16)
def _pass_manager(name: str, folder: Path, level: int) -> Any:
    from qiskit.transpiler import generate_preset_pass_manager

    from quantainer.backends.device_noise import device_target

    target = device_target(read_snapshot(name, folder))
    return generate_preset_pass_manager(optimization_level=level, target=target, seed_transpiler=0)


@lru_cache(maxsize=64)
def _noise(name: str, folder: Path, physical: tuple[int, ...]) -> Any:
    from quantainer.backends.device_noise import noise_model

    return noise_model(read_snapshot(name, folder), physical)


def _chosen(pub: Pub, options: Options, limits: Limits, compiled: _Compiled) -> Plan:
    """Return the cheapest method that is exact and fits."""
    width = len(compiled.physical)
    analytic = bool(pub.observables) and pub.precision == 0
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
    for method in _METHODS:
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


_HOW: dict[Method, str] = {
    "density_matrix": "exactly by a density matrix",
    "trajectories": "one random trajectory of a state vector for each shot",
    "mps": "one random trajectory of a matrix product state for each shot",
}


def _seconds(method: Method, width: int, compiled: _Compiled, shots: int, rows: int) -> float:
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


class _Work:
    """One pub being run."""

    def __init__(
        self, emulator: Emulator, pub: Pub, plan: Plan, options: Options, threads: int
    ) -> None:
        self._emulator = emulator
        self._pub = pub
        self._level = options.level
        self._method = plan.method
        self._precision = plan.precision
        self._threads = threads

    def samples(self, compiled: _Compiled, seed: int) -> NDArray[np.uint8]:
        """Return ``uint8[rows, shots, bytes]``."""
        rows = 1 if self._pub.parameters is None else len(self._pub.parameters)
        drawn = [self._draw(compiled, row, member(seed, row)) for row in range(rows)]
        return np.stack(drawn)

    def expectations(self, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return values and standard errors in the order of the pub's pairs.

        Exact values are what shots without end would give: readout errors are in them.
        """
        observables = observables_of(self._pub.observables)
        wanted: dict[int, list[int]] = {}
        for place, (row, _) in enumerate(self._pub.pairs):
            wanted.setdefault(row, []).append(place)
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

    def _measured(self, group: Group) -> _Compiled:
        """Compile the circuit with a group's basis measured at its end."""
        from qiskit import ClassicalRegister

        circuit = _bare(self._pub.circuit.program)
        for name, qubit in group.rotations():
            getattr(circuit, name)(qubit)
        register = ClassicalRegister(len(group.axes))
        circuit.add_register(register)
        circuit.measure(group.qubits, register)
        return self._emulator.compiled(circuit, self._level)

    def _weigher(self, row: int) -> Any:
        def weigh(group: Group) -> NDArray[np.float64]:
            compiled = self._measured(group)
            circuit = self._bound(compiled.circuit, row)
            first = circuit.num_clbits - len(group.axes)
            source = _final_qubits(circuit)
            qubits = [source[first + column] for column in range(len(group.axes))]
            final = circuit.remove_final_measurements(inplace=False)
            final.save_probabilities(qubits, label="weights")
            data, _ = self._run(final, compiled.physical, 1, 0)
            weights = np.asarray(data["weights"], dtype=np.float64)
            physical = [compiled.physical[qubit] for qubit in qubits]
            return _misread(weights, self._emulator.snapshot, physical)

        return weigh

    def _draw(self, compiled: _Compiled, row: int, seed: int) -> NDArray[np.uint8]:
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
        emulator = self._emulator
        options = {
            "method": _AER[self._method],  # type: ignore[index]
            "precision": self._precision,
            "noise_model": _noise(emulator.name, emulator.folder, physical),
        }
        if self._method == "mps":
            options["matrix_product_state_max_bond_dimension"] = 1 << _EXACT_BOND_LOG2
        return run_circuit(circuit, options, shots, seed, self._threads)


def _bare(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a copy without the measurements at the end; classical bits that others use stay."""
    return circuit.remove_final_measurements(inplace=False)


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


def _cannot(name: str, what: str) -> QuantainerError:
    return QuantainerError(
        "unsupported_circuit",
        f"The device {name} cannot {what}.",
        hint="Choose a device whose facts say dynamic or mid_circuit, or the backend qsim.",
    )
