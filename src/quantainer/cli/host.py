"""Host: how commands reach the broker of this node."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import typer

from quantainer.broker.configuration import load
from quantainer_client import sockets
from quantainer_client.channel import Channel
from quantainer_client.payload import resolve

__all__ = ["CALL_TIMEOUT", "ask", "duration", "host_socket", "open_channel", "print_json"]

CALL_TIMEOUT = 30.0


def host_socket() -> Path:
    """Return the broker's socket: the configured runtime directory's, or as clients find it.

    Raises:
        QuantainerError: If the configuration cannot be read, or the only broker there is may be
            another user's.
    """
    resolved = load()
    own = Path(resolved.values.runtime_dir) / sockets.NAME
    if resolved.sources["runtime_dir"] != "default" and not os.environ.get("QUANTAINER_SOCKET"):
        return own
    found, _, ignored = sockets.find(os.geteuid(), os.environ)
    if found is None and not ignored:
        return own
    return Path(sockets.socket_path())


def open_channel(path: Path | None = None) -> Channel:
    """Return a channel to the broker."""
    return Channel(str(path or host_socket()), CALL_TIMEOUT)


def ask(op: str, *, timeout: float = CALL_TIMEOUT, **fields: Any) -> dict[str, Any]:
    """Ask the broker of this node and return its reply, lists from the memfd put in their place.

    Raises:
        QuantainerError: What the broker replies, or ``broker_unavailable``.
    """
    channel = open_channel()
    try:
        reply, payload = channel.round_trip(op, fields, None, timeout)
    finally:
        channel.close()
    return {name: resolve(value, payload, name) for name, value in reply.items()}


def print_json(value: Any) -> None:
    """Print facts for programs."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def duration(seconds: float) -> str:
    """Return a time span for people, in its two largest units."""
    whole = max(0, int(seconds))
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, rest = divmod(rest, 60)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
