"""Emulators: real devices from their calibration: their qubits, gates, coupling and noise."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quantainer.backends.backend import Backend, Limits, Options, Plan, Pub, PubResult
from quantainer.backends.emulation import METHODS, Compiled, Emulation, bare, choose_noise_method
from quantainer.backends.recent import Recent
from quantainer.backends.simulators.idle import without_idle
from quantainer.backends.snapshot import Snapshot, read_snapshot, snapshot_folders
from quantainer.circuits import measure
from quantainer.circuits.circuit import Circuit
from quantainer.core.target import TargetFacts
from quantainer_client.errors import QuantainerError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qiskit import QuantumCircuit

__all__ = ["Emulator", "provide"]

_KEPT_BYTES = 32 << 20
_IDLE = frozenset({"delay", "id"})


def provide(limits: Limits) -> Iterable[Backend]:
    """Yield an emulator for each calibration that is installed; none is read before it is used."""
    del limits
    return [Emulator(name, folder) for name, folder in snapshot_folders().items()]


class Emulator:
    """One device, emulated."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self._compiled: Recent[Compiled] = Recent(_KEPT_BYTES)

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
        return choose_noise_method(pub, options, limits, compiled)

    def run(self, pub: Pub, plan: Plan, options: Options, seed: int, threads: int) -> PubResult:
        """Run a planned pub. Row ``r`` of the parameters runs with ``member(seed, r)``."""
        work = Emulation(
            pub,
            plan,
            threads,
            self.snapshot,
            partial(self.compiled, level=options.level),
            partial(_noise, self.name, self.folder),
        )
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
        if options.method is not None and options.method not in METHODS:
            raise QuantainerError(
                "invalid_option",
                f"There is no method {options.method!r} for noise.",
                hint=f"One of: {', '.join(METHODS)}; or none, and it is chosen.",
            )

    def _compile(self, pub: Pub, level: int) -> Compiled:
        """Compile a pub's circuit for the device; kept by the circuit's digest."""

        def make() -> tuple[Compiled, int]:
            source = bare(pub.circuit.program) if pub.observables else pub.circuit.program
            made = self.compiled(source, level)
            return made, 400 * (made.operations + 10)

        return self._compiled.get_or((pub.digest, level, bool(pub.observables)), make)

    def compiled(self, circuit: QuantumCircuit, level: int) -> Compiled:
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
        return Compiled(small, physical, facts.size, facts.bond_log2)


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


def _cannot(name: str, what: str) -> QuantainerError:
    return QuantainerError(
        "unsupported_circuit",
        f"The device {name} cannot {what}.",
        hint="Choose a device whose facts say dynamic or mid_circuit, or the backend qsim.",
    )
