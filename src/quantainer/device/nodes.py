"""Device nodes: what a real QPU or accelerator needs opened in the container itself.

The broker serves its backends over a socket, so most need none. Where one does (a driver mapped by
the program, say), the operator lists the node below the backend's name, written as for Docker's
``--device``: ``HOST[:CONTAINER][:PERMISSIONS]``. The CDI device of that backend then carries it,
and engines open it in the container's device rules, and nothing else.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from quantainer_client.errors import QuantainerError

__all__ = ["Node", "check", "edits"]

_DEFAULT_PERMISSIONS = "rw"
_OURS = "/dev/quantum"


@dataclass(frozen=True, slots=True)
class Node:
    """One character device of the host, granted to containers.

    Attributes:
        host: Its path on the host, links not resolved.
        path: Its path in the container.
        permissions: Of ``r``, ``w`` and ``m`` (may make the node anew).
    """

    host: str
    path: str
    permissions: str

    @classmethod
    def parse(cls, text: str) -> Node:
        """Read ``HOST[:CONTAINER][:PERMISSIONS]``.

        Raises:
            QuantainerError: ``invalid_option``.
        """
        host, *rest = text.split(":")
        permissions = rest.pop() if rest and not rest[-1].startswith("/") else _DEFAULT_PERMISSIONS
        path = rest.pop() if rest else host
        if rest or not permissions or set(permissions) - set("rwm"):
            raise _wrong(text, "is not HOST[:CONTAINER][:PERMISSIONS] with permissions of r, w, m")
        for place in (host, path):
            if not place.startswith("/dev/") or posixpath.normpath(place) != place:
                raise _wrong(text, f"names {place!r}, which is no plain path below /dev")
        if f"{path}/".startswith(f"{_OURS}/"):
            raise _wrong(text, f"would lie in {_OURS}, where the device socket is")
        return cls(host, path, "".join(sorted(set(permissions), key="rwm".index)))

    def edit(self) -> dict[str, Any]:
        """Return the entry of ``deviceNodes``: the engine reads the numbers when it needs them.

        Links are resolved here, since engines take none. The type keeps a path that becomes a disk
        later from being granted.
        """
        host = os.path.realpath(self.host)
        entry: dict[str, Any] = {"path": self.path}
        if host != self.path:
            entry["hostPath"] = host
        return entry | {"type": "c", "permissions": self.permissions}


def check(configured: Mapping[str, Iterable[str]], backends: Iterable[str]) -> list[str]:
    """Check the configured nodes; return what to warn of: nodes that are not there now.

    Raises:
        QuantainerError: ``invalid_option`` for a backend this node does not have, text that is no
            node, or something other than a character device.
    """
    known = sorted(set(backends))
    missing = []
    for backend, texts in configured.items():
        if backend not in known:
            raise QuantainerError(
                "invalid_option",
                f"Setting 'nodes' names {backend!r}, which is no backend of this node.",
                hint=f"It has: {', '.join(known)}.",
            )
        for node in map(Node.parse, texts):
            try:
                mode = os.stat(node.host).st_mode  # noqa: PTH116
            except OSError as error:
                missing.append(f"{node.host} of {backend} is not there ({error.strerror})")
                continue
            if not stat.S_ISCHR(mode):
                raise _wrong(node.host, "is no character device")
    return missing


def edits(configured: Mapping[str, Iterable[str]], device: str) -> list[dict[str, Any]]:
    """Return the ``deviceNodes`` of one CDI device; ``all`` has those of every backend.

    Raises:
        QuantainerError: ``invalid_option`` for text that is no node.
    """
    granted = [
        text
        for backend, texts in configured.items()
        if device in (backend, "all")
        for text in texts
    ]
    return [node.edit() for node in dict.fromkeys(map(Node.parse, granted))]


def _wrong(text: str, what: str) -> QuantainerError:
    return QuantainerError(
        "invalid_option",
        f"Setting 'nodes': {text!r} {what}.",
        hint="Write for example /dev/qpu0, /dev/qpu0:r or /dev/qpu0:/dev/qpu:rw.",
    )
