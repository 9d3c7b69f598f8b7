"""Connection: one caller's packets: bounded in, bounded out, no descriptor lost."""

from __future__ import annotations

import array
import asyncio
import contextlib
import json
import os
import select
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Any

from quantainer.broker.reply import Reply
from quantainer_client import wire
from quantainer_client.errors import QuantainerError
from quantainer_client.payload import Payload, map_payload

__all__ = ["Connection", "Packet", "pack"]

_SCM_CREDENTIALS = 2
# Plain integers: arithmetic on the socket module's flags costs microseconds each time.
_DONTWAIT = int(socket.MSG_DONTWAIT)
_RECEIVE = int(socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC)
_CUT = int(socket.MSG_TRUNC)
_CUT_ANCILLARY = int(socket.MSG_CTRUNC)
_SOL_SOCKET = int(socket.SOL_SOCKET)
_SCM_RIGHTS = int(socket.SCM_RIGHTS)
_INT = array.array("i").itemsize
_ROOM = socket.CMSG_SPACE(4 * _INT) + socket.CMSG_SPACE(12)
_IN_FLIGHT_MAX = 64


class Packet:
    """One received packet: bytes, descriptor, the process that sent it, or what is wrong."""

    __slots__ = ("data", "error", "fd", "pid")

    def __init__(
        self, data: bytes, fd: int | None, pid: int, error: QuantainerError | None = None
    ) -> None:
        self.data = data
        self.fd = fd
        self.pid = pid
        self.error = error


class Connection:
    """A ``SOCK_SEQPACKET`` connection on the loop.

    Args:
        sock: The accepted socket.
        received: Called for each packet; it takes the descriptor over and later calls ``reply``.
        closed: Called once when the connection is gone.
        patience: Seconds for which a caller may leave replies unread.
    """

    def __init__(
        self,
        sock: socket.socket,
        received: Callable[[Packet], None],
        closed: Callable[[], None],
        patience: float,
    ) -> None:
        self._sock = sock
        self._fileno = sock.fileno()
        self._received = received
        self._closed_callback = closed
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._outgoing: deque[tuple[bytes, int | None]] = deque()
        self._stalled: asyncio.TimerHandle | None = None
        self._in_flight = 0
        self._reading = False
        self._ended = False
        self.closed = False
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._read_on()

    # In

    def _read_on(self) -> None:
        wanted = (
            not self.closed
            and not self._ended
            and not self._outgoing
            and self._in_flight < _IN_FLIGHT_MAX
        )
        if wanted and not self._reading:
            self._loop.add_reader(self._fileno, self._readable)
        elif not wanted and self._reading:
            self._loop.remove_reader(self._fileno)
        self._reading = wanted

    def _readable(self) -> None:
        """Take one packet; the loop calls again if there are more, after others had their turn."""
        try:
            packet = _receive(self._sock)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        if packet is None:
            self._peer_done()
            return
        self._in_flight += 1
        if self._in_flight >= _IN_FLIGHT_MAX:
            self._read_on()
        self._received(packet)

    def _peer_done(self) -> None:
        """The caller sends no more; one that only closed its half still gets its replies."""
        self._ended = True
        self._read_on()
        poll = select.poll()
        poll.register(self._fileno, 0)
        gone = any(event & select.POLLHUP for _, event in poll.poll(0))
        if gone or (self._in_flight == 0 and not self._outgoing):
            self.close()

    # Out

    def reply(self, packet: bytes, fd: int | None = None) -> None:
        """Send the answer to one received packet; the descriptor is closed in every case."""
        self._in_flight -= 1
        if self.closed:
            _close(fd)
            return
        if self._outgoing or not self._send(packet, fd):
            self._outgoing.append((packet, fd))
            self._wait_for_reader()
        self._settle()

    def _send(self, packet: bytes, fd: int | None) -> bool:
        """Send at once; False if the caller does not read."""
        try:
            wire.send(self._sock, packet, fd, _DONTWAIT)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            _close(fd)
            self.close()
            return True
        _close(fd)
        return True

    def _wait_for_reader(self) -> None:
        self._read_on()
        if self._stalled is None:
            self._loop.add_writer(self._fileno, self._writable)
            self._stalled = self._loop.call_later(self._patience, self.close)

    def _writable(self) -> None:
        while self._outgoing:
            packet, fd = self._outgoing[0]
            if not self._send(packet, fd):
                return
            if self.closed:
                return
            self._outgoing.popleft()
        self._loop.remove_writer(self._fileno)
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        self._settle()

    def _settle(self) -> None:
        if self.closed:
            return
        if self._ended and self._in_flight == 0 and not self._outgoing:
            self.close()
        elif not self._reading:
            self._read_on()

    def close(self) -> None:
        """Close at once; replies still to come are dropped."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._fileno)
        self._loop.remove_writer(self._fileno)
        if self._stalled is not None:
            self._stalled.cancel()
        while self._outgoing:
            _close(self._outgoing.popleft()[1])
        self._sock.close()
        self._closed_callback()


def _receive(sock: socket.socket) -> Packet | None:
    """Return the next packet, or ``None`` at the end.

    Raises:
        OSError: As the socket gives it.
    """
    data, ancillary, flags, _ = sock.recvmsg(wire.MAX_MESSAGE, _ROOM, _RECEIVE)
    fds = array.array("i")
    pid = 0
    for level, kind, content in ancillary:
        if level != _SOL_SOCKET:
            continue
        if kind == _SCM_CREDENTIALS:
            pid = struct.unpack_from("i", content)[0]
        elif kind == _SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % _INT])
    if not data:
        _close(*fds)
        return None
    error = None
    if flags & _CUT:
        error = QuantainerError("too_large", "The message is too large.", limit=wire.MAX_MESSAGE)
    elif len(fds) > 1 or flags & _CUT_ANCILLARY:
        error = QuantainerError(
            "bad_request", "A message may carry at most one file descriptor.", limit=1
        )
    if error is not None:
        _close(*fds)
        return Packet(data, None, pid, error)
    return Packet(data, fds[0] if fds else None, pid)


def pack(identifier: int | None, reply: Reply) -> tuple[bytes, int | None]:
    """Return the packet and descriptor of a reply; what is too large for it moves to the memfd.

    Raises:
        QuantainerError: ``too_large`` if no list or object is left to move.
    """
    fields = reply.fields
    try:
        packet = wire.encode_reply(identifier, fields)
    except QuantainerError as error:
        if error.code != "too_large":
            raise
        return _repack(identifier, fields, reply.fd)
    if reply.results is None:
        return packet, reply.fd
    packet = b'%b,"results":%b}' % (packet[:-1], reply.results.encode("ascii"))
    if len(packet) > wire.MAX_MESSAGE:
        return _repack(identifier, {**fields, "results": json.loads(reply.results)}, reply.fd)
    return packet, reply.fd


def _repack(
    identifier: int | None, fields: dict[str, Any], fd: int | None
) -> tuple[bytes, int | None]:
    payload = Payload()
    if fd is not None:
        # What lies in the memfd already keeps its offsets.
        payload.append(map_payload(os.dup(fd)))
    fields = dict(fields)
    movable = {name: value for name, value in fields.items() if isinstance(value, list | dict)}
    for name in sorted(movable, key=lambda name: -len(str(movable[name]))):
        fields[name] = payload.append_json(movable[name])
        try:
            packet = wire.encode_reply(identifier, fields)
        except QuantainerError:
            continue
        sealed = payload.seal()
        _close(fd)
        return packet, sealed
    raise QuantainerError("too_large", "The reply is too large.", limit=wire.MAX_MESSAGE)


def _close(*fds: int | None) -> None:
    for fd in fds:
        if fd is not None:
            with contextlib.suppress(OSError):
                os.close(fd)
