"""Engine: a Docker Engine as its API shows it, without a process for each command."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import threading
import time
from calendar import timegm
from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from quantainer_client.errors import QuantainerError

__all__ = ["Engine", "nanoseconds"]

_TIMEOUT_S = 300.0
_SETTLED = (304, 404, 409)
"""It is so already, gone, or being removed: no errors where many do things at once."""


class Engine:
    """One engine, and when each container's state changed by its own account.

    Args:
        host: ``unix://…``; by default ``DOCKER_HOST``, else Docker's own place.

    Raises:
        QuantainerError: ``invalid_option`` if it is not reached through a unix socket.
    """

    def __init__(self, host: str | None = None) -> None:
        named = host or os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
        if not named.startswith("unix://"):
            raise QuantainerError(
                "invalid_option",
                f"The engine at {named} is not on this machine.",
                hint="Set DOCKER_HOST to unix:///….",
            )
        self._path = named.removeprefix("unix://")
        self._told: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        self._news = threading.Condition()

    # Requests

    def ask(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """Send one request and return its answer; None if there was nothing to do.

        Raises:
            QuantainerError: ``broker_unavailable`` with what the engine said.
        """
        if query:
            path += "?" + "&".join(f"{name}={quote(value)}" for name, value in query.items())
        connection = _Connection(self._path)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        except OSError as error:
            raise _refused(
                f"The engine at {self._path} cannot be reached: {error.strerror or error}.",
                "A Docker Engine 27 or newer is needed; DOCKER_HOST says which one.",
            ) from None
        finally:
            connection.close()
        if answer.status in _SETTLED:
            return None
        if answer.status >= 400:
            said = text.decode(errors="replace").strip()[:500]
            raise _refused(f"The engine at {self._path} does not do what is asked: {said}")
        return json.loads(text) if text.strip() else None

    def version(self) -> str:
        """Return its version."""
        return str(self.ask("GET", "/version")["Version"])

    def cdi_folders(self) -> list[str]:
        """Return the folders from which it reads CDI specifications."""
        return list(self.ask("GET", "/info").get("CDISpecDirs") or ())

    def has(self, image: str) -> bool:
        """Tell whether it has an image."""
        return self.ask("GET", f"/images/{quote(image)}/json") is not None

    def create(self, image: str, command: list[str], device: str, memory_bytes: int) -> str:
        """Create a container without network, with a CDI device, and return its id."""
        host = {
            "NetworkMode": "none",
            "Memory": memory_bytes,
            "MemorySwap": memory_bytes,
            "DeviceRequests": [{"Driver": "cdi", "DeviceIDs": [device]}],
            "LogConfig": {"Type": "none"},
        }
        body = {"Image": image, "Cmd": command, "HostConfig": host}
        answer = self.ask("POST", "/containers/create", body)
        if answer is None:
            raise _refused(f"The engine has no image {image}.")
        return str(answer["Id"])

    def do(self, action: str, container: str, **query: str) -> None:
        """Start, pause, unpause, stop or kill a container."""
        self.ask("POST", f"/containers/{container}/{action}", **query)

    def remove(self, container: str) -> None:
        """End and remove a container."""
        self.ask("DELETE", f"/containers/{container}", force="1")

    def finished_at(self, container: str) -> int:
        """Return when a container's first process ended, by the engine, in ns since 1970."""
        state = self.ask("GET", f"/containers/{container}/json")["State"]
        return nanoseconds(state["FinishedAt"])

    # Events

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Note every event of a container while the body runs."""
        connection = _Connection(self._path, timeout=None)
        filters = quote(json.dumps({"type": ["container"]}))
        connection.request("GET", f"/events?filters={filters}")
        stream = connection.getresponse()
        noting = threading.Thread(target=self._note, args=(stream,), daemon=True)
        noting.start()
        try:
            yield
        finally:
            connection.hang_up()
            noting.join()
            stream.close()
            connection.close()

    def _note(self, stream: http.client.HTTPResponse) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            for line in iter(stream.readline, b""):
                event = json.loads(line)
                with self._news:
                    self._told[event["Actor"]["ID"], event["Action"]].append(event["timeNano"])
                    self._news.notify_all()

    def told(self, container: str, action: str) -> int:
        """Return how often it told of an action on a container."""
        with self._news:
            return len(self._told[container, action])

    def when(self, container: str, action: str, earlier: int, timeout: float = 60.0) -> int:
        """Return when it told of an action, in ns since 1970, after ``earlier`` such events.

        Raises:
            QuantainerError: ``timeout``.
        """
        deadline = time.monotonic() + timeout
        with self._news:
            while len(self._told[container, action]) <= earlier:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise QuantainerError(
                        "timeout", f"The engine told of no {action!r} of {container[:12]}."
                    )
                self._news.wait(left)
            return self._told[container, action][earlier]


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float | None = _TIMEOUT_S) -> None:
        super().__init__("engine", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
        self._socket = self.sock

    def hang_up(self) -> None:
        """End an answer that has no end of its own."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


def nanoseconds(text: str) -> int:
    """Return an RFC 3339 time of Go's, with up to nine decimals, as ns since 1970.

    Raises:
        ValueError: If it is none.
    """
    whole, _, decimals = text.removesuffix("Z").partition(".")
    seconds = timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
    return seconds * 10**9 + int((decimals or "0").ljust(9, "0")[:9])


def _refused(message: str, hint: str | None = None) -> QuantainerError:
    return QuantainerError("broker_unavailable", message, hint=hint)
