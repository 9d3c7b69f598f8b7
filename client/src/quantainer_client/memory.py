"""Memory: what a simulator in this container may take.

SDKs do not ask before they allocate a state of 2ⁿ amplitudes, and a kernel that has granted it ends
the process when it is filled.
"""

from __future__ import annotations

from pathlib import Path

from quantainer_client.errors import QuantainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional, Tuple

__all__ = ["available", "check_state"]

_AMPLITUDE = 16
_COPIES = 2
"""A gate is applied from one array into another."""

_V1 = "/sys/fs/cgroup/memory/memory."
_V2 = "/sys/fs/cgroup/memory."
_GROUPS = (
    (f"{_V2}max", f"{_V2}current", f"{_V2}stat", "inactive_file"),
    (f"{_V1}limit_in_bytes", f"{_V1}usage_in_bytes", f"{_V1}stat", "total_inactive_file"),
)
"""Of a container's control group: limit, what is used, and what of that are files only read."""


def available() -> Optional[int]:
    """Return how many bytes this process may still take; None where the kernel does not say."""
    found = [_available_on_machine(), *map(_available_in_group, _GROUPS)]
    return min((free for free in found if free is not None), default=None)


def check_state(qubits: int) -> None:
    """Refuse a circuit whose state does not fit.

    Raises:
        QuantainerError: ``too_large``, with the bytes needed and those that there are.
    """
    needed, limit = _COPIES * _AMPLITUDE << qubits, available()
    if limit is None or needed <= limit:
        return
    raise QuantainerError(
        "too_large",
        f"The state of {qubits} qubits takes {needed} bytes in this container, which has {limit}.",
        limit=limit,
        needed=needed,
        hint="Start the container with quantum.mode=hybrid, in which the host runs circuits.",
    )


def _available_on_machine() -> Optional[int]:
    kibibytes = _fields("/proc/meminfo").get("MemAvailable:")
    return None if kibibytes is None else kibibytes * 1024


def _available_in_group(names: Tuple[str, str, str, str]) -> Optional[int]:
    """Return what a control group may still take; files that were read are given back for it."""
    limit, used = _number(names[0]), _number(names[1])
    if limit is None or used is None:
        return None
    return max(0, limit - used + _fields(names[2]).get(names[3], 0))


def _fields(path: str) -> Dict[str, int]:
    lines = [line.split() for line in _read(path).splitlines()]
    return {line[0]: int(line[1]) for line in lines if len(line) > 1 and line[1].isdigit()}


def _number(path: str) -> Optional[int]:
    text = _read(path).strip()
    return int(text) if text.isdigit() else None  # not "max"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError:
        return ""
