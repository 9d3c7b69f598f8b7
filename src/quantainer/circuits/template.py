"""Template: one circuit structure compiled once, for any angles.

Every angle of the circuit is replaced by a free parameter before compiling. What comes out is the
compiled structure, and each of its angles as an affine function of the angles that went in. New
angles then cost a few array operations.
"""

from __future__ import annotations

import json
import struct
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from quantainer.circuits.chains import Weights, weights_of
from quantainer.circuits.collected import Collected, collected
from quantainer.circuits.columnar import build
from quantainer.circuits.compile import Compiled, compile_program, no_collection
from quantainer.circuits.marks import fits_marks, marked
from quantainer.circuits.options import ReadOptions
from quantainer.circuits.pipeline import Angles
from quantainer.circuits.proxy import proxy_of
from quantainer.circuits.structure import Symbols
from quantainer.circuits.verbatim import Written, fits_verbatim, placed, turned, written
from quantainer.core.target import TargetFacts
from quantainer_client.columnar import Columns, decode
from quantainer_client.qiskit.encode import encode_columns

__all__ = ["Begun", "Template", "begin_template", "lifted_slots", "make_template"]

_HEADER = struct.Struct("<4sI")
_MAGIC = b"QTPL"
_PREFIX = "slot "
_VERBATIM = {"rz", "sx", "x", "cx", "measure", "reset", "barrier"}


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A compiled structure whose angles are affine in the angles of its source.

    Output slot ``i`` is ``base[i] + Σ weight · source`` over the terms of ``i``: the first term of
    each slot lies in ``first`` (output slot, source slot, weight), all further ones in ``more``.
    """

    columns: Columns
    base: NDArray[np.float64]
    first: Weights
    more: Weights
    sources: int
    initial_layout: tuple[int | None, ...]
    final_layout: tuple[int | None, ...]
    swaps: int
    level: int

    def angles(self, source: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the compiled angles for the source's angles, along the last axis of both."""
        slots, sources, weights = self.first
        if source.ndim == 1:
            out = self.base.copy()
            out[slots] += weights * source[sources]
        else:
            out = np.broadcast_to(self.base, (*source.shape[:-1], len(self.base))).copy()
            out[..., slots] += weights * source[..., sources]
        slots, sources, weights = self.more
        if len(slots):
            np.add.at(out.T, slots, (weights * source[..., sources]).T)
        return out

    def filled(self, angles: NDArray[np.float64]) -> Columns:
        """Return the compiled circuit with its angles; structure is shared, not copied."""
        columns = copy(self.columns)
        columns.params = angles
        columns.symbols = []
        return columns

    def symbols(
        self, symbols: Symbols, angles: NDArray[np.float64]
    ) -> list[tuple[int, list[tuple[str, float]], float]]:
        """Return the compiled slots that depend on the source's free parameters."""
        sources = symbols.terms()
        found: dict[int, dict[str, float]] = {}
        for slots, origins, weights in (self.first, self.more):
            rows = zip(slots.tolist(), origins.tolist(), weights.tolist(), strict=True)
            for slot, origin, weight in rows:
                for name, coefficient in sources.get(origin, {}).items():
                    terms = found.setdefault(slot, {})
                    terms[name] = terms.get(name, 0.0) + weight * coefficient
        constants = angles.tolist()
        return [(slot, sorted(terms.items()), constants[slot]) for slot, terms in found.items()]

    @property
    def size(self) -> int:
        """Bytes that it holds, roughly."""
        columns = self.columns
        arrays = (self.base, *self.first, *self.more)
        structure = 2 * len(columns.kinds) + 4 * len(columns.operands)
        return sum(values.nbytes for values in arrays) + structure + 2048

    def to_bytes(self) -> bytes:
        """Return it as bytes that :meth:`from_bytes` reads; no code travels in them."""
        parts = [self.filled(np.zeros_like(self.base)).encode()]
        parts += [values.tobytes() for values in (self.base, *self.first, *self.more)]
        header = {
            "sizes": [len(part) for part in parts],
            "sources": self.sources,
            "initial": self.initial_layout,
            "final": self.final_layout,
            "swaps": self.swaps,
            "level": self.level,
        }
        text = json.dumps(header).encode()
        return b"".join([_HEADER.pack(_MAGIC, len(text)), text, *parts])

    @classmethod
    def from_bytes(cls, data: bytes) -> Template:
        """Read what :meth:`to_bytes` wrote.

        Raises:
            ValueError: If the bytes are something else.
        """
        magic, length = _HEADER.unpack_from(data)
        if magic != _MAGIC:
            raise ValueError("not a compiled template")
        start = _HEADER.size + length
        header = json.loads(data[_HEADER.size : start])
        parts = []
        for size in header["sizes"]:
            parts.append(data[start : start + size])
            start += size
        numbers = [
            np.frombuffer(part, dtype=kind) for part, kind in zip(parts[1:], _KINDS, strict=True)
        ]
        columns = decode(parts[0])
        return cls(
            columns=columns,
            base=numbers[0],
            first=(numbers[1], numbers[2], numbers[3]),
            more=(numbers[4], numbers[5], numbers[6]),
            sources=int(header["sources"]),
            initial_layout=tuple(header["initial"]),
            final_layout=tuple(header["final"]),
            swaps=int(header["swaps"]),
            level=int(header["level"]),
        )


_KINDS: tuple[Any, ...] = (
    np.float64,
    np.intp,
    np.intp,
    np.float64,
    np.intp,
    np.intp,
    np.float64,
)


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """A first circuit, compiled with its own angles; the template can be made at leisure.

    Attributes:
        compiled: It, compiled.
        angles: Its angles.
        _values: Angles of the rotations that it was compiled with.
        _found: What it was compiled to with those.
    """

    compiled: Compiled
    angles: NDArray[np.float64]
    _source: Written
    _values: NDArray[np.float64]
    _found: QuantumCircuit

    def template(self) -> Template:
        """Return the template of its structure."""
        with no_collection():
            found = placed(self._source, self._values, self._found)
        if found is None:
            raise RuntimeError("a compiled circuit has lost an angle")
        return _template(found.columns, found.first, found.more, len(self.angles), self.compiled)


def begin_template(
    columns: Columns,
    angles: NDArray[np.float64],
    target: TargetFacts,
    level: int,
    seed: int,
    fixed: NDArray[np.bool_] | None = None,
) -> Begun | None:
    """Compile the first circuit of a structure as its template will have it.

    ``None`` where that takes making the template itself (:func:`make_template`).

    Args:
        columns: The circuit.
        angles: All its angles.
        target: What to compile for.
        level: Optimisation level.
        seed: For layout and routing.
        fixed: Which angles are numbers of the structure, and stay what they are.
    """
    source = written(columns, _free(columns, fixed)) if fits_verbatim(target, level) else None
    if source is None:
        return None
    values = own = source.angles(angles)
    tells = source.tells(own)
    if not tells:  # others stand in for them, of which each can be told from the others
        values = np.arange(len(own), dtype=np.float64)
    compiled = compile_program(source.program(values), target, level, seed, Angles.VERBATIM)
    found = compiled.program
    counts = found.count_ops()
    if counts.get("rz", 0) != len(own) or counts.keys() - _VERBATIM:
        return None
    if not tells:
        compiled = replace(compiled, made=turned(found, own))
    compiled.program.name = ""  # others may find it, who call theirs something else
    return Begun(compiled, angles, source, values, found)


def make_template(
    columns: Columns,
    target: TargetFacts,
    level: int,
    seed: int,
    fixed: NDArray[np.bool_] | None = None,
) -> tuple[Template | None, Collected | None]:
    """Compile a structure for any angles; the template is ``None`` if the result cannot be one.

    That is so where the compiled circuit has feedback, or an angle that is not affine. What the
    template was made of comes too where it is there: the first circuit is sooner made of that.

    Args:
        columns: The circuit.
        target: What to compile for.
        level: Optimisation level.
        seed: For layout and routing.
        fixed: Which angles are numbers of the structure, and stay what they are.
    """
    with no_collection():
        found = _by_marks(columns, target, level, seed, fixed)
        return found or (_by_expressions(columns, target, level, seed, fixed), None)


def _by_marks(
    columns: Columns,
    target: TargetFacts,
    level: int,
    seed: int,
    fixed: NDArray[np.bool_] | None,
) -> tuple[Template, Collected] | None:
    proxy = proxy_of(target, level)
    if proxy is None and not fits_marks(target, level):
        return None
    source = marked(columns, _free(columns, fixed), level)
    if source is None:
        return None
    facts = target if proxy is None else proxy.facts
    compiled = compile_program(source.program, facts, level, seed, Angles.MARKED)
    made = collected(compiled.program, source.chains, level, proxy)
    if made is None:
        return None
    return _template(made.columns, made.first, made.more, len(columns.params), compiled), made


def _by_expressions(
    columns: Columns,
    target: TargetFacts,
    level: int,
    seed: int,
    fixed: NDArray[np.bool_] | None,
) -> Template | None:
    compiled = compile_program(
        build(_symbolic(columns, fixed), "", ReadOptions()).program, target, level, seed
    )
    found = encode_columns(_merge_rotations(compiled.program))
    if found is None:
        return None
    first: list[tuple[int, int, float]] = []
    more: list[tuple[int, int, float]] = []
    for slot, named, constant in found.symbols:
        found.params[slot] = constant
        rows = [(slot, int(name.removeprefix(_PREFIX)), weight) for name, weight in named]
        first += rows[:1]
        more += rows[1:]
    found.symbols = []
    return _template(found, weights_of(first), weights_of(more), len(columns.params), compiled)


def _template(
    columns: Columns, first: Weights, more: Weights, sources: int, compiled: Compiled
) -> Template:
    return Template(
        columns=columns,
        base=np.array(columns.params, dtype=np.float64),
        first=first,
        more=more,
        sources=sources,
        initial_layout=compiled.initial_layout,
        final_layout=compiled.final_layout,
        swaps=compiled.swaps,
        level=compiled.level,
    )


def _free(columns: Columns, fixed: NDArray[np.bool_] | None) -> list[bool]:
    """Return which angles are free; the elements of matrices never are."""
    free = np.zeros(len(columns.params), dtype=bool)
    free[lifted_slots(columns)] = True
    if fixed is not None:
        free &= ~fixed
    found: list[bool] = free.tolist()
    return found


def _symbolic(columns: Columns, fixed: NDArray[np.bool_] | None) -> Columns:
    """Return the columns with a free parameter for every angle; matrices stay what they are."""
    symbolic = copy(columns)
    symbolic.symbols = [
        (slot, [(f"{_PREFIX}{slot:09d}", 1.0)], 0.0)
        for slot in lifted_slots(columns)
        if fixed is None or not fixed[slot]
    ]
    return symbolic


def lifted_slots(columns: Columns) -> list[int]:
    """Return the slots that are angles, not elements of matrices."""
    if all(name != "unitary" for name, *_ in columns.gates):
        return list(range(len(columns.params)))
    slots: list[int] = []
    slot = 0
    for kind in columns.kinds:
        name, _, _, params = columns.gates[kind]
        if params:
            if name != "unitary":
                slots.extend(range(slot, slot + params))
            slot += params
    return slots


def _merge_rotations(program: QuantumCircuit) -> QuantumCircuit:
    """Join Z rotations that follow one another on a qubit: their angles add, free ones too.

    Qiskit's own passes join only angles that are numbers.
    """
    merged = program.copy_empty_like()
    pending: dict[Any, Any] = {}

    def flush(bits: Any) -> None:
        for bit in bits:
            angle = pending.pop(bit, None)
            if angle is not None:
                merged.rz(angle, bit)

    for instruction in program._data:
        if instruction.name == "rz" and instruction.is_standard_gate():
            bit = instruction.qubits[0]
            angle = instruction.params[0]
            pending[bit] = pending[bit] + angle if bit in pending else angle
            continue
        flush(instruction.qubits)
        merged._append(instruction)
    flush(list(pending))
    return merged
