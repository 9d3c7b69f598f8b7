"""Source: the bytes of a circuit file or of standard input, no more than a circuit can have."""

from __future__ import annotations

import sys
from functools import partial
from itertools import islice

from quantainer_client.errors import QuantainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

__all__ = ["SOURCE_MAX", "read_source"]

SOURCE_MAX = 1 << 30
"""Bytes above which nothing is read: a device such as ``/dev/zero`` never ends."""
_PIECE = 1 << 20


def read_source(path: str) -> bytes:
    """Return what is in a file, or for ``-`` in standard input.

    Raises:
        QuantainerError: ``invalid_circuit`` if it cannot be read, ``too_large`` above
            ``SOURCE_MAX`` bytes.
    """
    if path == "-":
        return _bounded(sys.stdin.buffer, "standard input")
    try:
        with open(path, "rb") as file:  # noqa: PTH123  # pathlib would cost its import
            return _bounded(file, path)
    except OSError as error:
        raise QuantainerError(
            "invalid_circuit", f"{path or repr(path)}: {error.strerror}."
        ) from None


def _bounded(file: BinaryIO, name: str) -> bytes:
    pieces = list(islice(iter(partial(file.read, _PIECE), b""), SOURCE_MAX // _PIECE + 1))
    if len(pieces) > SOURCE_MAX // _PIECE:
        raise QuantainerError(
            "too_large",
            f"{name}: more bytes than any circuit file has.",
            limit=SOURCE_MAX,
            hint="Name a circuit file; a large circuit is smaller as QPY.",
        )
    return b"".join(pieces)
