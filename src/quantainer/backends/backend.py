"""The one interface of every backend: what a worker process calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qiskit.quantum_info import SparsePauliOp

    from quantainer.circuits.circuit import Circuit
    from quantainer.core.facts import Facts
    from quantainer.core.target import TargetFacts

__all__ = ["Backend", "Limits", "Options", "Plan", "Pub", "PubResult", "Settling"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What this node may spend on one job: read once from cgroup and machine by the broker.

    Attributes:
        seconds: Longest run of one job; ``None``: no bound.
        shared: Folder in which the workers of a node share what they compiled; ``None``: each has
            its own.
    """

    memory_bytes: int
    threads: int
    shared: Path | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What the submitter may choose; ``None`` leaves the choice to the backend."""

    method: str | None = None
    engine: str | None = None
    precision: str | None = None
    truncation_max: float = 1e-3
    level: int = 1


@dataclass(frozen=True, slots=True)
class Pub:
    """One circuit with its parameter rows, shots, or observables (Qiskit's primitive unified bloc).

    Attributes:
        parameters: ``float64[rows, len(facts.parameters)]`` in the order of ``facts.parameters``;
            ``None`` for a circuit without parameters (one row).
        observables: For expectation values; ``pairs`` lists ``(row, observable)`` to evaluate.
        precision: Standard error asked for; 0 means analytic.
    """

    circuit: Circuit
    facts: Facts
    digest: str
    shots: int | None = None
    parameters: NDArray[np.float64] | None = None
    observables: tuple[SparsePauliOp, ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()
    precision: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How a pub will be run, decided before anything is allocated.

    Attributes:
        memory_bytes: Peak by the model of ``docs/memory.md``.
        seconds: Rough run time, for backfill; never a promise.
        reason: One sentence a person understands, kept in the result's metadata.
        exact: False for an attempt: an approximation whose loss only the run tells, and which fails
            if that is above what the submitter allows.
        seconds_max: Longest run that the node allows: what is sure to take longer is not begun.
    """

    method: str
    engine: str
    engine_version: str
    precision: str
    memory_bytes: int
    seconds: float
    reason: str
    exact: bool = True
    seconds_max: float | None = None


@dataclass(frozen=True, slots=True)
class PubResult:
    """What came out.

    Attributes:
        samples: ``uint8[rows, shots, ceil(clbits / 8)]``, classical bit ``i`` = bit ``i % 8`` of
            byte ``i // 8``; ``None`` for expectation values.
        evs: ``float64[len(pairs)]``.
        stds: ``float64[len(pairs)]``.
    """

    samples: NDArray[np.uint8] | None = None
    evs: NDArray[np.float64] | None = None
    stds: NDArray[np.float64] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@runtime_checkable
class Settling(Protocol):
    """What a backend may have besides, if it keeps something for later runs."""

    def settle(self) -> None:
        """Do what can wait until a run is answered."""
        ...


class Backend(Protocol):
    """Something that executes circuits."""

    name: str

    def target(self, limits: Limits) -> TargetFacts:
        """Return the facts, with the width that really runs under ``limits``."""
        ...

    def plan(self, pub: Pub, options: Options, limits: Limits) -> Plan:
        """Decide how to run; refuse by :class:`~quantainer_client.errors.QuantainerError`."""
        ...

    def run(self, pub: Pub, plan: Plan, options: Options, seed: int, threads: int) -> PubResult:
        """Run a planned pub; ``seed`` is already derived for this pub."""
        ...
