"""Lease: what a caller was granted, as far as it decides where a circuit runs."""

from __future__ import annotations

from quantainer_client.errors import QuantainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

__all__ = ["AUTOMATIC", "default_backend"]

AUTOMATIC = "qsim"
"""The backend that chooses its simulator by itself."""
_NAMED_MAX = 20


def default_backend(granted: Iterable[str]) -> str:
    """Return the backend that is meant where none is named: ``qsim``, else the only one granted.

    Raises:
        QuantainerError: ``unknown_backend`` with the names if there are several, or none.
    """
    names = list(granted)
    if AUTOMATIC in names:
        return AUTOMATIC
    if len(names) == 1:
        return names[0]
    if not names:
        raise QuantainerError(
            "unknown_backend",
            "No backend is granted here.",
            hint="The container's device (--device) and its mode (quantum.mode) say which are.",
        )
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    raise QuantainerError(
        "unknown_backend",
        f"No backend is named, and {len(names)} are granted: "
        f"{', '.join(names[:_NAMED_MAX])}{more}.",
        hint="Name one of them as backend.",
    )
