"""Messages of device protocol v1 and the packets that carry them; see ``docs/protocol.md``.

``encode…`` and ``decode…`` are pure; ``send`` and ``receive`` move one packet with at most one file
descriptor over a ``SOCK_SEQPACKET`` socket. Both sides of the socket use this module.
"""

from __future__ import annotations

import json
import math
import os
import socket
from array import array

from quantainer_client.errors import QuantainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Mapping, NoReturn, Optional, Tuple

    Message = Dict[str, Any]

__all__ = [
    "MAX_ID",
    "MAX_MESSAGE",
    "PROTOCOL",
    "decode",
    "decode_json",
    "decode_reply",
    "decode_request",
    "encode",
    "encode_error",
    "encode_reply",
    "encode_request",
    "receive",
    "send",
]

PROTOCOL = 1
MAX_MESSAGE = 65_536
"""Bytes of one message; whatever is larger travels in a memfd."""
MAX_ID = 2**63 - 1
_ROOM_FOR_FDS = socket.CMSG_SPACE(4 * 4)  # more than the one allowed, so that a second is seen
# Plain integers: arithmetic on the socket module's flags costs microseconds each time.
_NOSIGNAL = int(socket.MSG_NOSIGNAL)
_CLOEXEC = int(socket.MSG_CMSG_CLOEXEC)
_CUT = int(socket.MSG_TRUNC)
_CUT_ANCILLARY = int(socket.MSG_CTRUNC)


# --- Messages -------------------------------------------------------------------------------------


def encode(message: Mapping[str, Any]) -> bytes:
    """Return a message as one packet.

    Numpy scalars and arrays, enums and complex numbers (as ``[re, im]``) become plain JSON; a float
    that is not finite becomes null, since JSON has no name for it.

    Raises:
        QuantainerError: ``too_large`` over ``MAX_MESSAGE``, ``bad_request`` for what is not JSON.
    """
    try:
        text = _ENCODER.encode(message)
    except ValueError:  # NaN or infinity somewhere (or a circle, which fails again)
        text = _encode_again(message)
    except (TypeError, RecursionError) as error:
        raise QuantainerError("bad_request", f"The message cannot be encoded: {error}.") from None
    packet = text.encode("ascii")
    if len(packet) > MAX_MESSAGE:
        raise QuantainerError(
            "too_large", "The message is too large.", limit=MAX_MESSAGE, needed=len(packet)
        )
    return packet


def decode(packet: bytes) -> Message:
    """Return the JSON object in a packet of this protocol version.

    Raises:
        QuantainerError: ``bad_request`` for anything else; ``too_large`` over ``MAX_MESSAGE``.
    """
    if len(packet) > MAX_MESSAGE:
        raise QuantainerError(
            "too_large", "The message is too large.", limit=MAX_MESSAGE, needed=len(packet)
        )
    message = decode_json(packet)
    if not isinstance(message, dict):
        raise QuantainerError("bad_request", "A message must be a JSON object.")
    version = message.get("v")
    if type(version) is not int or version != PROTOCOL:
        raise QuantainerError(
            "bad_request",
            f"The message has protocol version {_shown(version)}; this side speaks {PROTOCOL}.",
            limit=PROTOCOL,
        )
    return message


def decode_json(data: bytes) -> Any:
    """Return the JSON value in untrusted bytes; numbers are finite, text has no lone surrogates.

    Raises:
        QuantainerError: ``bad_request``.
    """
    try:
        value = _DECODER.decode(str(data, "utf-8"))
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise QuantainerError("bad_request", "The JSON is nested too deeply.") from None
    except ValueError as error:  # also UnicodeError and numbers with too many digits
        raise QuantainerError("bad_request", f"The JSON cannot be read: {error}.") from None
    return value


def encode_request(identifier: int, op: str, fields: Mapping[str, Any]) -> bytes:
    """Return a request packet."""
    return encode({"v": PROTOCOL, "id": identifier, "op": op, **fields})


def decode_request(packet: bytes) -> Message:
    """Return a request whose ``v``, ``id`` and ``op`` are well formed; other fields are unchecked.

    Raises:
        QuantainerError: ``bad_request`` or ``too_large``.
    """
    message = decode(packet)
    identifier = message.get("id")
    if type(identifier) is not int or not 0 <= identifier <= MAX_ID:
        raise QuantainerError(
            "bad_request", "A request needs an integer id from 0 to the limit.", limit=MAX_ID
        )
    if not isinstance(message.get("op"), str):
        raise QuantainerError("bad_request", "A request needs an op.")
    return message


def encode_reply(identifier: Optional[int], fields: Mapping[str, Any]) -> bytes:
    """Return the packet of a successful reply."""
    return encode({"v": PROTOCOL, "id": identifier, "ok": True, **fields})


def encode_error(
    identifier: Optional[int], error: QuantainerError, fields: Optional[Mapping[str, Any]] = None
) -> bytes:
    """Return the packet of a refusal; ``identifier`` is None if the request had none.

    Never raises: an error that is itself too large is cut.
    """
    message = {"v": PROTOCOL, "id": identifier, "ok": False, **(fields or {})}
    try:
        return encode({**message, "error": error.to_dict()})
    except QuantainerError:
        short = {"code": error.code, "message": error.message[:2000]}
        return encode({"v": PROTOCOL, "id": identifier, "ok": False, "error": short})


def decode_reply(packet: bytes) -> Message:
    """Return a reply whose ``v``, ``id`` and ``ok`` are well formed.

    Raises:
        QuantainerError: ``bad_request`` or ``too_large``.
    """
    message = decode(packet)
    identifier = message.get("id")
    if identifier is not None and type(identifier) is not int:
        raise QuantainerError("bad_request", "A reply needs the id of its request.")
    if not isinstance(message.get("ok"), bool):
        raise QuantainerError("bad_request", "A reply needs ok.")
    return message


def _plain(value: Any) -> Any:
    """Turn into JSON what is not: numpy by its methods, enums, complex numbers, sets, bytes."""
    if isinstance(value, complex):
        return [value.real, value.imag]
    for convert in ("tolist", "item"):
        method = getattr(value, convert, None)
        if callable(method):
            return method()
    if hasattr(value, "value") and hasattr(value, "name"):
        return value.value
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "backslashreplace")
    raise TypeError(f"{type(value).__name__} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is out of range")
    return value


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _encode_again(message: Mapping[str, Any]) -> str:
    try:
        return _ENCODER.encode(_without_infinities(message))
    except (TypeError, ValueError, RecursionError) as error:
        raise QuantainerError("bad_request", f"The message cannot be encoded: {error}.") from None


def _without_infinities(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_infinities(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_infinities(item) for item in value]
    if value is None or isinstance(value, (str, int)):
        return value
    return _without_infinities(_plain(value))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_plain)
_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse_constant)


# --- Packets --------------------------------------------------------------------------------------


def send(sock: socket.socket, packet: bytes, fd: Optional[int] = None, flags: int = 0) -> None:
    """Send one packet with at most one file descriptor, which stays open here.

    Raises:
        OSError: As the socket gives it, such as ``BlockingIOError`` and ``BrokenPipeError``.
    """
    if fd is None:
        sock.send(packet, flags | _NOSIGNAL)
        return
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [fd]))]
    sock.sendmsg([packet], rights, flags | _NOSIGNAL)


def receive(sock: socket.socket, flags: int = 0) -> Tuple[bytes, Optional[int]]:
    """Receive one packet and its file descriptor, which the caller must close.

    An empty packet means that the other side has closed. No descriptor stays open if this raises.

    Raises:
        QuantainerError: ``too_large`` for a cut packet, ``bad_request`` for a second descriptor.
        OSError: As the socket gives it.
    """
    packet, ancillary, message_flags, _ = sock.recvmsg(MAX_MESSAGE, _ROOM_FOR_FDS, flags | _CLOEXEC)
    fds = _descriptors(ancillary) if ancillary else []
    if message_flags & _CUT:
        _close(fds)
        raise QuantainerError("too_large", "The message is too large.", limit=MAX_MESSAGE)
    if message_flags & _CUT_ANCILLARY or len(fds) > 1:
        _close(fds)
        raise QuantainerError(
            "bad_request", "A message may carry at most one file descriptor.", limit=1
        )
    if not packet:
        _close(fds)
        return b"", None
    return packet, (fds[0] if fds else None)


def _descriptors(ancillary: List[Tuple[int, int, bytes]]) -> List[int]:
    fds = array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return fds.tolist()


def _close(fds: List[int]) -> None:
    for fd in fds:
        os.close(fd)
