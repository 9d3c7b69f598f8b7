"""Seeds: which are accepted, and how one seed serves a series of jobs."""

from __future__ import annotations

from itertools import repeat
from operator import index

from quantainer_client.errors import QuantainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Optional

__all__ = ["MAX_SEED", "checked", "series"]

MAX_SEED = 2**63 - 1


def checked(seed: Any) -> int:
    """Return a seed if it is an integer in range; nothing is cast, cut or wrapped.

    Raises:
        QuantainerError: ``invalid_seed``.
    """
    try:
        number = -1 if isinstance(seed, bool) else index(seed)
    except TypeError:
        number = -1
    if not 0 <= number <= MAX_SEED:
        raise QuantainerError(
            "invalid_seed",
            f"The seed must be an integer from 0 to {MAX_SEED}, not {seed!r}.",
            limit=MAX_SEED,
            hint="Leave it out for fresh entropy.",
        )
    return number


def series(seed: Optional[int]) -> Iterator[Optional[int]]:
    """Return seeds for one job after another; without a seed, fresh entropy for each.

    Raises:
        QuantainerError: ``invalid_seed``.
    """
    if seed is None:
        return repeat(None)
    import random  # 2 ms that most callers never need

    generator = random.Random(checked(seed))
    return iter(lambda: generator.getrandbits(63), None)
