"""Admission: says before anything is allocated whether a lease may run a job here, or why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quantainer.broker.plans import JobPlan
from quantainer.core import spelling
from quantainer.core.lease import Lease, LeaseState
from quantainer.core.target import TargetFacts
from quantainer_client.errors import QuantainerError
from quantainer_client.lease import AUTOMATIC, default_backend

__all__ = ["NodeLimits", "admit_job", "admit_submission", "visible"]

_KIBI = 1024


@dataclass(frozen=True, slots=True)
class NodeLimits:
    """What this node can do for any one job."""

    memory_bytes: int
    result_bytes: int


def visible(targets: Mapping[str, TargetFacts], lease: Lease) -> dict[str, TargetFacts]:
    """Return the backends that a lease grants and its mode lets it use."""
    return {name: target for name, target in targets.items() if _is_open(lease, target)}


def _is_open(lease: Lease, target: TargetFacts) -> bool:
    if lease.mode == "local":
        return False
    return lease.grants(target.name) and (lease.mode != "qpu" or target.kind == "qpu")


def admit_submission(lease: Lease, backend: str | None, targets: Mapping[str, TargetFacts]) -> str:
    """Check what can be told before the circuits are read, and return the backend's name.

    Args:
        lease: The caller's.
        backend: As the caller names it; None: ``qsim``, or else the only one granted.
        targets: The backends there are.

    Raises:
        QuantainerError: ``forbidden`` or ``unknown_backend``.
    """
    if lease.state is LeaseState.STOPPING:
        raise QuantainerError("forbidden", "The container is stopping: it takes no new jobs.")
    if lease.mode == "local":
        raise QuantainerError(
            "forbidden",
            "The container runs in mode local: circuits are simulated in it and do not leave it.",
            hint="The adapters for Qiskit, Cirq and PennyLane run it there. For all else use a "
            "simulator of the image, or start the container with quantum.mode=hybrid.",
        )
    if backend is None:
        return _default(lease, targets)
    if backend not in targets or not lease.grants(backend):
        # What is not granted is not told apart from what does not exist.
        names = visible(targets, lease)
        raise QuantainerError(
            "unknown_backend",
            f"There is no backend {backend!r} here.",
            hint=f"{spelling.guess(backend, names)}Backends of this caller: "
            f"{spelling.listed(names)}.",
        )
    if lease.mode == "qpu" and targets[backend].kind != "qpu":
        raise QuantainerError(
            "forbidden",
            f"The container runs in mode qpu, and {backend} is a {targets[backend].kind}.",
            hint="Choose a QPU, or start the container with quantum.mode=hybrid.",
        )
    return backend


def _default(lease: Lease, targets: Mapping[str, TargetFacts]) -> str:
    usual = targets.get(AUTOMATIC)
    if usual is not None and _is_open(lease, usual):
        return AUTOMATIC  # at once: most submissions come this way
    names = visible(targets, lease)
    if lease.mode == "qpu" and not names:
        raise QuantainerError(
            "forbidden",
            "The container runs in mode qpu, and no QPU is granted to it.",
            hint="Start it with the device of a QPU, or with quantum.mode=hybrid.",
        )
    return default_backend(names)


def admit_job(lease: Lease, plan: JobPlan, node: NodeLimits) -> None:
    """Check what a planned job needs against lease and node.

    Raises:
        QuantainerError: ``too_many_qubits``, ``out_of_memory`` or ``too_large``.
    """
    qubits = lease.limits.qubits
    if qubits is not None and plan.widest > qubits:
        raise QuantainerError(
            "too_many_qubits",
            f"The circuit uses {plan.widest} qubits; this container was granted {qubits}.",
            limit=qubits,
            needed=plan.widest,
            hint="Use fewer qubits, or start the container with a larger qubit.count.",
        )
    if plan.result_bytes > node.result_bytes:
        raise _large_result(plan, node)
    memory, who = node.memory_bytes, "this node"
    if lease.limits.memory_bytes is not None and lease.limits.memory_bytes < memory:
        memory, who = lease.limits.memory_bytes, "this container"
    if plan.memory_bytes > memory:
        methods = ", ".join(sorted({pub.method for pub in plan.pubs}))
        raise QuantainerError(
            "out_of_memory",
            f"The job needs {_size(plan.memory_bytes)} ({methods}); {who} has {_size(memory)}.",
            limit=memory,
            needed=plan.memory_bytes,
            hint="Use fewer qubits or shots, precision=single, or another method.",
        )


def _large_result(plan: JobPlan, node: NodeLimits) -> QuantainerError:
    message = f"The result would take {_size(plan.result_bytes)}"
    hint = "Ask for fewer circuits, shots or parameter rows at a time."
    if plan.shots:
        message += f" for {plan.shots} shots of all circuits and parameter rows"
        fit = plan.shots * node.result_bytes // plan.result_bytes
        hint = f"Ask for {fit} shots at a time at most, or measure fewer bits."
    return QuantainerError(
        "too_large",
        f"{message}; this node allows {_size(node.result_bytes)} for one job.",
        limit=node.result_bytes,
        needed=plan.result_bytes,
        hint=hint,
    )


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if count < _KIBI or unit == "PiB":
            break
        count /= _KIBI
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
