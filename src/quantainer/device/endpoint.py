"""Endpoint: a listening socket that knows who connects and answers what they may ask."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import logging
import os
import socket
import stat
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from quantainer.broker.reply import Deferred, Reply, Session
from quantainer.device.connection import Connection, Packet, pack
from quantainer.device.identity import Peer, identify, open_peer
from quantainer.device.operations import Operations
from quantainer_client import wire
from quantainer_client.errors import QuantainerError

__all__ = ["Bounds", "Endpoint"]

log = logging.getLogger("quantainer.endpoint")

_BACKLOG = 4096  # as much as the kernel lets a socket have by default (net.core.somaxconn)
_ACCEPTS_A_TURN = 32
_CONNECTIONS_MAX = 8192
_REFUSED_MAX = 256
_SENDERS_MAX = 64
_PAYLOAD_OPS = frozenset({"submit", "estimate"})

Admit = Callable[[Peer], Session]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one caller may take up.

    Attributes:
        connections: Open connections for one lease.
        patience: Seconds for which replies may lie unread.
    """

    connections: int
    patience: float


class Endpoint:
    """One socket of the broker.

    Args:
        path: Where it listens.
        mode: Permissions of the socket.
        group: Group that owns it; ``None`` leaves the broker's own.
        admit: Turns a peer into a session or refuses it.
        operations: What may be asked.
        bounds: What one caller may take up.
    """

    def __init__(
        self,
        path: Path,
        *,
        mode: int,
        group: str | None,
        admit: Admit,
        operations: Operations,
        bounds: Bounds,
    ) -> None:
        self.path = path
        self._admit = admit
        self._operations = operations
        self._bounds = bounds
        self._loop = asyncio.get_running_loop()
        self._open: set[_Caller] = set()
        self._refused: dict[_Caller, None] = {}
        self._per_lease: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener = _listen(path, mode, group)
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                # Out of descriptors: the caller stays in the backlog until some are free.
                log.warning("a connection could not be accepted: %s", error)
                self._loop.remove_reader(self._listener)
                self._loop.call_later(0.2, self._loop.add_reader, self._listener, self._accept)
                return
            if len(self._open) >= _CONNECTIONS_MAX:
                sock.close()
                continue
            try:
                caller = _Caller(self, sock)
            except OSError:
                sock.close()
                continue
            self._open.add(caller)
            if caller.lease is None:
                self._keep_refused(caller)

    def _keep_refused(self, caller: _Caller) -> None:
        """Let a refused caller hear why, but never at the cost of those who are admitted."""
        self._refused[caller] = None
        if len(self._refused) > _REFUSED_MAX:
            next(iter(self._refused)).close()

    # Sessions

    def session(self, peer: Peer) -> Session:
        """Admit a peer.

        Raises:
            QuantainerError: ``no_lease``, ``forbidden``, or ``queue_full`` for one connection more
                than its lease may hold.
        """
        return self._admit(peer)

    def enter(self, lease: str) -> None:
        """Count a connection of a lease.

        Raises:
            QuantainerError: ``queue_full``.
        """
        if self._per_lease[lease] >= self._bounds.connections:
            raise QuantainerError(
                "queue_full",
                "Too many connections are open for this caller.",
                limit=self._bounds.connections,
                hint="Close some, or use one connection for several requests.",
            )
        self._per_lease[lease] += 1

    def leave(self, caller: _Caller, lease: str | None) -> None:
        """Forget a closed connection."""
        self._open.discard(caller)
        self._refused.pop(caller, None)
        if lease is None:
            return
        self._per_lease[lease] -= 1
        if self._per_lease[lease] <= 0:
            del self._per_lease[lease]

    @property
    def patience(self) -> float:
        """Seconds a caller may leave replies unread."""
        return self._bounds.patience

    # Requests

    def answer(self, caller: _Caller, session: Session, packet: Packet) -> None:
        """Answer one packet; never raises, whatever it holds."""
        identifier: int | None = None
        fd = packet.fd
        try:
            message = wire.decode_request(packet.data)
            identifier = message["id"]
            operation = self._operations.find(message["op"])
            if fd is not None and message["op"] not in _PAYLOAD_OPS:
                os.close(fd)
                fd = None
            given, fd = fd, None  # the operation closes it: a second time would be another's
            outcome = operation(session, message, given)
        except QuantainerError as error:
            _close(fd)
            caller.refuse(identifier, error)
            return
        except Exception:
            log.exception("fault while answering a request")
            caller.refuse(identifier, _fault())
            return
        if isinstance(outcome, Reply):
            caller.reply(identifier, outcome)
            return
        if isinstance(outcome, Deferred):
            outcome.then(lambda reply: caller.reply(identifier, reply))
            return
        task = self._loop.create_task(self._finish(caller, identifier, outcome))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _finish(caller: _Caller, identifier: int | None, outcome: Awaitable[Reply]) -> None:
        try:
            reply = await outcome
        except QuantainerError as error:
            caller.refuse(identifier, error)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("fault while answering a request")
            caller.refuse(identifier, _fault())
        else:
            caller.reply(identifier, reply)

    # The end

    def drop(self, lease: str) -> None:
        """Close the connections of a lease that has ended, once their replies are sent."""
        for caller in list(self._open):
            if caller.lease == lease:
                caller.close()

    def close(self) -> None:
        """Close every connection and remove the socket."""
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for caller in list(self._open):
            caller.close()
        self.path.unlink(missing_ok=True)


class _Caller:
    """One connection with what the kernel says of those who send over it."""

    def __init__(self, endpoint: Endpoint, sock: socket.socket) -> None:
        self._endpoint = endpoint
        self.lease: str | None = None
        self._session: Session | None = None
        self._refusal: QuantainerError | None = None
        self._known: dict[int, int] = {}
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            pidfd, pid, uid, gid = open_peer(sock)
            self._know(pid, pidfd)
            session = endpoint.session(identify(pidfd, pid, uid, gid))
            endpoint.enter(session.lease)
        except QuantainerError as error:
            self._refusal = error
        else:
            self._session, self.lease = replace(session, gone=self._gone), session.lease
        try:
            self._connection = Connection(sock, self._received, self._closed, endpoint.patience)
        except OSError:
            self._closed()
            raise

    def _received(self, packet: Packet) -> None:
        error = packet.error or self._refusal
        if error is None and packet.pid not in self._known:
            error = self._check_sender(packet.pid)
        if error is not None or self._session is None:
            _close(packet.fd)
            identifier = None if packet.error else _identifier(packet.data)
            self.refuse(identifier, error or _fault())
            return
        self._endpoint.answer(self, self._session, packet)

    # Senders: a connection may be inherited or passed on, but not out of its container

    def _know(self, pid: int, pidfd: int) -> None:
        if len(self._known) >= _SENDERS_MAX:
            self._forget(next(iter(self._known)))  # it is asked for again if it sends again
        self._known[pid] = pidfd
        asyncio.get_running_loop().add_reader(pidfd, self._forget, pid)

    def _forget(self, pid: int) -> None:
        """A process has ended: its number may come back as someone else's."""
        pidfd = self._known.pop(pid, None)
        if pidfd is not None:
            asyncio.get_running_loop().remove_reader(pidfd)
            os.close(pidfd)

    def _check_sender(self, pid: int) -> QuantainerError | None:
        try:
            pidfd = os.pidfd_open(pid)
        except (OSError, ValueError):
            return QuantainerError("no_lease", "The kernel does not say who sent this message.")
        self._know(pid, pidfd)
        try:
            session = self._endpoint.session(identify(pidfd, pid))
        except QuantainerError as error:
            self._forget(pid)
            return error
        if self._session is None or session.lease != self._session.lease:
            self._forget(pid)
            return QuantainerError(
                "forbidden", "This connection belongs to another container or user."
            )
        return None

    # Replies

    def reply(self, identifier: int | None, reply: Reply) -> None:
        """Send a reply."""
        if reply.error is not None:
            _close(reply.fd)
            self.refuse(identifier, reply.error, reply.fields)
            return
        try:
            packet, fd = pack(identifier, reply)
        except QuantainerError as error:
            _close(reply.fd)
            self.refuse(identifier, error)
            return
        self._connection.reply(packet, fd)

    def refuse(
        self, identifier: int | None, error: QuantainerError, fields: dict[str, Any] | None = None
    ) -> None:
        """Send a refusal."""
        self._connection.reply(wire.encode_error(identifier, error, fields))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _closed(self) -> None:
        self._gone.set_result(None)
        for pid in list(self._known):
            self._forget(pid)
        self._endpoint.leave(self, self.lease)


def _identifier(data: bytes) -> int | None:
    with contextlib.suppress(QuantainerError):
        identifier: int = wire.decode_request(data)["id"]
        return identifier
    return None


def _fault() -> QuantainerError:
    return QuantainerError(
        "internal", "The broker met a fault of its own; its log has the details."
    )


def _close(fd: int | None) -> None:
    if fd is not None:
        with contextlib.suppress(OSError):
            os.close(fd)


def _listen(path: Path, mode: int, group: str | None) -> socket.socket:
    """Bind a socket under a name that nobody can connect to before its permissions are set.

    Raises:
        QuantainerError: ``invalid_option`` if the group does not exist or the path is unusable.
    """
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # Accepted sockets inherit it (Linux 6.16): else what is sent in the moment between accept and
    # setsockopt comes without its sender.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    before = os.umask(0o777)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise QuantainerError(
            "invalid_option",
            f"The socket {path} cannot be made: {error.strerror or error}.",
            hint="Set runtime_dir to a short path that the broker's user can write.",
        ) from None
    finally:
        os.umask(before)
    try:
        if group is not None:
            os.chown(path, -1, grp.getgrnam(group).gr_gid)
        path.chmod(mode)
    except (KeyError, OSError) as error:
        listener.close()
        path.unlink(missing_ok=True)
        raise QuantainerError(
            "invalid_option", f"The socket {path} cannot belong to group {group!r}: {error}."
        ) from None
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener


def _remove_stale(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise QuantainerError("invalid_option", f"{path} exists and is no socket.")
        path.unlink()
