"""Registry: the backends of this node, by entry point, so that third parties can add theirs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points

from quantainer.backends.backend import Backend, Limits

__all__ = ["GROUP", "load_backends"]

GROUP = "quantainer.backends"
_log = logging.getLogger(__name__)

Provider = Callable[[Limits], Iterable[Backend]]


def load_backends(limits: Limits) -> dict[str, Backend]:
    """Return every backend by name: the built-in ``qsim`` first, then the others by name.

    An entry point of the group ``quantainer.backends`` names a function ``provide(limits)`` that
    yields backends. One that cannot be loaded, fails, or takes a name that exists is left out with
    a warning: a fault in someone's plugin takes no other backend away.
    """
    found: dict[str, Backend] = {}
    for point in _ordered(entry_points(group=GROUP)):
        for backend in _provided(point, limits):
            if backend.name in found:
                _log.warning(
                    "backend %s of entry point %s is not offered: the name is taken",
                    backend.name,
                    point.name,
                )
                continue
            found[backend.name] = backend
    return found


def _ordered(points: Iterable[EntryPoint]) -> list[EntryPoint]:
    """Sort, our own first, so that nobody else's plugin can take a built-in name."""
    unique = {(point.name, point.value): point for point in points}
    return sorted(
        unique.values(),
        key=lambda point: (
            not point.value.startswith("quantainer.backends."),
            point.name != "qsim",
            point.name,
            point.value,
        ),
    )


def _provided(point: EntryPoint, limits: Limits) -> list[Backend]:
    try:
        provide: Provider = point.load()
        backends = list(provide(limits))
        for backend in backends:
            _check(backend)
    except Exception as error:
        _log.warning(
            "entry point %s (%s) is not offered: %s: %s",
            point.name,
            point.value,
            type(error).__name__,
            error,
        )
        return []
    return backends


def _check(backend: Backend) -> None:
    if not isinstance(backend.name, str) or not backend.name:
        raise TypeError("a backend needs a name")
    for method in ("target", "plan", "run"):
        if not callable(getattr(backend, method, None)):
            raise TypeError(f"backend {backend.name} has no method {method}")
