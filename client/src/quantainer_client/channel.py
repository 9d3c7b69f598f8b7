"""Channel: sockets to the broker, one for each call in progress.

Idle sockets are kept for the next call, so that threads share a channel without waiting for each
other; after a fork the child opens sockets of its own.
"""

from __future__ import annotations

import os
import socket
from array import array
from itertools import count

from quantainer_client import wire
from quantainer_client.errors import QuantainerError
from quantainer_client.payload import map_payload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

    Reply = Tuple[Dict[str, Any], memoryview]

__all__ = ["Channel", "LostError"]

_NOTHING = memoryview(b"")


class Channel:
    """Sends requests and receives their answers; it knows nothing of what they mean.

    Args:
        path: The socket; by default as ``socket_path`` finds it at the first call.
        timeout: Seconds for connecting.
    """

    def __init__(self, path: Optional[str], timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._idle: List[socket.socket] = []
        self._pid = os.getpid()
        self._ids = count(1)

    @property
    def path(self) -> str:
        """The socket.

        Raises:
            QuantainerError: ``broker_unavailable`` if none is named and none is found.
        """
        if self._path is None:
            from quantainer_client.sockets import socket_path  # not where the path is named

            self._path = socket_path()
        return self._path

    def close(self) -> None:
        """Close the idle sockets; new ones are opened when they are needed."""
        while self._idle:
            self._idle.pop().close()

    def __del__(self) -> None:
        self.close()

    def round_trip(
        self, op: str, fields: Dict[str, Any], fd: Optional[int], timeout: float
    ) -> Reply:
        """Send a request, with a descriptor that stays the caller's, and return reply and payload.

        Raises:
            LostError: If the request may have been received but the answer was not.
            QuantainerError: ``broker_unavailable`` if it was not sent; ``timeout``; or what the
                broker replies.
        """
        identifier = next(self._ids)
        packet = wire.encode_request(identifier, op, fields)
        sock = self._deliver(packet, fd, timeout)
        try:
            reply, payload = self._answer(sock, op, identifier, timeout)
        except BaseException:  # an answer may still come, and must not meet the next request
            sock.close()
            raise
        self._idle.append(sock)
        if not reply["ok"]:
            raise QuantainerError.from_dict(reply.get("error") or {})
        return reply, payload

    def _deliver(self, packet: bytes, fd: Optional[int], timeout: float) -> socket.socket:
        """Send over an idle socket or, if the broker has closed it, a new one."""
        while True:
            sock, fresh = self._acquire()
            try:
                sock.settimeout(timeout)
                wire.send(sock, packet, fd)
            except OSError as error:  # then nothing was delivered
                sock.close()
                if fresh:
                    raise _unreachable(self.path, error) from None
            except BaseException:
                sock.close()
                raise
            else:
                return sock

    def _answer(self, sock: socket.socket, op: str, identifier: int, timeout: float) -> Reply:
        try:
            packet, fd = wire.receive(sock)
        except (TimeoutError, socket.timeout):
            raise QuantainerError(
                "timeout",
                f"The broker at {self.path} did not answer {op!r} within {timeout:g} s.",
                limit=timeout,
            ) from None
        except OSError as error:
            raise LostError(self.path, op, error.strerror or str(error)) from None
        if not packet:
            raise LostError(self.path, op, "it closed the connection")
        payload = _NOTHING if fd is None else map_payload(fd)
        reply = wire.decode_reply(packet)
        # A request that cannot be read is refused without an id.
        if reply["id"] != identifier and not (reply["id"] is None and not reply["ok"]):
            raise QuantainerError("internal", "The broker answered another request.")
        return reply, payload

    # Sockets

    def _acquire(self) -> Tuple[socket.socket, bool]:
        """Return a socket for one call, and whether it is new."""
        if self._pid != os.getpid():  # after a fork the sockets are the parent's to use
            self._pid = os.getpid()
            self._idle = []
        try:
            return self._idle.pop(), False
        except IndexError:  # another thread may have taken it: asking first would prove nothing
            pass
        return self._open(), True

    def _open(self) -> socket.socket:
        path = self.path
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            _connect(sock, path, self._timeout)
        except OSError as error:
            sock.close()
            raise _unreachable(path, error) from None
        except BaseException:
            sock.close()
            raise
        return sock


class LostError(QuantainerError):
    """The broker went away between request and answer."""

    def __init__(self, path: str, op: str, why: str) -> None:
        hint = "The job may have been accepted; `jobs` shows it." if op == "submit" else None
        super().__init__(
            "broker_unavailable",
            f"The broker at {path} was lost before it answered {op!r}: {why}.",
            hint=hint,
        )


def _connect(sock: socket.socket, path: str, timeout: float) -> None:
    """Connect, waiting for a place in a full queue: a socket with a timeout set would not wait."""
    limit = array("l", [int(timeout), int(timeout % 1 * 1e6)])
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit.tobytes())
    sock.connect(path)
    sock.settimeout(timeout)


def _unreachable(path: str, error: OSError) -> QuantainerError:
    if isinstance(error, FileNotFoundError):
        why = "there is no such socket"
        hint = (
            "In a container: start it with --device quantainer.dev/qpu=qsim. "
            "On the host: start the broker with `quantainer up`."
        )
    elif isinstance(error, PermissionError):
        why = f"user {os.getuid()} may not use it"
        hint = (
            "The broker's administrator can set socket_group to a group that the user is in. "
            "Or start a broker of your own with `quantainer up`."
        )
    elif isinstance(error, ConnectionRefusedError):
        why, hint = "nothing listens there", "Start the broker on the host with `quantainer up`."
    elif isinstance(error, BlockingIOError):
        why, hint = "too many callers are waiting there", "Try again later."
    else:
        why, hint = error.strerror or str(error) or type(error).__name__, "Is the broker running?"
    return QuantainerError(
        "broker_unavailable", f"The broker at {path} cannot be reached: {why}.", hint=hint
    )
