"""Parts: what an earlier attempt at a job made durable, on its way to the worker that goes on.

The broker packs the stored parts into one memfd and does not look into them; the worker decides
which of them are its own work (see :mod:`quantainer.broker.slices`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from quantainer.broker.chunks import Chunk
from quantainer_client.payload import Payload, resolve_list

__all__ = ["Packed", "StoredPart", "pack", "unpack"]


@dataclass(frozen=True, slots=True)
class Packed:
    """A memfd that its holder closes, and the place of the list in it."""

    fd: int
    place: dict[str, int]


@dataclass(frozen=True, slots=True)
class StoredPart:
    """The entry of ``results`` of one part, and the bytes that it points into."""

    entry: dict[str, Any]
    data: memoryview


def pack(chunks: Iterable[Chunk]) -> Packed:
    """Write the durable parts of a job into a memfd.

    Raises:
        QuantainerError: ``out_of_memory`` if there is no room for it.
    """
    payload = Payload()
    listed: list[dict[str, Any]] = []
    for chunk in chunks:
        (entry,) = resolve_list(chunk.header, memoryview(chunk.data), "results")
        place = {"offset": payload.append(chunk.data), "length": len(chunk.data)}
        listed.append({"part": chunk.index, "entry": entry, **place})
    text = json.dumps(listed).encode()
    place = {"offset": payload.append(text), "length": len(text)}
    return Packed(payload.seal("quantainer-parts"), place)


def unpack(place: dict[str, int], data: memoryview) -> dict[int, StoredPart]:
    """Return the parts by their number within the job."""
    return {
        found["part"]: StoredPart(
            found["entry"], data[found["offset"] : found["offset"] + found["length"]]
        )
        for found in resolve_list(place, data, "parts")
    }
