"""Emulators: real devices from their calibration: their qubits, gates, coupling and noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from quantainer.backends.backend import Backend, Limits, Options, Plan, Pub, PubResult
from quantainer.backends.emulation import METHODS, Compiled, Emulation, choose_noise_method
from quantainer.backends.simulators.ending import without_ending
from quantainer.backends.simulators.idle import without_idle
from quantainer.backends.snapshot import Snapshot, read_snapshot, snapshot_folders
from quantainer.circuits import measure
from quantainer.circuits.cache import CompileCache
from quantainer.circuits.circuit import Circuit
from quantainer.core.target import TargetFacts
from quantainer_client.errors import QuantainerError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Emulator", "provide"]

_KEPT_BYTES = 64 << 20
Value = TypeVar("Value")
_IDLE = frozenset({"delay", "id"})


def provide(limits: Limits) -> Iterable[Backend]:
    """Yield an emulator for each calibration that is installed; none is read before it is used."""
    cache = CompileCache(_KEPT_BYTES, limits.shared, steady=True)
    return [Emulator(name, folder, cache) for name, folder in snapshot_folders().items()]


class Emulator:
    """One device, emulated.

    Args:
        name: As users write it.
        folder: Its calibration.
        cache: Compiled circuits, which all devices of a worker share.
    """

    def __init__(self, name: str, folder: Path, cache: CompileCache) -> None:
        self.name = name
        self.folder = folder
        self._cache = cache

    @property
    def snapshot(self) -> Snapshot:
        """The calibration."""
        return self._calibrated(read_snapshot)

    def _calibrated(self, read: Callable[[str, Path], Value]) -> Value:
        try:
            return read(self.name, self.folder)
        except (OSError, ValueError, KeyError) as error:
            raise QuantainerError(
                "backend_failed", f"The calibration of {self.name} cannot be read: {error}."
            ) from error

    def target(self, limits: Limits) -> TargetFacts:
        """Return the facts of the device."""
        del limits
        return self._calibrated(_facts)

    def plan(self, pub: Pub, options: Options, limits: Limits) -> Plan:
        """Decide how the device's noise is simulated.

        Raises:
            QuantainerError: ``too_many_qubits``, ``unsupported_circuit``, ``no_measurement``,
                ``invalid_option`` or ``out_of_memory``.
        """
        _check(self.name, pub, options)
        compiled = self._compiler(options.level)(self._source(pub), planning=True)
        return choose_noise_method(pub, options, limits, compiled)

    def run(self, pub: Pub, plan: Plan, options: Options, seed: int, threads: int) -> PubResult:
        """Run a planned pub. Row ``r`` of the parameters runs with ``member(seed, r)``."""
        compiler = self._compiler(options.level)
        noise = partial(_noise, self.name, self.folder)
        work = Emulation(pub, plan, threads, self.snapshot, compiler, noise)
        # With observables, what runs is compiled once for each basis that they are measured in.
        compiled = compiler(self._source(pub), planning=bool(pub.observables))
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
            "compile": compiler.metadata(),
            "notes": [*pub.circuit.notes, f"compiled for {self.name} at level {options.level}"],
        }
        return PubResult(samples=samples, evs=evs, stds=stds, metadata=metadata)

    def settle(self) -> None:
        """Keep what was compiled for those who come with other angles."""
        self._cache.settle()

    def _compiler(self, level: int) -> _Compiler:
        return _Compiler(self._cache, self._calibrated(_facts), level)

    def _source(self, pub: Pub) -> Circuit:
        if not pub.observables:
            return pub.circuit
        return Circuit(without_ending(pub.circuit.program), pub.circuit.format, pub.circuit.name)


class _Compiler:
    """Compiles for a device and cuts down to the qubits used; remembers what was found."""

    def __init__(self, cache: CompileCache, target: TargetFacts, level: int) -> None:
        self._cache, self._target, self._level = cache, target, level
        self._found = {"hit": 0, "miss": 0}

    def __call__(self, circuit: Circuit, *, planning: bool = False) -> Compiled:
        """Compile a circuit.

        Raises:
            QuantainerError: As :func:`quantainer.circuits.compile.compile_for`.
        """
        made = self._cache.compile(
            circuit, measure(circuit), self._target, self._level, planning=planning
        )
        if not planning:
            self._found[made.cache] += 1
        small, physical = without_idle(made.program, _IDLE)
        facts = measure(Circuit(small, circuit.format))
        return Compiled(small, physical, facts.size, facts.bond_log2)

    def metadata(self) -> dict[str, Any]:
        """Return what a result says of compiling: ``hit`` if all was compiled for earlier runs."""
        hits, misses = self._found["hit"], self._found["miss"]
        cache = "miss" if misses else "hit"
        return {"cache": cache, "hits": hits, "misses": misses, "level": self._level}


def _check(name: str, pub: Pub, options: Options) -> None:
    if not pub.observables and not pub.facts.measured_clbits:
        raise QuantainerError(
            "no_measurement",
            f"{pub.circuit.name or 'The circuit'} measures nothing: sampling yields nothing.",
            hint="Add measurements, or ask an SDK's estimator for expectation values.",
        )
    if not pub.observables and (pub.shots is None or pub.shots < 1):
        raise QuantainerError("invalid_shots", "Sampling needs at least one shot.", needed=1)
    if options.engine not in (None, "aer"):
        raise QuantainerError(
            "invalid_option",
            f"{name} emulates noise, which engine {options.engine!r} does not do here.",
            hint="Leave engine open, or aer.",
        )
    if options.method is not None and options.method not in METHODS:
        raise QuantainerError(
            "invalid_option",
            f"There is no method {options.method!r} for noise.",
            hint=f"One of: {', '.join(METHODS)}; or none, and it is chosen.",
        )


@lru_cache(maxsize=8)
def _facts(name: str, folder: Path) -> TargetFacts:
    return read_snapshot(name, folder).target()


@lru_cache(maxsize=64)
def _noise(name: str, folder: Path, physical: tuple[int, ...]) -> Any:
    from quantainer.backends.device_noise import noise_model

    return noise_model(read_snapshot(name, folder), physical)
