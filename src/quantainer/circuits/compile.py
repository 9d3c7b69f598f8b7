"""Compile: make a circuit fit a target: its gates, its connections, its working qubits."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from qiskit import QuantumCircuit
from qiskit.circuit import ParameterExpression, Qubit
from qiskit.transpiler import PassManager, TranspilerError

from quantainer.circuits.checks import interactions, reasons_against
from quantainer.circuits.pipeline import Angles, pipeline
from quantainer.circuits.target import Device, digest_of, groups
from quantainer_client.errors import QuantainerError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from quantainer.circuits.circuit import Circuit
    from quantainer.core.facts import Facts
    from quantainer.core.target import TargetFacts

__all__ = [
    "DEFAULT_SEED",
    "LEVELS",
    "Compiled",
    "check_for",
    "compile_for",
    "compile_program",
    "no_collection",
    "pins",
]

LEVELS = (0, 1, 2, 3)
DEFAULT_SEED = 20_260
_MANAGERS_KEPT = 32
_ROUTING = frozenset(("SabreLayout", "SabreSwap", "BasicSwap", "LookaheadSwap"))
_BEFORE_ROUTING = frozenset(("BarrierBeforeFinalMeasurements", "ElidePermutations"))

_managers: OrderedDict[tuple[Any, ...], Any] = OrderedDict()


@dataclass(slots=True, eq=False)
class Compiled:
    """A circuit in a target's own gates, on its physical qubits.

    Attributes:
        initial_layout: Physical qubit of each qubit of the circuit at the start; ``None`` for an
            idle one that was left out: the target has no room for it, or is in parts.
        final_layout: The same at the end; swaps may have moved qubits.
        swaps: Swaps that were added for the connections.
        level: Optimisation level, 0 to 3.
        cache: Whether it came out of the compile cache.
        angles: All angles in the order of the operations, where they are known without the program.
        metadata: What the source's metadata say and is still true; ``None``: the program's own.
    """

    made: QuantumCircuit | Callable[[], QuantumCircuit]
    initial_layout: tuple[int | None, ...]
    final_layout: tuple[int | None, ...]
    swaps: int
    level: int
    cache: Literal["hit", "miss", "off"] = "off"
    angles: NDArray[np.float64] | None = None
    metadata: dict[str, Any] | None = None

    @property
    def program(self) -> QuantumCircuit:
        """Operations on physical qubits, as wide as the target; made when first asked for."""
        if not isinstance(self.made, QuantumCircuit):
            self.made = self.made()
        if self.metadata is not None and self.metadata != self.made.metadata:
            self.made = self.made.copy()  # others may hold it too
            self.made.metadata = self.metadata
        return self.made


def compile_for(
    circuit: Circuit, facts: Facts, target: TargetFacts, level: int = 1, seed: int = DEFAULT_SEED
) -> Compiled:
    """Compile a circuit; equal up to global phase and the layout.

    The same circuit, target, level and seed give the same result.

    Args:
        circuit: From :func:`quantainer.circuits.read`.
        facts: From :func:`quantainer.circuits.measure`.
        target: What to compile for. Qubits it calls unusable are left alone.
        level: 0 (only make it fit) to 3 (try hardest to make it short).
        seed: For the heuristics of layout and routing.

    Raises:
        QuantainerError: ``too_many_qubits`` naming needed, usable and dead qubits,
            ``unsupported_circuit`` for a gate or feedback that the target lacks, ``invalid_option``
            for a level that does not exist; all before any compiling starts.
    """
    check_for(circuit, facts, target, level)
    return compile_program(circuit.program, target, level, seed)


def check_for(circuit: Circuit, facts: Facts, target: TargetFacts, level: int) -> None:
    """Refuse what :func:`compile_for` refuses, without compiling."""
    if level not in LEVELS:
        raise QuantainerError(
            "invalid_option",
            f"There is no optimisation level {level!r}.",
            limit=list(LEVELS),
            hint="0 only makes the circuit fit; 3 tries hardest to make it short.",
        )
    for reason in reasons_against(circuit, facts, Device.of(target)):
        raise reason


def compile_program(
    program: QuantumCircuit,
    target: TargetFacts,
    level: int = 1,
    seed: int = DEFAULT_SEED,
    angles: Angles = Angles.USED,
) -> Compiled:
    """Compile a program that was checked already; it may have free parameters.

    Args:
        program: The program.
        target: What to compile for.
        level: 0 to 3.
        seed: For the heuristics of layout and routing.
        angles: What its angles are to the compiler.
    """
    device = Device.of(target)
    routing = _Routing(program)
    width = max(device.facts.qubits, device.facts.clifford_qubits or 0)
    size, kept = program.num_qubits, list(range(program.num_qubits))
    pinned = pins(program, target)
    is_parted = len(device.largest_group) < device.facts.qubits  # Qiskit fails on idle qubits then
    if size > width or pinned or is_parted:
        program, kept = _without_idle(program)
    places = _pinned_layout(pinned, kept, device) if pinned else None
    if level == 0 and places is None:
        places = _connected_layout(program, device)
    manager = _manager(target, device, level, seed, places, angles)
    try:
        with no_collection():
            found = manager.run(program, callback=routing)
    except TranspilerError as error:
        reason = str(error.message).splitlines()[0]
        raise QuantainerError(
            "unsupported_circuit", f"{target.name} cannot run the circuit: {reason}"
        ) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # pyo3 raises panics past ``Exception``
            raise
        raise QuantainerError(
            "unsupported_circuit",
            f"{target.name} cannot run the circuit: the compiler failed on it ({error}).",
            hint="Name in each block (if, for, while, switch) only the qubits that it acts on, or "
            "choose another backend.",
        ) from None
    initial, final = _layouts(found, program.num_qubits)
    if device.dead:
        found = _widened(found, device, target.qubits)
        initial = [device.usable[place] for place in initial]
        final = [device.usable[place] for place in final]
    if isinstance(found.global_phase, ParameterExpression):
        found.global_phase = 0.0
    return Compiled(
        found, _spread(initial, kept, size), _spread(final, kept, size), routing.added, level
    )


def pins(program: QuantumCircuit, target: TargetFacts) -> frozenset[int]:
    """Return the qubits of a program that are named as those of a device (OpenQASM 3's ``$n``).

    Qubit ``n`` of the program is ``$n`` then. A simulator has no qubits that could be named.
    """
    if target.kind == "simulator":
        return frozenset()
    return frozenset((program.metadata or {}).get("physical_qubits", ()))


def _pinned_layout(pinned: frozenset[int], kept: list[int], device: Device) -> tuple[int, ...]:
    """Return a place for each qubit: its own for a pinned one, any other for the rest."""
    place = {physical: index for index, physical in enumerate(device.usable)}
    free = iter([place[physical] for physical in device.usable if physical not in pinned])
    return tuple(place[index] if index in pinned else next(free) for index in kept)


def _connected_layout(program: QuantumCircuit, device: Device) -> tuple[int, ...] | None:
    """Return the first qubits of the largest connected group, where not all are connected.

    Where that is too small, qubits that do not interact may go to different groups, the largest
    parts first; ``None`` if they find no room so. At level 0 no layout is sought: else the first
    qubits of the device are taken as they come.
    """
    largest, qubits = device.largest_group, program.num_qubits
    if len(largest) == device.facts.qubits:
        return None
    if qubits <= len(largest):
        return tuple(largest[:qubits])
    rooms = sorted(map(sorted, groups(device.facts.coupling_map, device.facts.qubits)), key=len)
    place: dict[int, int] = {}
    for part in sorted(groups(interactions(program), qubits), key=len, reverse=True):
        room = next((room for room in reversed(rooms) if len(room) >= len(part)), None)
        if room is None:
            return None
        place.update({qubit: room.pop(0) for qubit in sorted(part)})
    return tuple(place[qubit] for qubit in range(qubits))


def _manager(
    target: TargetFacts,
    device: Device,
    level: int,
    seed: int,
    places: tuple[int, ...] | None,
    angles: Angles,
) -> Any:
    """Return the pass manager of a target, which takes long to make, from those kept."""
    key = (digest_of(target), level, seed, places, angles)
    manager = _managers.get(key)
    if manager is None:
        passes = pipeline(device.facts, level, seed, places, angles)
        manager = PassManager(passes.to_flow_controller())  # its stages are not put together anew
        _managers[key] = manager
        while len(_managers) > _MANAGERS_KEPT:
            _managers.popitem(last=False)
    else:
        _managers.move_to_end(key)
    return manager


class _Routing:
    """Counts the swaps that routing adds; counting after every pass would cost 10 %."""

    def __init__(self, program: QuantumCircuit) -> None:
        self.added = 0
        self._before = int(program.count_ops().get("swap", 0))

    def __call__(self, **report: Any) -> None:
        counts, routes = _looked_at(type(report["pass_"]).__mro__)
        if not counts:
            return
        swaps = int(report["dag"].count_ops().get("swap", 0))
        if routes:
            self.added += max(0, swaps - self._before)
        self._before = swaps


@cache
def _looked_at(bases: tuple[type, ...]) -> tuple[bool, bool]:
    """Tell whether swaps are counted after passes with these bases, and whether those route."""
    names = {base.__name__ for base in bases}
    routes = not names.isdisjoint(_ROUTING)
    return routes or not names.isdisjoint(_BEFORE_ROUTING), routes


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep the garbage collector away: compiling makes many objects, none in circles."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _layouts(program: QuantumCircuit, qubits: int) -> tuple[list[int], list[int]]:
    layout = program.layout
    if layout is None:
        return list(range(qubits)), list(range(qubits))
    return (
        list(layout.initial_index_layout(filter_ancillas=True)),
        list(layout.final_index_layout(filter_ancillas=True)),
    )


def _spread(places: list[int], kept: list[int], size: int) -> tuple[int | None, ...]:
    found: list[int | None] = [None] * size
    for index, place in zip(kept, places, strict=True):
        found[index] = place
    return tuple(found)


def _without_idle(program: QuantumCircuit) -> tuple[QuantumCircuit, list[int]]:
    """Return the program over the qubits that something acts on, and their indices."""
    active: set[Qubit] = set()
    for instruction in program._data:
        if instruction.name != "barrier":
            active.update(instruction.qubits)
    kept = [index for index, bit in enumerate(program.qubits) if bit in active]
    narrow = QuantumCircuit([program.qubits[index] for index in kept], program.clbits)
    narrow.global_phase = program.global_phase
    narrow.name, narrow.metadata = program.name, program.metadata
    for register in program.cregs:
        narrow.add_register(register)
    for instruction in program._data:
        bits = [bit for bit in instruction.qubits if bit in active]
        if instruction.name != "barrier":
            narrow._append(instruction)
        elif bits:
            narrow.barrier(bits)
    return narrow, kept


def _widened(program: QuantumCircuit, device: Device, qubits: int) -> QuantumCircuit:
    """Return the program on the physical qubits, dead ones included but untouched."""
    wide = QuantumCircuit(
        qubits,
        global_phase=program.global_phase,
        name=program.name,
        metadata=program.metadata,
    )
    wide.add_bits(program.clbits)
    for register in program.cregs:
        wide.add_register(register)
    place = {bit: wide.qubits[device.usable[index]] for index, bit in enumerate(program.qubits)}
    for instruction in program._data:
        wide._append(instruction.replace(qubits=[place[bit] for bit in instruction.qubits]))
    return wide
