"""Recent: what was used last, within a bound on bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Recent"]

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """A mapping that forgets what was used longest ago once ``limit_bytes`` is passed."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._held = 0
        self._values: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    @property
    def held_bytes(self) -> int:
        """Sum of the sizes of what is kept."""
        return self._held

    def get(self, key: Hashable) -> Value | None:
        """Return a value and count it as used, or ``None``."""
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(self, key: Hashable, value: Value, size: int) -> Value:
        """Keep a value, unless it alone is over the limit; return it."""
        if size > self._limit:
            return value
        _, old = self._values.pop(key, (None, 0))
        self._values[key] = (value, size)
        self._held += size - old
        while self._held > self._limit:
            _, (_, freed) = self._values.popitem(last=False)
            self._held -= freed
        return value

    def get_or(self, key: Hashable, make: Callable[[], tuple[Value, int]]) -> Value:
        """Return the value kept under ``key``, else make it: ``make`` returns value and size."""
        found = self.get(key)
        return found if found is not None else self.put(key, *make())
