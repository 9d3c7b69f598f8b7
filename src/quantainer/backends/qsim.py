"""qsim: the automatic simulator. It chooses method, engine and precision by itself."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from quantainer.backends import rates
from quantainer.backends.backend import Backend, Limits, Options, Plan, Pub, PubResult
from quantainer.backends.binding import bound
from quantainer.backends.choice import Need, Offer, choose
from quantainer.backends.expectation import (
    Group,
    Observable,
    analytic,
    measured,
    observables_of,
    sampled,
    support,
)
from quantainer.backends.memory import widest
from quantainer.backends.probe import Bounds, MpsEngine, refuse_hopeless
from quantainer.backends.recent import Recent
from quantainer.backends.simulators import entanglement
from quantainer.backends.simulators.catalogue import Catalogue
from quantainer.backends.simulators.chain import laid_out, with_neighbours
from quantainer.backends.simulators.lowering import lower, unmeasured
from quantainer.backends.simulators.program import (
    Branch,
    Gate,
    Measure,
    Operation,
    Program,
    Repeat,
    Reset,
)
from quantainer.backends.simulators.simulator import Method, Precision, Prepared, Samples
from quantainer.core.seed import derive, member
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
            _check_sampling(pub, program)
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
        work = _Work(self, pub, program, plan, options.truncation_max, threads)
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
            "notes": [*pub.circuit.notes, *passed_over, *_unwritten_notes(pub, program)],
        }
        return PubResult(samples=samples, evs=evs, stds=stds, metadata=metadata)

    def _program(self, pub: Pub) -> Program:
        key = _key(pub)
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

        return self._chains.get_or(_key(pub), make)

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
        truncation_max: float,
        threads: int,
    ) -> None:
        """Refuse a circuit whose matrix product state would lose too much, before it is run.

        One that passed and has a key is not tried again.
        """
        engine = cast(MpsEngine, self._catalogue.offered[plan.engine])
        precision: Precision = "single" if plan.precision == "single" else "double"

        def passes() -> tuple[bool, int]:
            bounds = Bounds(truncation_max, plan.seconds_max)
            refuse_hopeless(engine, program, precision, bounds, threads)
            return True, 1

        if key is None:
            passes()
        else:
            self._probed.get_or((*key, plan.engine, precision, truncation_max), passes)


class _Work:
    """One pub being run."""

    def __init__(
        self,
        qsim: Qsim,
        pub: Pub,
        program: Program,
        plan: Plan,
        truncation_max: float,
        threads: int,
    ) -> None:
        self._qsim = qsim
        self._pub = pub
        self._program = program
        self._plan = plan
        self._truncation_max = truncation_max
        self._threads = threads
        self.truncation: float | None = None

    def samples(self, seed: int) -> NDArray[np.uint8]:
        """Return ``uint8[rows, shots, bytes]``."""
        shots = self._pub.shots or 0
        rows = [
            self._draw(key, program, shots, member(seed, row))
            for row, (key, program) in enumerate(self._rows())
        ]
        return rows[0][None] if len(rows) == 1 else np.stack(rows)

    def expectations(self, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return values and standard errors in the order of the pub's pairs."""
        observables = observables_of(self._pub.observables)
        wanted: dict[int, list[int]] = {}
        for place, (row, _) in enumerate(self._pub.pairs):
            wanted.setdefault(row, []).append(place)
        evs = np.zeros(len(self._pub.pairs))
        stds = np.zeros(len(self._pub.pairs))
        for row, (key, program) in enumerate(self._rows()):
            places = wanted.get(row, [])
            if not places:
                continue
            chosen = [observables[self._pub.pairs[place][1]] for place in places]
            evs[places], stds[places] = self._values(key, program, chosen, member(seed, row))
        return evs, stds

    def _values(
        self, key: tuple[Any, ...] | None, program: Program, chosen: list[Observable], seed: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self._pub.precision == 0:
            prepared = self._qsim.prepared(key, program, self._plan)
            values = analytic(program, chosen, prepared, self._threads)
            self._lose(values.truncation_error)
            return values.numbers, np.zeros(len(values.numbers))
        shots = self._pub.shots or int(np.ceil(1 / self._pub.precision**2))

        def draw(index: int, group: Group) -> NDArray[np.uint8]:
            wider = measured(program, group)
            packed = self._draw(None, wider, shots, derive(seed, "group", index))
            bits = np.unpackbits(packed, axis=1, bitorder="little", count=wider.clbits)
            return bits[:, program.clbits :]

        return sampled(chosen, draw)

    def _rows(self) -> Iterator[tuple[tuple[Any, ...] | None, Program]]:
        """Yield each row's bound program; refuse what a matrix product state cannot hold."""
        for key, program in self._bound_rows():
            if self._plan.method == "mps":
                self._qsim.probe(key, program, self._plan, self._truncation_max, self._threads)
            yield key, program

    def _bound_rows(self) -> Iterator[tuple[tuple[Any, ...] | None, Program]]:
        """Yield each row's bound program, with a cache key where there is nothing to bind."""
        if self._pub.parameters is None:
            yield _key(self._pub), self._program
            return
        for program in bound(self._program, self._pub.parameters):
            yield None, program

    def _draw(
        self, key: tuple[Any, ...] | None, program: Program, shots: int, seed: int
    ) -> NDArray[np.uint8]:
        prepared = self._qsim.prepared(key, program, self._plan)
        drawn: Samples = prepared.sample(shots, seed, self._threads)
        self._lose(drawn.truncation_error)
        return drawn.packed

    def _lose(self, error: float | None) -> None:
        """Keep the worst loss of all rows."""
        if error is not None:
            self.truncation = max(self.truncation or 0.0, error)


def _key(pub: Pub) -> tuple[str, tuple[int, ...] | None]:
    """Return what a program is known by: its circuit, and the qubits that observables act on.

    These decide which gates are left of it; the qubits of those gates may yet be the same.
    """
    operators = observables_of(pub.observables)
    return pub.digest, tuple(sorted(support(operators))) if operators else None


def need_of(pub: Pub, program: Program) -> Need:
    """Return what the choice needs to know of a pub."""
    facts = pub.facts
    flat = program.body is not None
    sizes = _Sizes.of(program.body or ())
    rows = 1 if pub.parameters is None else max(1, len(pub.parameters))
    return Need(
        qubits=program.qubits,
        operations=sizes.operations if flat else facts.size,
        two_qubit=sizes.two_qubit,
        t_count=facts.t_count,
        clifford=facts.clifford,
        bond_log2=min(facts.bond_log2, program.qubits // 2),
        terminal=program.terminal,
        analytic=bool(pub.observables) and pub.precision == 0,
        shots=(pub.shots or 0) * rows,
        clbits=program.clbits,
        branches=sizes.branches,
        collapses=not program.terminal and (not flat or sizes.collapses),
    )


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


@dataclass(slots=True)
class _Sizes:
    """Operations of a body, nested ones included."""

    operations: int = 0
    two_qubit: int = 0
    branches: int = 0
    collapses: bool = False

    @classmethod
    def of(cls, body: Iterable[Operation]) -> _Sizes:
        sizes = cls()
        sizes._add(body)
        return sizes

    def _add(self, body: Iterable[Operation]) -> None:
        for operation in body:
            self.operations += 1
            match operation:
                case Gate():
                    self.two_qubit += len(operation.qubits) > 1
                case Measure() | Reset():
                    self.branches += 1
                    self.collapses |= isinstance(operation, Measure)
                case Branch():
                    self._add(operation.then)
                    self._add(operation.otherwise)
                case Repeat():
                    self._add(operation.body)


def _check_sampling(pub: Pub, program: Program) -> None:
    if not program.written:
        names = _bit_names(pub)
        what = f"No measurement writes bit {names[0]}" if names else "There are no classical bits"
        more = f" (nor any other of {len(names)})" if len(names) > 1 else ""
        raise QuantainerError(
            "no_measurement",
            f"{what}{more}: sampling {pub.circuit.name or 'the circuit'} yields nothing.",
            hint="Add measurements (measure_all() in Qiskit), or ask an SDK's estimator for "
            "expectation values.",
        )
    if pub.shots is None or pub.shots < 1:
        raise QuantainerError(
            "invalid_shots", f"Sampling needs at least one shot, not {pub.shots}.", needed=1
        )


def _unwritten_notes(pub: Pub, program: Program) -> list[str]:
    if pub.observables:
        return []
    unwritten = sorted(set(range(pub.facts.clbits)).difference(program.written))
    if not unwritten:
        return []
    known = _bit_names(pub)
    names = [known[bit] for bit in unwritten]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return [f"no measurement writes bit {', '.join(names[:4])}{more}: always 0"]


def _bit_names(pub: Pub) -> list[str]:
    """Return the name of each classical bit: by its first register, else ``clbit[i]``."""
    circuit = pub.circuit.program
    names = [f"clbit[{index}]" for index in range(circuit.num_clbits)]
    for index, bit in enumerate(circuit.clbits):
        registers = circuit.find_bit(bit).registers
        if registers:
            names[index] = f"{registers[0][0].name}[{registers[0][1]}]"
    return names


def _truncated(error: float, bound_: float) -> QuantainerError:
    return QuantainerError(
        "truncation",
        f"The matrix product state lost {error:.3g} of its weight: the result would be wrong.",
        limit=bound_,
        needed=error,
        hint="Allow more with truncation_max (command line: --truncation-max), or make the circuit "
        "narrower or less entangled.",
    )
