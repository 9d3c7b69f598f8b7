"""Encoding: the JSON of rows, and of messages between broker and workers.

``encode`` takes whatever a result may hold and always succeeds: a result is never lost. Complex
numbers become ``[re, im]``, arrays lists, enumerations their values, sets sorted lists, NaN and
infinity ``null`` (JSON has none). What has no JSON form at all becomes its ``repr``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from datetime import date
from enum import Enum
from typing import Any

import msgspec

__all__ = ["decode", "encode", "encode_plain"]

encode_plain = msgspec.json.Encoder().encode
"""Return, as bytes, the JSON text of a value that came as JSON; faster than ``encode``."""

_decoder = msgspec.json.Decoder()


def decode(text: str | bytes) -> Any:
    """Return the value of a text that was encoded here.

    Raises:
        ValueError: If it is no JSON.
    """
    try:
        return _decoder.decode(text)
    except ValueError:
        return json.loads(text)  # it may hold half of a surrogate pair, as names of files do


def encode(value: Any) -> str:
    """Return the JSON text of a value."""
    try:
        return _FAST.encode(value)
    except (TypeError, ValueError, RecursionError):
        return _FAST.encode(_plain(value, ()))


_MAX_DEPTH = 100


def _plain(value: Any, holders: tuple[int, ...]) -> Any:
    """Return the value in JSON's own types, at any price.

    Args:
        value: Anything.
        holders: Identities of the values that hold it, outermost first.
    """
    if value is None or isinstance(value, bool):
        return value
    for kind, convert in _EXACT:
        if isinstance(value, kind):
            return convert(value)
    if len(holders) > _MAX_DEPTH or id(value) in holders:
        return f"<{type(value).__name__}>"
    holders = (*holders, id(value))
    if isinstance(value, Mapping):
        return {_key(key): _plain(item, holders) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, holders) for item in value]
    return _plain(_default(value), holders)


def _key(key: Any) -> str:
    plain = _plain(key, ())
    return plain if isinstance(plain, str) else _FAST.encode(plain)


def _default(value: Any) -> Any:
    """Return something nearer to JSON than a value that has no JSON form itself."""
    for kind, convert in _NEARER:
        if isinstance(value, kind):
            return convert(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if hasattr(value, "tolist"):  # numpy's scalars and arrays, without importing numpy
        return value.tolist()
    return repr(value)


_EXACT: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (Enum, lambda value: _plain(value.value, ())),
    (int, int),
    (str, str),
    (float, lambda value: float(value) if math.isfinite(value) else None),
)

_NEARER: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (complex, lambda value: [value.real, value.imag]),
    (Enum, lambda value: value.value),
    (bytes, bytes.hex),
    (bytearray, bytearray.hex),
    (memoryview, memoryview.hex),
    (set, lambda value: sorted(value, key=repr)),
    (frozenset, lambda value: sorted(value, key=repr)),
    (date, lambda value: value.isoformat()),
    (Mapping, dict),
)

_FAST = json.JSONEncoder(default=_default, separators=(",", ":"), allow_nan=False)
