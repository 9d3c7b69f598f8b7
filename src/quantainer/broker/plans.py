"""Plans: what workers said of circuits, kept so that no circuit is asked about twice."""

from __future__ import annotations

import itertools
import json
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from quantainer.broker.process import Answer
from quantainer.broker.requests import PubRequest, Reference, Submission
from quantainer_client.payload import map_payload, part, resolve_list

__all__ = ["JobPlan", "PlanCache", "PubPlan", "plans_in"]

_ENTRIES = 16_384


@dataclass(frozen=True, slots=True)
class PubPlan:
    """What the broker keeps of one planned pub."""

    active_qubits: int
    method: str
    memory_bytes: int
    seconds: float
    result_bytes: int
    shots: int


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What a whole submission needs.

    ``number`` names this very work, circuits, options, shots and all but the seed, to the workers;
    0 where parameter values differ from one submission to the next.
    """

    pubs: tuple[PubPlan, ...]
    number: int = 0

    @property
    def memory_bytes(self) -> int:
        """Peak: the largest pub, and every result twice: as computed and as handed over."""
        return max(pub.memory_bytes for pub in self.pubs) + 2 * self.result_bytes

    @property
    def result_bytes(self) -> int:
        """Bytes of all results."""
        return sum(pub.result_bytes for pub in self.pubs)

    @property
    def shots(self) -> int:
        """Shots of all circuits and parameter rows; 0 of what is computed, not measured."""
        return sum(pub.shots for pub in self.pubs)

    @property
    def seconds(self) -> float:
        """Rough run time."""
        return sum(pub.seconds for pub in self.pubs)

    @property
    def widest(self) -> int:
        """Most active qubits of a pub."""
        return max(pub.active_qubits for pub in self.pubs)


class PlanCache:
    """Plans by everything they depend on; parameter values and seeds are no part of that."""

    def __init__(self) -> None:
        self._plans: OrderedDict[Hashable, JobPlan] = OrderedDict()
        self._numbers = itertools.count(1)

    def clear(self) -> None:
        """Forget every plan: the backends that made them may have changed."""
        self._plans.clear()

    def find(self, request: Submission, payload: memoryview) -> JobPlan | None:
        """Return the plan of a submission if every pub of it is known."""
        if isinstance(request.pubs, Reference):
            return None
        if len(request.pubs) == 1:
            return self._plans.get(_key(request, request.pubs[0], payload))
        found: list[PubPlan] = []
        for pub in request.pubs:
            plan = self._plans.get(_key(request, pub, payload))
            if plan is None:
                return None
            found += plan.pubs
        return JobPlan(tuple(found))

    def keep(self, request: Submission, payload: memoryview, plan: JobPlan) -> None:
        """Remember what a worker said."""
        if isinstance(request.pubs, Reference):
            return
        for pub, planned in zip(request.pubs, plan.pubs, strict=True):
            number = 0 if pub.parameters is not None else next(self._numbers)
            self._plans[_key(request, pub, payload)] = JobPlan((planned,), number)
        while len(self._plans) > _ENTRIES:
            self._plans.popitem(last=False)


def _key(request: Submission, pub: PubRequest, payload: memoryview) -> Hashable:
    source = part(payload, pub.offset, pub.length, "pubs")
    parameters = pub.parameters
    shots = request.shots if pub.shots is None else pub.shots
    names, rows = (None, 1) if parameters is None else (parameters.names, parameters.rows)
    return (
        blake2b(source, digest_size=16).digest(),
        pub.format,
        request.backend,
        shots if type(shots) is int else json.dumps(shots),  # True and 1.0 equal 1, and are refused
        request.options,
        rows,
        _listed(names, payload),
        blake2b(json.dumps(pub.inputs, sort_keys=True).encode(), digest_size=16).digest()
        if pub.inputs
        else None,
        pub.circuit,
        _listed(pub.observables, payload),
        _listed(pub.pairs, payload),
        pub.precision,
    )


def _listed(value: list[Any] | Reference | None, payload: memoryview) -> Hashable:
    if value is None:
        return None
    if isinstance(value, Reference):
        return blake2b(part(payload, value.offset, value.length, "list"), digest_size=16).digest()
    return blake2b(json.dumps(value).encode(), digest_size=16).digest()


def plans_in(answer: Answer) -> JobPlan:
    """Read a worker's answer to ``plan``; its descriptor is closed."""
    data = memoryview(b"") if answer.fd is None else map_payload(answer.fd)
    described = resolve_list(json.loads(answer.fields["pubs"]), data, "pubs")
    return JobPlan(
        tuple(
            PubPlan(
                active_qubits=pub["facts"]["active_qubits"],
                method=pub["plan"]["method"],
                memory_bytes=pub["plan"]["memory_bytes"],
                seconds=pub["plan"]["seconds"],
                result_bytes=pub["result_bytes"],
                shots=pub["shots"],
            )
            for pub in described
        )
    )
