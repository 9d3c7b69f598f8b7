"""Cache: compiled circuits, found by structure with the angles lifted out.

The first circuit of a structure is compiled as it is, with all that its angles allow. When the same
structure comes again with other angles it is compiled once more for any angles, and from then on
new angles cost microseconds. At levels 2 and 3, where the point is to use what the angles allow,
only equal circuits are found again, and circuits with free parameters.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from quantainer.circuits.columnar import build
from quantainer.circuits.compile import DEFAULT_SEED, Compiled, check_for, compile_program
from quantainer.circuits.options import ReadOptions
from quantainer.circuits.shelf import Shelf
from quantainer.circuits.structure import Place, angles_of, structure_of
from quantainer.circuits.target import digest_of
from quantainer.circuits.template import Template, make_template
from quantainer_client.columnar import decode
from quantainer_client.qiskit.encode import encode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qiskit import QuantumCircuit

    from quantainer.circuits.circuit import Circuit
    from quantainer.core.facts import Facts
    from quantainer.core.target import TargetFacts

__all__ = ["CompileCache", "Statistics"]

_STRUCTURAL_LEVELS = (0, 1)
_OPERATION_BYTES = 160
_ENTRY_BYTES = 512

Key = tuple[bytes, str, int, int]


@dataclass(slots=True)
class Statistics:
    """What a cache did since it was made, and holds now."""

    hits: int = 0
    misses: int = 0
    entries: int = 0
    bytes: int = 0


@dataclass(slots=True)
class _Entry:
    """What is known of one structure on one target."""

    template: Template | None = None
    has_no_template: bool = False
    exact: dict[bytes, Compiled] = field(default_factory=dict)
    size: int = _ENTRY_BYTES


class CompileCache:
    """Compiled circuits, bounded in bytes; the least recently used go first.

    Not safe to share between threads. Processes share templates through ``directory``.

    Args:
        max_bytes: Bound of what this process keeps, and of the directory.
        directory: Where the templates of all workers of a node lie.
    """

    def __init__(self, max_bytes: int = 64 << 20, directory: Path | None = None) -> None:
        self._max_bytes = max_bytes
        self._shelf = None if directory is None else Shelf(directory, max_bytes)
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._targets: dict[str, str] = {}
        self.statistics = Statistics()

    def compile(
        self,
        circuit: Circuit,
        facts: Facts,
        target: TargetFacts,
        level: int = 1,
        seed: int = DEFAULT_SEED,
    ) -> Compiled:
        """Compile a circuit, or find it compiled; ``cache`` of the result says which.

        Raises:
            QuantainerError: As :func:`quantainer.circuits.compile.compile_for`.
        """
        self._notice(target)
        data, kind = circuit.columnar, "columnar"
        if data is None:
            data, kind = encode(circuit.program)
        if kind != "columnar":
            key = (blake2b(data, digest_size=16).digest(), digest_of(target), level, seed)
            check_for(circuit, facts, target, level)
            return self._exact(key, b"", circuit, target)
        structure, place = structure_of(data)
        key = (structure, digest_of(target), level, seed)
        entry = self._get(key)
        angles = angles_of(data, place)
        if entry is not None and entry.template is not None:
            self.statistics.hits += 1
            return _instance(entry.template, angles, place, "hit")
        check_for(circuit, facts, target, level)
        if self._wants_template(entry, place, angles.tobytes(), level):
            template = make_template(decode(data), target, level, seed)
            self._keep_template(key, entry or _Entry(), template)
            if template is not None:
                self.statistics.misses += 1
                return _instance(template, angles, place, "miss")
        return self._exact(key, angles.tobytes(), circuit, target)

    def find(
        self, data: bytes, target: TargetFacts, level: int = 1, seed: int = DEFAULT_SEED
    ) -> Compiled | None:
        """Return the compiled form of columnar bytes if their structure has one; reads nothing.

        The fast path of a worker. Bytes whose structure was never compiled, and so never checked,
        are not looked into.

        Raises:
            QuantainerError: ``invalid_circuit`` for angles that are not finite.
        """
        structure, place = structure_of(data)
        entry = self._get((structure, digest_of(target), level, seed))
        if entry is None or entry.template is None:
            return None
        self.statistics.hits += 1
        return _instance(entry.template, angles_of(data, place), place, "hit")

    def angles(
        self,
        data: bytes,
        values: NDArray[np.float64],
        target: TargetFacts,
        level: int = 1,
        seed: int = DEFAULT_SEED,
    ) -> NDArray[np.float64] | None:
        """Return the compiled angles for every row of parameter values, ``[rows, slots]``.

        Columns of ``values`` are the free parameters, sorted by name. ``None`` if the structure was
        not compiled for any angles yet, or has no free parameters.
        """
        structure, place = structure_of(data)
        entry = self._get((structure, digest_of(target), level, seed))
        if entry is None or entry.template is None or place.symbols is None:
            return None
        return entry.template.angles(place.symbols.sources(angles_of(data, place), values))

    def forget(self, target: str) -> None:
        """Drop all that was compiled for the target of that name."""
        digest = self._targets.pop(target, None)
        if digest is None:
            return
        for key in [key for key in self._entries if key[1] == digest]:
            self._drop(key)
        if self._shelf is not None:
            self._shelf.forget(digest)

    def _wants_template(
        self, entry: _Entry | None, place: Place, angles: bytes, level: int
    ) -> bool:
        if not place.liftable or not angles:
            return False
        if entry is not None and entry.has_no_template:
            return False
        if place.symbols is not None:
            return True
        # With numbers only: once the structure comes again, and with other numbers.
        again = entry is not None and _short(angles) not in entry.exact
        return again and level in _STRUCTURAL_LEVELS

    def _keep_template(self, key: Key, entry: _Entry, template: Template | None) -> None:
        if template is None:
            entry.has_no_template = True
        else:
            entry = _Entry(template, size=_ENTRY_BYTES + template.size)
            if self._shelf is not None:
                self._shelf.write(key[0], key[1], key[2:], template)
        self._put(key, entry)

    def _exact(self, key: Key, angles: bytes, circuit: Circuit, target: TargetFacts) -> Compiled:
        """Find or compile a circuit with just these angles."""
        entry = self._get(key) or _Entry()
        found = entry.exact.get(_short(angles))
        if found is not None:
            self.statistics.hits += 1
            return replace(found, cache="hit")
        compiled = compile_program(circuit.program, target, key[2], key[3])
        self.statistics.misses += 1
        size = _ENTRY_BYTES + _OPERATION_BYTES * len(compiled.program.data)
        exact = {**entry.exact, _short(angles): compiled}
        self._put(key, replace(entry, exact=exact, size=entry.size + size))
        return replace(compiled, cache="miss")

    def _get(self, key: Key) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
            return entry
        template = None if self._shelf is None else self._shelf.read(key[0], key[1], key[2:])
        if template is None:
            return None
        entry = _Entry(template, size=_ENTRY_BYTES + template.size)
        self._put(key, entry)
        return entry

    def _put(self, key: Key, entry: _Entry) -> None:
        if key in self._entries:
            self._drop(key)
        self._entries[key] = entry
        self.statistics.bytes += entry.size
        while self.statistics.bytes > self._max_bytes and self._entries:
            self._drop(next(iter(self._entries)))
        self.statistics.entries = len(self._entries)

    def _drop(self, key: Key) -> None:
        self.statistics.bytes -= self._entries.pop(key).size
        self.statistics.entries = len(self._entries)

    def _notice(self, target: TargetFacts) -> None:
        """Drop what was compiled for an earlier calibration of the same target."""
        digest = digest_of(target)
        if self._targets.get(target.name, digest) != digest:
            self.forget(target.name)
        self._targets[target.name] = digest


def _short(angles: bytes) -> bytes:
    return blake2b(angles, digest_size=16).digest()


def _instance(
    template: Template, angles: NDArray[np.float64], place: Place, cache: Literal["hit", "miss"]
) -> Compiled:
    """Return a template with its angles: numbers, and expressions where the source has them."""
    compiled = template.angles(angles)
    return Compiled(
        partial(_program, template, compiled, place),
        template.initial_layout,
        template.final_layout,
        template.swaps,
        template.level,
        cache,
        compiled if place.symbols is None else None,
    )


def _program(template: Template, angles: NDArray[np.float64], place: Place) -> QuantumCircuit:
    columns = template.filled(angles)
    if place.symbols is not None:
        columns.symbols = template.symbols(place.symbols, angles)
    return build(columns, "", ReadOptions()).program
