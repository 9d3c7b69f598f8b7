"""Structure: what of a columnar circuit is the same for all angles, told without decoding it.

The angles of a columnar circuit lie in one stretch of bytes. Everything before and after it is the
structure: its digest is the key of the compile cache. The bytes are only trusted once equal
structure was decoded and checked before; until then nothing here looks inside.
"""

from __future__ import annotations

import json
import re
import struct
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantainer.circuits.angle import all_reduced
from quantainer_client.errors import QuantainerError

__all__ = ["Place", "Symbols", "angles_of", "special", "structure_of"]

_FIXED = struct.Struct("<4sB3xI")
_KEPT = 4096
_EIGHTH = 1e-9
_NAME = re.compile(rb',"name":"[ !#-\[\]-~]*"\}\Z')
"""A plain name where encoders write it, last. Any other stays part of the structure."""


@dataclass(frozen=True, slots=True)
class Symbols:
    """Which source slots are affine in free parameters.

    Attributes:
        names: Free parameters, sorted.
        slots: One entry a term: the slot it belongs to.
        columns: Index into ``names`` of each term.
        weights: Its coefficient.
        constants: Constant of each slot that has a symbol.
    """

    names: tuple[str, ...]
    slots: NDArray[np.intp]
    columns: NDArray[np.intp]
    weights: NDArray[np.float64]
    constants: dict[int, float]

    def sources(
        self, angles: NDArray[np.float64], values: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the source angles of each row of parameter values, ``[rows, slots]``.

        ``angles`` holds the constants. Columns of ``values`` are the free parameters in the order
        of ``names``.
        """
        rows = np.broadcast_to(angles, (len(values), len(angles))).copy()
        np.add.at(rows.T, self.slots, (self.weights * values[:, self.columns]).T)
        return rows

    def terms(self) -> dict[int, dict[str, float]]:
        """Return parameter name to coefficient of each slot that has a symbol."""
        found: dict[int, dict[str, float]] = {slot: {} for slot in self.constants}
        for slot, column, weight in zip(self.slots, self.columns, self.weights, strict=True):
            terms = found[int(slot)]
            name = self.names[column]
            terms[name] = terms.get(name, 0.0) + float(weight)
        return found


@dataclass(frozen=True, slots=True)
class Place:
    """Where the angles lie, and what the header says of them.

    Attributes:
        arrays: Where the header ends and the operations begin.
        start: Where the angles begin.
        end: Where they end.
        named: Where the header says the circuit's name, which is none of its structure, and ends.
        liftable: Whether the numbers are angles.
        feedback: Whether operations have conditions.
        symbols: Angles that are affine in free parameters.
    """

    arrays: int
    start: int
    end: int
    named: int
    liftable: bool
    feedback: bool
    symbols: Symbols | None


_places: OrderedDict[bytes, Place] = OrderedDict()


def structure_of(data: bytes) -> tuple[bytes, Place]:
    """Return the digest of the structure and where the angles lie.

    Raises:
        QuantainerError: ``invalid_circuit`` if the bytes have no readable columnar header.
    """
    try:
        _, _, length = _FIXED.unpack_from(data)
        header = bytes(data[_FIXED.size : _FIXED.size + length])
        place = _places.get(header)
        if place is None:
            place = _places[header] = _place(header)
            while len(_places) > _KEPT:
                _places.popitem(last=False)
    except (struct.error, ValueError, KeyError, TypeError, AttributeError):
        raise QuantainerError(
            "invalid_circuit", "The columnar circuit cannot be read: its header is broken."
        ) from None
    digest = blake2b(digest_size=16)
    view = memoryview(data)
    digest.update(view[: _FIXED.size - 4])  # all but the header's length
    digest.update(view[_FIXED.size : place.named])
    digest.update(bytes(view[_FIXED.size + length : place.arrays]).strip(b"\0"))
    if place.liftable:
        digest.update(view[place.arrays : place.start])
        digest.update(view[place.end :])
    else:
        digest.update(view[place.arrays :])
    return digest.digest(), place


def angles_of(data: bytes, place: Place) -> NDArray[np.float64]:
    """Return the angles; a slot that has a symbol holds its constant.

    Raises:
        QuantainerError: ``invalid_circuit`` if one is not finite.
    """
    count = (place.end - place.start) // 8
    angles = np.frombuffer(data, dtype="<f8", count=count, offset=place.start)
    if not np.isfinite(angles).all():
        raise QuantainerError(
            "invalid_circuit",
            "The columnar circuit cannot be read: a parameter is not a finite number.",
        )
    if place.symbols is None:
        return all_reduced(angles)
    filled = angles.copy()
    filled[list(place.symbols.constants)] = list(place.symbols.constants.values())
    return all_reduced(filled)


def special(angles: NDArray[np.float64], place: Place) -> NDArray[np.bool_]:
    """Return which angles are numbers that a compiler makes use of: multiples of an eighth turn."""
    eighths = angles * (4 / np.pi)
    found: NDArray[np.bool_] = np.abs(eighths - np.rint(eighths)) < _EIGHTH
    if place.symbols is not None:
        found[list(place.symbols.constants)] = False
    return found


def _place(text: bytes) -> Place:
    header: dict[str, Any] = json.loads(text)
    end = _FIXED.size + len(text)
    name = _NAME.search(text)
    ops, operands, params = header["ops"], header["operands"], header["params"]
    arrays = _padded(end)
    start = _padded(_padded(arrays + 2 * ops) + 4 * operands)
    # The elements of a matrix are no angles: then all numbers count as structure.
    liftable = all(entry[0] != "unitary" for entry in header["gates"])
    feedback = bool(header.get("conditions"))
    symbols = _symbols(header.get("symbols") or [])
    named = end if name is None else _FIXED.size + name.start()
    return Place(arrays, start, start + 8 * params, named, liftable, feedback, symbols)


def _symbols(entries: list[Any]) -> Symbols | None:
    if not entries:
        return None
    names = tuple(sorted({name for _, terms, _ in entries for name, _ in terms}))
    index = {name: column for column, name in enumerate(names)}
    terms = [(slot, index[name], weight) for slot, rows, _ in entries for name, weight in rows]
    return Symbols(
        names,
        np.array([term[0] for term in terms], dtype=np.intp),
        np.array([term[1] for term in terms], dtype=np.intp),
        np.array([term[2] for term in terms], dtype=np.float64),
        {slot: constant for slot, _, constant in entries},
    )


def _padded(size: int) -> int:
    return size + -size % 8
