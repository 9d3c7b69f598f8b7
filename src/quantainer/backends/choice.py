"""Choice: which method, engine and precision run a circuit. Pure: decided from facts alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from quantainer.backends import rates
from quantainer.backends.backend import Limits, Options, Plan
from quantainer.backends.memory import Footprint, peak_bytes
from quantainer.backends.simulators.simulator import Method, Precision, Simulator
from quantainer_client.errors import QuantainerError

__all__ = ["METHODS", "Candidate", "Need", "Offer", "choose"]

METHODS: tuple[Method, ...] = (
    "stabilizer",
    "near_clifford",
    "statevector",
    "mps",
    "density_matrix",
    "trajectories",
)
_EXACT_BOND_LOG2 = 8
MAX_T_GATES = 26


@dataclass(frozen=True, slots=True)
class Need:
    """What a circuit asks of an engine, after lowering.

    Attributes:
        qubits: Qubits that matter.
        operations: Operations after unrolling.
        two_qubit: Gates on two or more qubits.
        terminal: All measurements are at the end.
        analytic: Exact expectation values are asked, not shots.
        shots: Shots kept at a time, all rows together.
        branches: Measurements and resets on the way.
        collapses: There are measurements on the way, or what depends on them.
    """

    qubits: int
    operations: int
    two_qubit: int
    t_count: int
    clifford: bool
    bond_log2: int
    terminal: bool
    analytic: bool
    shots: int
    clbits: int
    branches: int = 0
    collapses: bool = False

    @property
    def footprint(self) -> Footprint:
        """What the memory model needs to know."""
        return Footprint(
            qubits=self.qubits,
            operations=self.operations,
            shots=self.shots,
            clbits=self.clbits,
            bond_log2=self.bond_log2,
            t_count=self.t_count,
            branches=self.branches,
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run, with its price."""

    method: Method
    engine: str
    precision: Precision
    memory_bytes: int
    seconds: float
    exact: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """What can be chosen from.

    Attributes:
        engines: Engine name to adapter.
        versions: Engine name to version.
        refusal: Why an engine cannot run the circuit at hand with a method, or ``None``.
    """

    engines: Mapping[str, Simulator]
    versions: Mapping[str, str]
    refusal: Callable[[str, Method], str | None]


def choose(need: Need, options: Options, limits: Limits, offer: Offer) -> Plan:
    """Return the cheapest way that is exact, else the cheapest that bounds its error.

    Raises:
        QuantainerError: ``invalid_option`` for a choice that does not exist,
            ``unsupported_circuit`` if nothing offered can run it, ``out_of_memory`` if what could
            does not fit.
    """
    _check(options, offer.engines)
    reasons: dict[str, str] = {}
    ways = sorted(
        _candidates(need, options, limits, offer, reasons),
        key=lambda one: (
            not one.exact,
            need.clifford and one.method != "stabilizer",
            one.seconds,
            one.engine,
        ),
    )
    too_large: list[Candidate] = []
    for way in ways:  # an engine reads the circuit only when its turn comes
        if way.memory_bytes > limits.memory_bytes:
            too_large.append(way)
            continue
        why = offer.refusal(way.engine, way.method)
        if why is None:
            return Plan(
                method=way.method,
                engine=way.engine,
                engine_version=offer.versions[way.engine],
                precision=way.precision,
                memory_bytes=way.memory_bytes,
                seconds=way.seconds,
                reason=_reason(need, way, options),
                exact=way.exact,
                seconds_max=limits.seconds,
            )
        reasons[f"{way.engine} ({way.method})"] = why
    runnable = [way for way in too_large if offer.refusal(way.engine, way.method) is None]
    if runnable:
        raise _too_large(need, runnable, limits)
    raise _impossible(need, options, reasons)


def _check(options: Options, engines: Mapping[str, Simulator]) -> None:
    if options.method is not None and options.method not in METHODS:
        raise _unknown("method", options.method, METHODS)
    if options.engine is not None and options.engine not in engines:
        raise _unknown("engine", options.engine, tuple(sorted(engines)), _EXTRAS)
    if options.precision not in (None, "single", "double"):
        raise _unknown("precision", options.precision, ("single", "double"))


_EXTRAS = {"lightning": "lightning", "panta": "fast", "prism": "fast", "qevedo": "fast"}
"""Engines that come with an extra of the package quantainer."""


def _unknown(
    what: str, value: str, known: tuple[str, ...], extras: Mapping[str, str] | None = None
) -> QuantainerError:
    extra = f"It comes with quantainer[{extras[value]}]. " if extras and value in extras else ""
    return QuantainerError(
        "invalid_option",
        f"There is no {what} {value!r} here.",
        hint=f"{extra}One of: {', '.join(known)}; or none, and it is chosen.",
    )


def _candidates(
    need: Need, options: Options, limits: Limits, offer: Offer, reasons: dict[str, str]
) -> Iterator[Candidate]:
    """Yield every way that could be; note in ``reasons`` why the others cannot."""
    for method in METHODS:
        if options.method not in (None, method):
            continue
        unfit = _unfit(need, method, options)
        if unfit is not None:
            reasons[f"method {method}"] = unfit
            continue
        for name, engine in offer.engines.items():
            if options.engine not in (None, name) or method not in engine.methods:
                continue
            if need.analytic and method not in engine.expects:
                reasons[f"{name} ({method})"] = "it has no analytic expectation values"
                continue
            for precision in _precisions(need, options, engine, method):
                yield Candidate(
                    method=method,
                    engine=name,
                    precision=precision,
                    memory_bytes=peak_bytes(method, name, precision, need.footprint),
                    seconds=rates.seconds(need, method, name, precision, limits.threads),
                    exact=method != "mps" or need.bond_log2 <= _EXACT_BOND_LOG2,
                )


def _precisions(
    need: Need, options: Options, engine: Simulator, method: Method
) -> Iterator[Precision]:
    for precision in sorted(engine.precisions):
        if options.precision not in (None, precision) and method not in _ALWAYS_EXACT:
            continue
        # Float32 errs by 1e-6, far below shot noise; an analytic value has no noise to hide it.
        if options.precision is None and need.analytic and precision == "single":
            continue
        yield precision


_ALWAYS_EXACT = frozenset({"stabilizer", "near_clifford"})  # integers: no precision to choose


def _unfit(need: Need, method: Method, options: Options) -> str | None:
    """Return why a method does not suit; some reasons do not hold if something was asked for."""
    asked = options.method is not None or options.engine is not None
    on_the_way = "the circuit measures, resets or decides on the way"
    resets_analytic = need.analytic and not need.terminal  # a reset mixes states
    reasons: dict[Method, tuple[tuple[bool, str], ...]] = {
        "stabilizer": (
            (need.analytic and not need.terminal, on_the_way),
            (not need.clifford and not asked, "the circuit has gates outside the Clifford group"),
        ),
        "near_clifford": (
            (not need.terminal, on_the_way),
            (need.clifford and not asked, "the circuit is Clifford"),
            (
                need.t_count > MAX_T_GATES,
                f"the circuit has {need.t_count} gates outside the Clifford group",
            ),
        ),
        "statevector": ((not need.terminal, f"{on_the_way}: see trajectories"),),
        "mps": ((not need.terminal, f"{on_the_way}: see trajectories"),),
        "density_matrix": (
            (need.analytic and need.collapses, "the circuit measures on the way"),
            (options.method is None and not resets_analytic, "nothing is noisy"),
        ),
        "trajectories": ((need.terminal and not asked, "all measurements are at the end"),),
    }
    return next((reason for holds, reason in reasons[method] if holds), None)


def _impossible(need: Need, options: Options, reasons: dict[str, str]) -> QuantainerError:
    asked = [
        f"{key}={value}"
        for key, value in (
            ("method", options.method),
            ("engine", options.engine),
            ("precision", options.precision),
        )
        if value
    ]
    what = f"with {', '.join(asked)}" if asked else "on any engine that is offered"
    listed = "; ".join(f"{who}: {why}" for who, why in reasons.items())
    hint = "Leave method, engine and precision open." if asked else None
    if need.analytic and need.collapses:
        hint = "Exact values are of circuits that measure at the end only. Ask for a precision "
        hint += "above 0: then shots are drawn."
    return QuantainerError(
        "unsupported_circuit",
        f"The circuit cannot run {what} ({listed or 'the engine does not offer this'}).",
        hint=hint,
    )


def _too_large(need: Need, ways: list[Candidate], limits: Limits) -> QuantainerError:
    """Say what does not fit: the shots, if fewer of them would, else the state."""
    alone = replace(need.footprint, shots=0)
    best = min(
        ways, key=lambda one: (need.clifford and one.method != "stabilizer", one.memory_bytes)
    )
    state = peak_bytes(best.method, best.engine, best.precision, alone)
    if state < limits.memory_bytes and need.shots > 1:
        each = -(-(best.memory_bytes - state) // need.shots)
        fit = (limits.memory_bytes - state) // each
        return QuantainerError(
            "out_of_memory",
            f"{need.shots} shots of {need.clbits} classical bits and {need.qubits} active qubits "
            f"(those of all parameter rows count) do not fit into the memory granted.",
            limit=limits.memory_bytes,
            needed=best.memory_bytes,
            hint=f"Ask for {fit} shots at a time at most, or for fewer classical bits."
            if fit
            else "Use fewer classical bits, or a node with more memory.",
        )
    return QuantainerError(
        "out_of_memory",
        f"The cheapest way ({best.method} on {best.engine}, {best.precision}) for "
        f"{need.qubits} active qubits does not fit into the memory granted.",
        limit=limits.memory_bytes,
        needed=best.memory_bytes,
        hint="Use fewer qubits, a less entangled circuit, or a node with more memory.",
    )


def _reason(need: Need, best: Candidate, options: Options) -> str:
    why = {
        "stabilizer": "every gate is Clifford",
        "near_clifford": f"only {need.t_count} gates are outside the Clifford group",
        "statevector": f"{need.qubits} active qubits fit as a state vector",
        "mps": f"the entanglement over any cut is at most 2^{need.bond_log2}",
        "density_matrix": "resets on the way leave a mixture of states",
        "trajectories": "the circuit measures, resets or decides on the way",
    }[best.method]
    how = f"{best.engine} is the fastest engine offered for it"
    if options.engine is not None:
        how = f"engine {best.engine} was asked for"
    if options.method is not None:
        why = f"method {best.method} was asked for"
    text = f"{why[0].upper()}{why[1:]}; {how}"
    if best.precision == "single" and options.precision is None:
        text += "; float32, whose error of 1e-6 is far below shot noise"
    return f"{text}."
