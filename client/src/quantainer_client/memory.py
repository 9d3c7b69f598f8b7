"""Memory: what a simulator in this container may take.

SDKs do not ask before they allocate a state of 2ⁿ amplitudes, and a kernel that has granted it ends
the process when it is filled.
"""

from __future__ import annotations

from pathlib import Path

from quantainer_client.errors import QuantainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

__all__ = ["available", "check_state"]

_AMPLITUDE = 16
_COPIES = 2
"""A gate is applied from one array into another."""


def available() -> Optional[int]:
    """Return how many bytes this process may still take; None where the kernel does not say."""
    free = _available_on_machine()
    limit, used = _number("/sys/fs/cgroup/memory.max"), _number("/sys/fs/cgroup/memory.current")
    if limit is None or used is None:
        return free
    left = max(0, limit - used)
    return left if free is None else min(free, left)


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
    for line in _read("/proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return None


def _number(path: str) -> Optional[int]:
    text = _read(path).strip()
    return int(text) if text.isdigit() else None  # not "max"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError:
        return ""
