"""qsim: the automatic simulator. It chooses method, engine and precision by itself."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from quantainer.backends import rates
from quantainer.backends.backend import Backend, Limits, Options, Plan, Pub, PubResult
from quantainer.backends.choice import Need, Offer, choose
from quantainer.backends.memory import widest
from quantainer.backends.need import need_of
from quantainer.backends.probe import Bounds, MpsEngine, refuse_hopeless
from quantainer.backends.recent import Recent
from quantainer.backends.rows import Rows, program_key
from quantainer.backends.simulators import entanglement
from quantainer.backends.simulators.catalogue import Catalogue
from quantainer.backends.simulators.chain import laid_out, with_neighbours
from quantainer.backends.simulators.lowering import lower, unmeasured
from quantainer.backends.simulators.program import Program
from quantainer.backends.simulators.simulator import Method, Precision, Prepared
from quantainer.backends.unwritten import check_sampling, unwritten_notes
from quantainer.core.target import TargetFacts
from quantainer_client.errors import QuantainerError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ADVERTISED_SHOTS", "Qsim", "provide"]

ADVERTISED_SHOTS = 100_000
_KEPT_BYTES = 64 << 20
_PROBED = 4096  # circuits
_log = logging.getLogger(__name__)
_CLIFFORD_WIDTH_MAX = 10_000
_CHAIN_MIN = 16
"""Up to this width the order of qubits decides nothing: a state vector is as fast."""
_PROGRAM_OPERATION_BYTES = 300


def provide(limits: Limits) -> Iterable[Backend]:
    """Yield the automatic simulator (entry point ``quantainer.backends``)."""
    del limits
    return [Qsim()]


class Qsim:
    """Runs any circuit that fits, the cheapest exact way that this node offers."""

    name = "qsim"

    def __init__(self, catalogue: Catalogue | None = None) -> None:
        self._catalogue = catalogue or Catalogue()
        self._programs: Recent[Program] = Recent(_KEPT_BYTES)
        self._chains: Recent[Program] = Recent(_KEPT_BYTES)
        self._prepared: Recent[Prepared] = Recent(_KEPT_BYTES)
        self._probed: Recent[bool] = Recent(_PROBED)

    @property
    def engines(self) -> frozenset[str]:
        """Names of the engines that are offered."""
        return frozenset(self._catalogue.offered)

    def target(self, limits: Limits) -> TargetFacts:
        """Return the facts; ``qubits`` is the dense width that runs ``ADVERTISED_SHOTS`` shots."""
        return TargetFacts(
            name=self.name,
            kind="simulator",
            qubits=self._widest(limits, "statevector"),
            clifford_qubits=min(_CLIFFORD_WIDTH_MAX, self._widest(limits, "stabilizer")),
            description=self._description(),
            status="online",
        )

    def _widest(self, limits: Limits, method: Method) -> int:
        return max(
            (
                widest(method, name, precision, limits.memory_bytes, ADVERTISED_SHOTS)
                for name, engine in self._catalogue.offered.items()
                for precision in engine.precisions
                if method in engine.methods
            ),
            default=0,
        )

    def _description(self) -> str:
        catalogue = self._catalogue
        offered = ", ".join(f"{name} {catalogue.version(name)}" for name in catalogue.offered)
        dropped = "; ".join(f"{name}: {why}" for name, why in catalogue.dropped.items())
        text = f"Chooses method and engine by itself. Engines: {offered or 'none'}."
        return f"{text} Not offered: {dropped}." if dropped else text

    def plan(self, pub: Pub, options: Options, limits: Limits) -> Plan:
        """Decide how to run.

        Raises:
            QuantainerError: ``no_measurement``, ``unsupported_circuit``, ``invalid_option`` or
                ``out_of_memory``.
        """
        return self._plan(pub, options, limits, frozenset())

    def _plan(self, pub: Pub, options: Options, limits: Limits, without: frozenset[str]) -> Plan:
        program = self._program(pub)
        if not pub.observables:
            check_sampling(pub, program)
        offered = {n: e for n, e in self._catalogue.offered.items() if n not in without}

        def refusal(engine: str, method: Method) -> str | None:
            return offered[engine].refuses(program, method)

        versions = {name: self._catalogue.version(name) for name in offered}
        need = need_of(pub, program)
        if _may_be_chain(need, options):
            bond_log2 = entanglement.bond_log2(self._chain(pub, program))
            need = replace(need, bond_log2=min(need.bond_log2, bond_log2))
        plan = choose(need, options, limits, Offer(offered, versions, refusal))
        if plan.method != "mps":
            return plan
        chain = self._chain(pub, program)
        return replace(
            plan,
            seconds=min(plan.seconds, _chain_seconds(chain, need, plan)),
            reason=f"{plan.reason}{_reordered(program, chain)}",
        )

    def run(self, pub: Pub, plan: Plan, options: Options, seed: int, threads: int) -> PubResult:
        """Run a planned pub. Row ``r`` of the parameters runs with ``member(seed, r)``.

        An engine that fails, in its self-test or on this circuit, is passed over for the next one,
        and the result says so; not if the submitter named the engine.

        Raises:
            QuantainerError: ``truncation`` if an approximation is worse than the options allow;
                ``backend_failed`` if the named engine, or all, failed.
        """
        failed: dict[str, str] = {}
        limits = Limits(max(plan.memory_bytes, 1 << 30), threads, seconds=plan.seconds_max)
        while True:
            fault = self._unsound(plan.engine)
            if fault is None:
                try:
                    return self._run(pub, plan, options, seed, threads, failed)
                except (QuantainerError, MemoryError, KeyboardInterrupt, SystemExit):
                    raise
                except BaseException as error:  # a panic in Rust is no Exception
                    fault = f"{type(error).__name__}: {error}"
                    _log.warning("engine %s failed: %s", plan.engine, fault)
            failed[plan.engine] = fault
            if options.engine is not None:
                raise QuantainerError("backend_failed", f"Engine {plan.engine} failed: {fault}")
            plan = self._plan(pub, options, limits, frozenset(failed))

    def _unsound(self, engine: str) -> str | None:
        if self._catalogue.ready(engine) is not None:
            return None
        return self._catalogue.dropped[engine]

    def _run(
        self,
        pub: Pub,
        plan: Plan,
        options: Options,
        seed: int,
        threads: int,
        failed: dict[str, str],
    ) -> PubResult:
        program = self._program(pub)
        if plan.method == "mps":
            program = self._chain(pub, program)
        bounds = Bounds(options.truncation_max, plan.seconds_max, options.method is not None)
        work = Rows(self, pub, program, plan, bounds, threads)
        evs: NDArray[np.float64] | None = None
        stds: NDArray[np.float64] | None = None
        samples: NDArray[np.uint8] | None = None
        if pub.observables:
            evs, stds = work.expectations(seed)
        else:
            samples = work.samples(seed)
        if work.truncation is not None and work.truncation > options.truncation_max:
            raise _truncated(work.truncation, options.truncation_max)
        passed_over = [f"engine {name} was passed over: {why}" for name, why in failed.items()]
        metadata: dict[str, Any] = {
            "method": plan.method,
            "engine": plan.engine,
            "engine_version": plan.engine_version,
            "precision": plan.precision,
            "reason": plan.reason,
            "expected_seconds": plan.seconds,
            "seed": seed,
            "threads": threads,
            "truncation_error": work.truncation,
            "bit_order": "qiskit",
            "notes": [*pub.circuit.notes, *passed_over, *unwritten_notes(pub, program)],
        }
        return PubResult(samples=samples, evs=evs, stds=stds, metadata=metadata)

    def _program(self, pub: Pub) -> Program:
        key = program_key(pub)
        names = pub.facts.parameters

        def make() -> tuple[Program, int]:
            source, observed = pub.circuit.program, key[1]
            made = (
                lower(source, names)
                if observed is None
                else unmeasured(source, set(observed), names)
            )
            return made, _PROGRAM_OPERATION_BYTES * (len(made.body or ()) + 10)

        return self._programs.get_or(key, make)

    def _chain(self, pub: Pub, program: Program) -> Program:
        """Return a terminal program with its qubits in the order for a matrix product state."""

        def make() -> tuple[Program, int]:
            made = laid_out(program)
            return made, _PROGRAM_OPERATION_BYTES * (len(made.gates) + 10)

        return self._chains.get_or(program_key(pub), make)

    def prepared(self, key: tuple[Any, ...] | None, program: Program, plan: Plan) -> Prepared:
        """Return the program in the engine's own form; kept if it has a key."""
        engine = self._catalogue.offered[plan.engine]

        def make() -> tuple[Prepared, int]:
            written = with_neighbours(program) if plan.method == "mps" else program
            made = engine.prepare(written, plan.method, plan.precision)  # type: ignore[arg-type]
            return made, made.bytes

        if key is None:
            return make()[0]
        return self._prepared.get_or((*key, plan.engine, plan.method, plan.precision), make)

    def probe(
        self,
        key: tuple[Any, ...] | None,
        program: Program,
        plan: Plan,
        bounds: Bounds,
        threads: int,
    ) -> None:
        """Refuse a circuit whose matrix product state would lose too much, before it is run.

        One that passed and has a key is not tried again.
        """
        engine = cast(MpsEngine, self._catalogue.offered[plan.engine])
        precision: Precision = "single" if plan.precision == "single" else "double"

        def passes() -> tuple[bool, int]:
            refuse_hopeless(engine, program, precision, bounds, threads)
            return True, 1

        if key is None:
            passes()
        else:
            self._probed.get_or((*key, plan.engine, precision, bounds.truncation_max), passes)


def _may_be_chain(need: Need, options: Options) -> bool:
    """Tell whether a circuit may run as a matrix product state."""
    if not need.terminal or options.method not in (None, "mps"):
        return False
    return options.method == "mps" or (not need.clifford and need.qubits > _CHAIN_MIN)


def _chain_seconds(chain: Program, need: Need, plan: Plan) -> float:
    """Return a rough run time by the ranks that gates meet; above what is planned: infinite."""
    gates = rates.mps_seconds(chain, plan.engine, entanglement.BOND, plan.seconds)
    return gates + rates.mps_sampling_seconds(chain, plan.engine, need.shots)


def _reordered(program: Program, chain: Program) -> str:
    """Return what to add to the reason if a chain has its qubits in another order."""
    if chain.origin == program.origin:
        return ""
    before, after = entanglement.bond_log2(program), entanglement.bond_log2(chain)
    return (
        f" Its qubits are reordered for the chain: the entanglement over any cut of it is then at "
        f"most 2^{after}, and 2^{before} as they were."
    )


def _truncated(error: float, bound_: float) -> QuantainerError:
    return QuantainerError(
        "truncation",
        f"The matrix product state lost {error:.3g} of its weight: the result would be wrong.",
        limit=bound_,
        needed=error,
        hint="Allow more with truncation_max (command line: --truncation-max), or make the circuit "
        "narrower or less entangled.",
    )
