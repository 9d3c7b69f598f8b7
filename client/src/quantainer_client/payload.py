"""Payloads: bulk data in sealed memfds, beside the messages of ``wire``.

A payload is written once, sealed, and passed as a file descriptor; whoever receives it maps it. The
seals are what lets the receiver check it once and then trust it: it can no longer change.
"""

from __future__ import annotations

import errno
import fcntl
import json
import mmap
import os
import sys

from quantainer_client.errors import QuantainerError
from quantainer_client.wire import decode_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Tuple, Union

    Buffer = Union[bytes, bytearray, memoryview]

__all__ = [
    "ALIGNMENT",
    "SEALS",
    "Payload",
    "map_payload",
    "map_sealed",
    "part",
    "resolve",
    "resolve_list",
]

ALIGNMENT = 8
_COPIED_BELOW = 65_536
_UNTRACKED: Dict[str, Any] = {"trackfd": False} if sys.version_info >= (3, 13) else {}

# Numbers of the kernel's interface. The standard library names them only where it was built against
# a new enough C library, which portable builds of Python are not.
_F_ADD_SEALS = 1033
_F_GET_SEALS = 1034
SEALS = 0x1 | 0x2 | 0x4 | 0x8
"""``F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE``."""
_MFD_CLOEXEC, _MFD_ALLOW_SEALING, _MFD_NOEXEC_SEAL = 0x1, 0x2, 0x8
_SYSCALL = {
    "x86_64": 319,
    "aarch64": 279,
    "riscv64": 279,
    "loongarch64": 279,
    "ppc64le": 360,
    "s390x": 350,
    "armv7l": 385,
    "i686": 356,
}


class Payload:
    """Collects parts at multiples of eight bytes, then becomes a sealed memfd.

    Attributes:
        parts: Offset and bytes of each.
        size: Bytes in all.
    """

    __slots__ = ("parts", "size")

    def __init__(self) -> None:
        self.parts: List[Tuple[int, Buffer]] = []
        self.size = 0

    def append(self, data: Any) -> int:
        """Add anything that has the buffer protocol and return its offset.

        Large data is copied only by ``seal`` and must not change until then.
        """
        whole = memoryview(data)
        if not whole.nbytes:
            return 0  # nothing lies anywhere, so not beyond the end
        view: Buffer = data if isinstance(data, bytes) else whole.cast("B")
        offset = -(-self.size // ALIGNMENT) * ALIGNMENT
        if len(view) <= _COPIED_BELOW:
            view = bytes(view)
        self.parts.append((offset, view))
        self.size = offset + len(view)
        return offset

    def append_json(self, value: Any) -> Dict[str, int]:
        """Add the JSON text of what is too large for a message; return what replaces it there."""
        text = json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")
        return {"offset": self.append(text), "length": len(text)}

    def seal(self, name: str = "quantainer") -> int:
        """Write the parts to a new sealed memfd and return its descriptor, which the caller closes.

        Raises:
            QuantainerError: ``out_of_memory`` if it cannot be written.
        """
        fd = _memfd_create(name)
        try:
            for offset, data in self.parts:
                _write_at(fd, data, offset)
            fcntl.fcntl(fd, _F_ADD_SEALS, SEALS)
        except OSError as error:
            os.close(fd)
            raise QuantainerError(
                "out_of_memory",
                f"A payload of {self.size} bytes could not be written: {error.strerror}.",
                needed=self.size,
                hint="Raise the memory limit of the container.",
            ) from None
        except BaseException:
            os.close(fd)
            raise
        return fd


class Sealed:
    """A payload with its sealed memfd, which lives as long as this object."""

    __slots__ = ("fd", "payload")

    def __init__(self, payload: Payload) -> None:
        self.payload = payload
        self.fd = payload.seal()

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        # Bound above: when the interpreter ends, modules go before objects.
        if hasattr(self, "fd"):
            close(self.fd)


def map_sealed(fd: int, max_bytes: int) -> memoryview:
    """Check and map a received payload read-only; the descriptor is closed in every case.

    Raises:
        QuantainerError: ``bad_request`` if it is no memfd or lacks a seal, ``too_large`` over
            ``max_bytes``.
    """
    try:
        _check_seals(fd)
        size = os.fstat(fd).st_size
        if size > max_bytes:
            raise QuantainerError(
                "too_large",
                "The circuits and values of a submission are too large.",
                limit=max_bytes,
                needed=size,
                hint="Split the work into several jobs, or write repetition as loops.",
            )
        return _map(fd, size)
    finally:
        os.close(fd)


def map_payload(fd: int) -> memoryview:
    """Map a payload from a trusted sender read-only; the descriptor is closed in every case."""
    try:
        return _map(fd, os.fstat(fd).st_size)
    finally:
        os.close(fd)


def part(payload: memoryview, offset: Any, length: Any, what: str) -> memoryview:
    """Return one part of a payload by untrusted offset and length.

    Raises:
        QuantainerError: ``bad_request`` naming ``what`` if it does not lie inside.
    """
    if type(offset) is not int or type(length) is not int or offset < 0 or length < 0:
        raise QuantainerError(
            "bad_request", f"The offset and length of {what} must be integers from 0."
        )
    if offset + length > len(payload):
        raise QuantainerError(
            "bad_request",
            f"{what} does not lie inside the payload.",
            limit=len(payload),
            needed=offset + length,
        )
    return payload[offset : offset + length]


def resolve(value: Any, payload: memoryview, what: str) -> Any:
    """Return a list or object that stands in a message itself or, by place, in the payload.

    Raises:
        QuantainerError: ``bad_request`` if the place holds no JSON.
    """
    if isinstance(value, dict) and value.keys() == {"offset", "length"}:
        return decode_json(bytes(part(payload, value["offset"], value["length"], what)))
    return value


def resolve_list(value: Any, payload: memoryview, what: str) -> List[Any]:
    """Resolve what must be a list.

    Raises:
        QuantainerError: ``bad_request``.
    """
    value = resolve(value, payload, what)
    if not isinstance(value, list):
        raise QuantainerError("bad_request", f"{what} must be a list.")
    return value


def _map(fd: int, size: int) -> memoryview:
    """Map a file privately: before Linux 6.7 a write-sealed memfd refuses every shared mapping.

    A small one is copied: that is faster than a mapping, and a mapping keeps a descriptor (before
    Python 3.13), of which a process that collects results would run out.
    """
    if size <= _COPIED_BELOW:
        return memoryview(os.pread(fd, size, 0))
    mapping = mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ, **_UNTRACKED)
    return memoryview(mapping)


def _check_seals(fd: int) -> None:
    try:
        seals = fcntl.fcntl(fd, _F_GET_SEALS)
    except OSError:
        raise QuantainerError("bad_request", "The file descriptor is not a memfd.") from None
    if seals & SEALS != SEALS:
        raise QuantainerError(
            "bad_request",
            "The memfd lacks seals: its content could change after it was checked.",
            limit=SEALS,
            needed=seals,
            hint="Seal it with F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_WRITE.",
        )


def _write_at(fd: int, data: Buffer, offset: int) -> None:
    written = os.pwrite(fd, data, offset)
    if written == len(data):
        return
    rest = memoryview(data)
    while written < len(rest):  # one call writes at most 2 GiB
        written += os.pwrite(fd, rest[written:], offset + written)


def _memfd_create(name: str) -> int:
    """Create a memfd that is never executable, on kernels before 6.3 without that promise."""
    flags = _MFD_CLOEXEC | _MFD_ALLOW_SEALING
    try:
        return _memfd_syscall(name, flags | _MFD_NOEXEC_SEAL)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise _no_memfd(error) from None
    try:
        return _memfd_syscall(name, flags)
    except OSError as error:
        raise _no_memfd(error) from None


def _memfd_syscall(name: str, flags: int) -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name, flags)
    number = _SYSCALL.get(os.uname().machine)
    if not sys.platform.startswith("linux") or number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    fd = int(libc.syscall(number, name.encode(), flags))
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return fd


def _no_memfd(error: OSError) -> QuantainerError:
    return QuantainerError(
        "broker_unavailable",
        f"memfd_create failed: {error.strerror}.",
        hint="The device needs Linux with memfd_create and seals, allowed by the seccomp profile.",
    )
