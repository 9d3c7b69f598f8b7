"""Local: in mode ``local`` circuits do not leave the container; the SDK in it simulates them.

The adapters ask here before they hand anything in. The broker would refuse it, and no other mode
ever falls back to a simulator in the container.
"""

from __future__ import annotations

import sys

from quantainer_client.errors import QuantainerError
from quantainer_client.lease import AUTOMATIC, default_backend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Optional, Set

    from quantainer_client.connection import Connection

__all__ = ["announce", "is_local"]

_HYBRID = "Start the container with quantum.mode=hybrid, in which the host runs circuits."
_announced: Set[str] = set()


def is_local(
    connection: Connection,
    backend: Optional[str] = None,
    options: Optional[Mapping[str, Any]] = None,
) -> bool:
    """Tell whether circuits are to be simulated in this container: whether its mode is ``local``.

    Args:
        connection: Knows the lease.
        backend: As the program names it.
        options: As the program chooses them; None for those it leaves open.

    Raises:
        QuantainerError: ``forbidden`` or ``invalid_option`` if so, and the program asks for what
            only the host has.
    """
    if connection.mode != "local":
        return False
    granted = connection.lease["backends"]
    meant = backend or (AUTOMATIC if "all" in granted else default_backend(granted))
    if meant != AUTOMATIC:
        raise QuantainerError(
            "forbidden",
            f"The container runs in mode local, and {meant!r} is on the host: an ideal simulator "
            "in the container would not give its results.",
            hint=_HYBRID,
        )
    for name, value in (options or {}).items():
        if value is not None:
            raise QuantainerError(
                "invalid_option",
                f"The container runs in mode local, and the option {name!r} is for the host's "
                "simulators.",
                hint=f"Leave it out. {_HYBRID}",
            )
    return True


def announce(simulator: str) -> None:
    """Say on standard error, once for each, what simulates in this container."""
    if simulator not in _announced:
        _announced.add(simulator)
        sys.stderr.write(
            f"quantainer: mode local: circuits run in this container, on {simulator}.\n"
        )
