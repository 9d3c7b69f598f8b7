"""Seed: one integer decides every random bit of a job (rule in ``docs/seeds.md``)."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from quantainer_client.errors import QuantainerError

__all__ = ["MAX_SEED", "checked", "derive", "member"]

MAX_SEED = 2**63 - 1


def checked(value: Any) -> int:
    """Return ``value`` if it is a seed, else refuse: no cast, no wrap-around.

    Raises:
        QuantainerError: ``invalid_seed`` for anything but an ``int`` from 0 to 2⁶³ − 1 (``bool``,
            ``float`` and ``str`` included).
    """
    if type(value) is not int:
        raise _invalid(f"A seed is an integer, not {value!r} ({type(value).__name__}).", value)
    if not 0 <= value <= MAX_SEED:
        raise _invalid(f"The seed {value} is out of range.", value)
    return value


def derive(seed: int, *path: int | str) -> int:
    """Return the seed of a part of the work, from 0 to 2⁶³ − 1.

    BLAKE2b hashes the seed and the path, so that neighbouring seeds and neighbouring parts are
    independent whatever the generator behind makes of its seed (Qiskit/qiskit-aer#1916).
    """
    text = "/".join((str(seed), *(f"{type(step).__name__[0]}{step}" for step in path)))
    digest = blake2b(text.encode(), digest_size=8, person=b"quantainer-seed").digest()
    return int.from_bytes(digest, "little") & MAX_SEED


def member(seed: int, index: int) -> int:
    """Return the seed of member ``index`` of a batch: circuit of a job, parameter row of a circuit.

    Member 0 keeps the seed itself. So the seed that a result's metadata names gives, with that
    circuit (and that parameter row) submitted alone, the same bits as in the batch.
    """
    return seed if index == 0 else derive(seed, "member", index)


def _invalid(message: str, value: Any) -> QuantainerError:
    return QuantainerError(
        "invalid_seed",
        message,
        limit=MAX_SEED,
        needed=value if isinstance(value, int | float | str) else str(value),
        hint=f"Give an integer from 0 to {MAX_SEED}, or none for fresh entropy.",
    )
