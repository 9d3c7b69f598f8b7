"""Workload: turns a submission and its payload into planned pubs; what workers read, they keep.

Runs in worker processes only: reading untrusted circuits may kill the process that does it.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp

from quantainer.backends.backend import Backend, Limits, Options, Plan, Pub
from quantainer.backends.expectation import observables_of, support
from quantainer.backends.recent import Recent
from quantainer.broker.requests import (
    ParametersRequest,
    PubRequest,
    Reference,
    Submission,
    check_shots,
    parse,
)
from quantainer.circuits import Circuit, ReadOptions, measure, read
from quantainer.core.facts import Facts
from quantainer_client.errors import QuantainerError
from quantainer_client.payload import part, resolve_list

__all__ = ["Planned", "Run", "Workload", "pub_requests"]

_CIRCUITS = 256
_CIRCUITS_BYTES = 64 * 1024**2
_PLANS = 4096


@dataclass(frozen=True, slots=True)
class Planned:
    """One pub, ready to run."""

    pub: Pub
    plan: Plan
    warm: bool

    @property
    def rows(self) -> int:
        """Parameter rows; 1 for a circuit without parameters."""
        return 1 if self.pub.parameters is None else len(self.pub.parameters)

    @property
    def shots(self) -> int:
        """Shots over all rows; 0 of what is computed, not measured."""
        return self.rows * (self.pub.shots or 0)

    @property
    def result_bytes(self) -> int:
        """Bytes of the result on the wire."""
        if self.pub.observables:
            return 16 * len(self.pub.pairs)
        return self.rows * (self.pub.shots or 0) * -(-self.pub.facts.clbits // 8)


@dataclass(frozen=True, slots=True)
class Run:
    """A submission, ready to run but for its seed."""

    backend: Backend
    options: Options
    planned: list[Planned]

    def again(self) -> Run:
        """Return it as it is when it was met before."""
        return replace(self, planned=[replace(planned, warm=True) for planned in self.planned])


class Workload:
    """Reads, measures and plans; circuits and plans met before are kept."""

    def __init__(
        self, backends: dict[str, Backend], limits: Limits, reading: ReadOptions, shots_max: int
    ) -> None:
        self._backends = backends
        self._limits = limits
        self._reading = reading
        self._shots_max = shots_max
        self._circuits: Recent[tuple[Circuit, Facts]] = Recent(_CIRCUITS_BYTES)
        self._plans: Recent[Plan] = Recent(_PLANS)

    def plan(self, request: Submission, payload: memoryview) -> list[Planned]:
        """Plan every pub of a submission.

        Raises:
            QuantainerError: The first refusal, naming the pub if there are several.
        """
        return [
            self.plan_pub(request, pub, index, payload)
            for index, pub in enumerate(pub_requests(request, payload))
        ]

    def run(self, request: Submission, payload: memoryview) -> Run:
        """Plan a submission to be run.

        Raises:
            QuantainerError: As ``plan``.
        """
        planned = self.plan(request, payload)
        return Run(self._backend(request), _options(request), planned)

    def _backend(self, request: Submission) -> Backend:
        """Return the backend of a submission, unless it has gone since that was accepted.

        Raises:
            QuantainerError: ``unknown_backend``.
        """
        backend = self._backends.get(request.backend)
        if backend is None:
            raise QuantainerError(
                "unknown_backend", f"There is no backend {request.backend!r} here any more."
            )
        return backend

    def plan_pub(
        self, request: Submission, sent: PubRequest, index: int, payload: memoryview
    ) -> Planned:
        """Plan one pub of a submission.

        Raises:
            QuantainerError: If it cannot be read or run here.
        """
        source = part(payload, sent.offset, sent.length, f"pubs.{index}")
        digest = _digest(source, sent)
        warm, circuit, facts = self._circuit(source, digest, sent)
        pub = self._pub(request, sent, index, payload, circuit, facts, digest)
        return Planned(pub, self._plan(request, pub), warm)

    def _circuit(
        self, source: memoryview, digest: str, sent: PubRequest
    ) -> tuple[bool, Circuit, Facts]:
        key = digest, sent.format
        known = self._circuits.get(key)
        if known is not None:
            return True, *known
        reading = self._reading
        if sent.inputs or sent.circuit is not None:
            reading = replace(reading, inputs=sent.inputs, circuit=sent.circuit)
        circuit = read(bytes(source), name=sent.name, format=sent.format, options=reading)
        facts = measure(circuit)
        weight = max(len(source), _CIRCUITS_BYTES // _CIRCUITS)  # bounds their number, too
        self._circuits.put(key, (circuit, facts), weight)
        return False, circuit, facts

    def _pub(
        self,
        request: Submission,
        sent: PubRequest,
        index: int,
        payload: memoryview,
        circuit: Circuit,
        facts: Facts,
        digest: str,
    ) -> Pub:
        parameters = _parameters(sent.parameters, facts, index, payload)
        rows = 1 if parameters is None else len(parameters)
        observables = _observables(sent.observables, facts, index, payload)
        pairs = _pairs(sent.pairs, rows, len(observables), index, payload) if observables else ()
        shots = request.shots if sent.shots is None else sent.shots
        if observables:
            shots = _shots_for(sent.precision) if sent.precision else None
        elif not facts.measured_clbits:
            raise _unmeasured(sent.name, facts)
        return Pub(
            circuit=circuit,
            facts=facts,
            digest=digest,
            shots=None if shots is None else check_shots(shots, self._shots_max),
            parameters=parameters,
            observables=observables,
            pairs=pairs,
            precision=sent.precision,
        )

    def _plan(self, request: Submission, pub: Pub) -> Plan:
        options = _options(request)
        rows = 0 if pub.parameters is None else len(pub.parameters)
        sizes = pub.shots, rows, len(pub.pairs), pub.precision
        key = request.backend, pub.digest, _observed(pub), *sizes, options
        known = self._plans.get(key)
        if known is None:
            known = self._backend(request).plan(pub, options, self._limits)
            self._plans.put(key, known, 1)
        return known


def _observed(pub: Pub) -> tuple[int, ...]:
    """Return the qubits that observables act on: a simulator runs what these depend on."""
    return tuple(sorted(support(observables_of(pub.observables))))


def _digest(source: memoryview, sent: PubRequest) -> str:
    """Return what names a circuit: its bytes, which of them is meant, the values of its inputs."""
    found = blake2b(source, digest_size=16)
    if sent.inputs or sent.circuit is not None:
        found.update(json.dumps([sent.inputs, sent.circuit], sort_keys=True).encode())
    return found.hexdigest()


def _shots_for(precision: float) -> int:
    """Return how many shots measure an observable of one Pauli term to a standard deviation."""
    try:
        return math.ceil(precision**-2)
    except OverflowError:
        raise QuantainerError(
            "invalid_option",
            f"No number of shots gives a precision of {precision}.",
            hint="Ask for a larger one, or for 0: then it is computed.",
        ) from None


def _options(request: Submission) -> Options:
    """Return what the submitter chose, as backends take it."""
    return Options(**request.options.model_dump())


def pub_requests(request: Submission, payload: memoryview) -> list[PubRequest]:
    """Return the pubs of a submission, read from the payload if they travelled there.

    Raises:
        QuantainerError: ``bad_request``.
    """
    if isinstance(request.pubs, list):
        return request.pubs
    listed = _resolved(request.pubs, payload, "pubs")
    return [parse(PubRequest, fields, f"pubs.{index}.") for index, fields in enumerate(listed)]


def _resolved(value: list[Any] | Reference, payload: memoryview, what: str) -> list[Any]:
    if isinstance(value, Reference):
        return resolve_list(value.model_dump(), payload, what)
    return value


def _parameters(
    sent: ParametersRequest | None, facts: Facts, index: int, payload: memoryview
) -> NDArray[np.float64] | None:
    names = [] if sent is None else _resolved(sent.names, payload, f"pubs.{index}.parameters.names")
    if sorted(map(str, names)) != list(facts.parameters):
        raise QuantainerError(
            "invalid_parameters",
            f"Circuit {index} has the parameters {_listed(facts.parameters)}; "
            f"values were given for {_listed(names)}.",
            hint="Give a value for each by name; of an OpenQASM 3 file with --input NAME=VALUE.",
        )
    if sent is None or not names:
        return None
    what = f"pubs.{index}.parameters"
    size = 8 * sent.rows * len(names)
    values = np.frombuffer(part(payload, sent.offset, size, what), dtype="<f8")
    if not np.isfinite(values).all():
        raise QuantainerError(
            "invalid_parameters", f"Parameter values of circuit {index} are not finite numbers."
        )
    order = [names.index(name) for name in facts.parameters]
    return np.ascontiguousarray(values.reshape(sent.rows, len(names))[:, order])


def _observables(
    sent: list[Any] | Reference | None, facts: Facts, index: int, payload: memoryview
) -> tuple[SparsePauliOp, ...]:
    if sent is None:
        return ()
    listed = _resolved(sent, payload, f"pubs.{index}.observables")
    return tuple(_observable(terms, facts, f"pubs.{index}.observables") for terms in listed)


def _observable(terms: Any, facts: Facts, what: str) -> SparsePauliOp:
    if not isinstance(terms, list) or not terms:
        raise QuantainerError("bad_request", f"{what}: an observable is a list of terms.")
    for term in terms:
        if not isinstance(term, list) or len(term) != 2:
            raise QuantainerError("bad_request", f"{what}: a term is [Pauli label, coefficient].")
        label, coefficient = term
        if not isinstance(label, str) or len(label) != facts.qubits or set(label) - set("IXYZ"):
            raise QuantainerError(
                "bad_request",
                f"{what}: {label!r} is no Pauli label of {facts.qubits} letters of IXYZ.",
            )
        if isinstance(coefficient, bool) or not isinstance(coefficient, int | float):
            raise QuantainerError("bad_request", f"{what}: a coefficient is a real number.")
        if abs(coefficient) > sys.float_info.max:
            raise QuantainerError("bad_request", f"{what}: a coefficient is too large.")
    return SparsePauliOp.from_list([(label, float(value)) for label, value in terms])


def _pairs(
    sent: list[Any] | Reference | None,
    rows: int,
    observables: int,
    index: int,
    payload: memoryview,
) -> tuple[tuple[int, int], ...]:
    if sent is None:
        return tuple((row, column) for row in range(rows) for column in range(observables))
    what = f"pubs.{index}.pairs"
    pairs = []
    for pair in _resolved(sent, payload, what):
        match pair:
            case [int(row), int(column)] if 0 <= row < rows and 0 <= column < observables:
                pairs.append((row, column))
            case _:
                raise QuantainerError(
                    "bad_request", f"{what}: {pair!r} is no [row, observable] of this circuit."
                )
    return tuple(pairs)


def _unmeasured(name: str, facts: Facts) -> QuantainerError:
    register = next((name for name, bits in facts.registers if bits), None)
    if facts.clbits == 0:
        message = f"{name or 'The circuit'} has no classical bits and measures nothing."
    else:
        bit = f"{register}[0]" if register else "any classical bit"
        message = f"No measurement writes bit {bit} of {name or 'the circuit'}."
    return QuantainerError(
        "no_measurement",
        message,
        hint="Add a measurement, or ask an SDK's estimator for expectation values.",
    )


def _listed(names: Any) -> str:
    shown = [str(name) for name in names]
    if not shown:
        return "none"
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")
