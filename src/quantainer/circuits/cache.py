"""Cache: compiled circuits, found by structure with the angles lifted out.

The first circuit of a structure is compiled as it is, with all that its angles allow. When the same
structure comes again with other angles it is compiled once more for any angles, and from then on
new angles cost microseconds. At levels 2 and 3, where the point is to use what the angles allow,
only equal circuits are found again, and circuits with free parameters.

A *steady* cache compiles a structure for any angles when it first comes: what a circuit
becomes does not depend on others that came before. Jobs with a seed need that.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from quantainer.circuits.compile import (
    DEFAULT_SEED,
    Compiled,
    check_for,
    compile_program,
    no_collection,
    pins,
)
from quantainer.circuits.exact import Exact
from quantainer.circuits.instance import instance
from quantainer.circuits.shelf import Shelf
from quantainer.circuits.structure import Place, angles_of, special, structure_of
from quantainer.circuits.target import digest_of
from quantainer.circuits.template import Begun, Template, begin_template, make_template
from quantainer_client.qiskit.encode import encode, encode_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantainer.circuits.circuit import Circuit
    from quantainer.core.facts import Facts
    from quantainer.core.target import TargetFacts
    from quantainer_client.columns import Columns

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
    """What is known of one structure on one target; ``unused``: maybe nobody ran with it yet."""

    template: Template | None = None
    begun: Begun | None = None
    has_no_template: bool = False
    exact: dict[bytes, Compiled] = field(default_factory=dict)
    size: int = _ENTRY_BYTES
    unused: bool = False

    def first_with(self, angles: NDArray[np.float64]) -> Compiled | None:
        """Return the first circuit of a structure, if it has just these angles."""
        if self.begun is None or self.begun.angles.tobytes() != angles.tobytes():
            return None
        return self.begun.compiled


@dataclass(frozen=True, slots=True)
class _Job:
    """What is to be compiled."""

    circuit: Circuit
    facts: Facts
    target: TargetFacts
    level: int
    seed: int
    planning: bool


class CompileCache:
    """Compiled circuits, bounded in bytes; the least recently used go first.

    Not safe to share between threads. Processes share what they compile through ``directory``.

    Args:
        max_bytes: Bound of what this process keeps, and of the directory.
        directory: Where the compiled circuits of all workers of a node lie.
        steady: What a circuit becomes depends on the circuit alone, never on what was compiled
            before: angles are lifted out at once, but for those that a compiler makes use of.
    """

    def __init__(
        self, max_bytes: int = 64 << 20, directory: Path | None = None, *, steady: bool = False
    ) -> None:
        self._max_bytes = max_bytes
        self._shelf = None if directory is None else Shelf(directory, max_bytes)
        self._steady = steady
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._begun: dict[Key, None] = {}
        self._unshared: dict[Key, Template | Exact] = {}
        self._targets: dict[str, str] = {}
        self.statistics = Statistics()

    def compile(
        self,
        circuit: Circuit,
        facts: Facts,
        target: TargetFacts,
        level: int = 1,
        seed: int = DEFAULT_SEED,
        *,
        planning: bool = False,
    ) -> Compiled:
        """Compile a circuit, or find it compiled; ``cache`` of the result says which.

        Args:
            circuit: From :func:`quantainer.circuits.read`.
            facts: From :func:`quantainer.circuits.measure`.
            target: What to compile for.
            level: 0 to 3.
            seed: For the heuristics of layout and routing.
            planning: It is not run yet: the first that runs it is the miss.

        Raises:
            QuantainerError: As :func:`quantainer.circuits.compile.compile_for`.
        """
        self._notice(target)
        data, columns = circuit.columnar, circuit.columns
        if columns is None:
            columns = encode_columns(circuit.program)
            data = None if columns is None else columns.encode()
        job = _Job(circuit, facts, target, level, seed, planning)
        pinned = pins(circuit.program, target)
        with no_collection():
            if data is None or columns is None or pinned:
                digest = blake2b(data or encode(circuit.program)[0], digest_size=16)
                digest.update(repr(sorted(pinned)).encode())
                key = (digest.digest(), digest_of(target), level, seed)
                self._turn_to(key)
                found = self._exact(key, b"", job)
            else:
                found = self._compile_columnar(data, columns, job)
        return replace(found, metadata=circuit.program.metadata or {})

    def _compile_columnar(self, data: bytes, columns: Columns, job: _Job) -> Compiled:
        key, place, angles, fixed = self._sought(data, job.target, job.level, job.seed)
        self._turn_to(key)
        entry = self._get(key)
        first = None if entry is None else entry.first_with(angles)
        if entry is not None and first is not None:
            return replace(first, cache=self._state(key, entry, job))
        entry = self._finished(key, entry)
        if entry is not None and entry.template is not None:
            return instance(entry.template, angles, place, self._state(key, entry, job))
        check_for(job.circuit, job.facts, job.target, job.level)
        if self._wants_template(entry, place, angles, fixed, job.level):
            begun = self._begin(key, columns, angles, fixed, job) if place.symbols is None else None
            if begun is not None:
                return begun
            template, made = make_template(columns, job.target, job.level, job.seed, fixed)
            self._keep_template(key, entry or _Entry(), template, job)
            if template is not None:
                self.statistics.misses += 1
                return instance(template, angles, place, "miss", made)
        return self._exact(key, angles.tobytes(), job)

    def find(
        self, data: bytes, target: TargetFacts, level: int = 1, seed: int = DEFAULT_SEED
    ) -> Compiled | None:
        """Return the compiled form of columnar bytes if their structure has one; reads nothing.

        The fast path of a worker. Bytes whose structure was never compiled, and so never checked,
        are not looked into.

        Raises:
            QuantainerError: ``invalid_circuit`` for angles that are not finite.
        """
        key, place, angles, _ = self._sought(data, target, level, seed)
        entry = self._get(key)
        first = None if entry is None else entry.first_with(angles)
        if first is not None:
            self.statistics.hits += 1
            return replace(first, cache="hit")
        entry = self._finished(key, entry)
        if entry is None or entry.template is None:
            return None
        self.statistics.hits += 1
        return instance(entry.template, angles, place, "hit")

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
        key, place, angles, _ = self._sought(data, target, level, seed)
        entry = self._get(key)
        if entry is None or entry.template is None or place.symbols is None:
            return None
        return entry.template.angles(place.symbols.sources(angles, values))

    def settle(self) -> None:
        """Make the templates of circuits that were run, and share them: nobody waits for that."""
        for key in [*self._begun, *self._unshared]:
            entry = self._entries.get(key)
            if entry is not None and not entry.unused:
                self._done_with(key, entry)

    def _turn_to(self, key: Key) -> None:
        """Share what was only planned before: if this process is busy, another one runs it."""
        self.settle()
        for other in [*self._begun, *self._unshared]:
            entry = self._entries.get(other)
            if other != key and entry is not None:
                self._done_with(other, entry)

    def _done_with(self, key: Key, entry: _Entry) -> None:
        """Do what was put off until the answer was there; others may have to make room for it."""
        self._finished(key, entry)
        made = self._unshared.pop(key, None)
        if made is not None and not self._is_shared(key):
            self._share(key, made, used=not entry.unused)

    def forget(self, target: str) -> None:
        """Drop all that was compiled for the target of that name."""
        digest = self._targets.pop(target, None)
        if digest is None:
            return
        for key in [key for key in self._entries if key[1] == digest]:
            self._drop(key)
        if self._shelf is not None:
            self._shelf.forget(digest)

    def _sought(
        self, data: bytes, target: TargetFacts, level: int, seed: int
    ) -> tuple[Key, Place, NDArray[np.float64], NDArray[np.bool_] | None]:
        """Return where to look for a circuit, its angles, and which are part of the structure."""
        structure, place = structure_of(data)
        angles = angles_of(data, place)
        fixed = self._fixed(angles, place, level) if self._steady else None
        if fixed is not None:
            digest = blake2b(structure, digest_size=16)
            digest.update(np.packbits(fixed).tobytes())
            digest.update(angles[fixed].tobytes())
            structure = digest.digest()
        return (structure, digest_of(target), level, seed), place, angles, fixed

    def _fixed(
        self, angles: NDArray[np.float64], place: Place, level: int
    ) -> NDArray[np.bool_] | None:
        if place.feedback or not place.liftable:
            return np.ones(len(angles), dtype=bool)
        if level in _STRUCTURAL_LEVELS:
            return special(angles, place)
        fixed = np.ones(len(angles), dtype=bool)
        if place.symbols is not None:
            fixed[list(place.symbols.constants)] = False
        return fixed

    def _wants_template(
        self,
        entry: _Entry | None,
        place: Place,
        angles: NDArray[np.float64],
        fixed: NDArray[np.bool_] | None,
        level: int,
    ) -> bool:
        if not place.liftable or not len(angles) or (fixed is not None and fixed.all()):
            return False
        if entry is not None and entry.has_no_template:
            return False
        if place.symbols is not None or fixed is not None:
            return True
        # With numbers only: once the structure comes again, and with other numbers.
        again = entry is not None and _short(angles.tobytes()) not in entry.exact
        return again and level in _STRUCTURAL_LEVELS

    def _keep_template(self, key: Key, entry: _Entry, template: Template | None, job: _Job) -> None:
        if template is None:
            entry.has_no_template = True
        else:
            entry = _Entry(template, size=_ENTRY_BYTES + template.size, unused=job.planning)
        self._put(key, entry)
        if template is not None:
            self._share_later(key, template, used=not job.planning)

    def _begin(
        self,
        key: Key,
        columns: Columns,
        angles: NDArray[np.float64],
        fixed: NDArray[np.bool_] | None,
        job: _Job,
    ) -> Compiled | None:
        """Compile the first circuit of a structure, if its template can wait."""
        begun = begin_template(columns, angles, job.target, job.level, job.seed, fixed)
        if begun is None:
            return None
        self.statistics.misses += 1
        size = _ENTRY_BYTES + _OPERATION_BYTES * len(begun.compiled.program.data)
        entry = _Entry(begun=begun, size=size, unused=job.planning)
        self._put(key, entry)
        if key in self._entries:  # it may be too large to keep
            self._begun[key] = None
        if not self._steady:  # it came before already
            self._finished(key, entry)
        return replace(begun.compiled, cache="miss")

    def _finished(self, key: Key, entry: _Entry | None) -> _Entry | None:
        """Make the template of a structure that was begun."""
        if entry is None or entry.begun is None:
            return entry
        self._begun.pop(key, None)
        template = entry.begun.template()
        shared = self._is_shared(key)
        unused = entry.unused and not shared
        if not shared:
            self._share(key, template, used=not unused)
        entry = _Entry(template, size=_ENTRY_BYTES + template.size, unused=unused)
        self._put(key, entry)
        return entry

    def _exact(self, key: Key, angles: bytes, job: _Job) -> Compiled:
        """Find or compile a circuit with just these angles."""
        if self._steady and angles:
            key = (_short(key[0] + angles), *key[1:])
            angles = b""
        entry = self._get(key) or _Entry()
        found = entry.exact.get(_short(angles))
        if found is not None:
            return replace(found, cache=self._state(key, entry, job))
        check_for(job.circuit, job.facts, job.target, job.level)
        compiled = compile_program(job.circuit.program, job.target, key[2], key[3])
        compiled.program.name = ""  # others may find it, who call theirs something else
        self.statistics.misses += 1
        size = _ENTRY_BYTES + _OPERATION_BYTES * len(compiled.program.data)
        exact = {**entry.exact, _short(angles): compiled}
        self._put(key, replace(entry, exact=exact, size=entry.size + size, unused=job.planning))
        if self._steady:
            self._share_later(key, Exact.of(compiled), used=not job.planning)
        return replace(compiled, cache="miss")

    def _state(self, key: Key, entry: _Entry, job: _Job) -> Literal["hit", "miss"]:
        """Tell whether anybody ran with what was found: if not, this one had it compiled."""
        first = not job.planning and entry.unused
        if first:
            entry.unused = False
            if entry.begun is not None or key in self._unshared:
                first = not self._is_shared(key)
            elif self._shelf is not None:
                first = self._shelf.take(key[0], key[1], key[2:])
        if first:
            self.statistics.misses += 1
            return "miss"
        self.statistics.hits += 1
        return "hit"

    def _share_later(self, key: Key, made: Template | Exact, *, used: bool) -> None:
        """Share what was made once the job that it was made for has its answer."""
        if self._shelf is None:
            return
        if self._steady and key in self._entries:  # it may be too large to keep
            self._unshared[key] = made
        else:
            self._share(key, made, used=used)

    def _share(self, key: Key, made: Template | Exact, *, used: bool) -> None:
        if self._shelf is not None:
            self._shelf.write(key[0], key[1], key[2:], made, used=used)

    def _is_shared(self, key: Key) -> bool:
        return self._shelf is not None and self._shelf.holds(key[0], key[1], key[2:])

    def _get(self, key: Key) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
            return entry
        found = None if self._shelf is None else self._shelf.read(key[0], key[1], key[2:])
        if found is None:
            return None
        entry = _Entry(size=_ENTRY_BYTES + found.size, unused=True)
        if isinstance(found, Exact):
            entry.exact[_short(b"")] = found.compiled
        else:
            entry.template = found
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
        self._begun.pop(key, None)
        self._unshared.pop(key, None)
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
