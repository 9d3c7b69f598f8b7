"""Partial results: the parts of a job that are durable though the whole is not, or will not be."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from quantainer.broker.chunks import Chunk
from quantainer.broker.encoding import encode
from quantainer.broker.reply import Reply
from quantainer.core.job import Job
from quantainer_client.payload import Payload, resolve_list

__all__ = ["partial_reply"]

_INLINE_MAX = 32 * 1024

_Piece = tuple[dict[str, Any], bytes]
"""An entry of ``results`` and the bytes that it points into."""


def partial_reply(job: Job, chunks: Iterable[Chunk]) -> Reply:
    """Return the finished parts of a job as a result with one entry for each circuit.

    Each entry's ``pub`` says which circuit that is; its shots are those that are there.
    """
    pieces: list[_Piece] = []
    for chunk in chunks:
        listed = resolve_list(chunk.header, memoryview(chunk.data), "results")
        pieces += [(entry, chunk.data) for entry in listed]
    payload = Payload()
    entries = [
        _joined(list(of_pub), payload)
        for _, of_pub in groupby(pieces, key=lambda piece: piece[0]["pub"])
    ]
    text = encode(entries)
    if len(text) > _INLINE_MAX:
        place = {"offset": payload.append(text.encode()), "length": len(text)}
        text = encode(place)
    fields = {"job": job.id, "state": job.state.value, "partial": True}
    fd = payload.seal("quantainer-partial") if payload.size else None
    return Reply(fields, fd, results=text)


def _joined(pieces: list[_Piece], payload: Payload) -> dict[str, Any]:
    """Return one entry of the slices of a circuit, which have one row of parameters each."""
    first, data = pieces[0]
    joined = {**first, "shots": sum(entry["shots"] for entry, _ in pieces)}
    for name in ("evs", "stds"):
        if name in first:
            start = first[name]["offset"]
            array = data[start : start + 8 * first[name]["length"]]
            joined[name] = {**first[name], "offset": payload.append(array)}
    joined["registers"] = [
        {**register, "offset": payload.append(_column(pieces, index))}
        for index, register in enumerate(first["registers"])
    ]
    return joined


def _column(pieces: list[_Piece], index: int) -> bytes:
    """Return the shots of one register, slice after slice."""
    out = []
    for entry, data in pieces:
        register = entry["registers"][index]
        size = entry["rows"] * entry["shots"] * register["bytes"]
        out.append(data[register["offset"] : register["offset"] + size])
    return b"".join(out)
