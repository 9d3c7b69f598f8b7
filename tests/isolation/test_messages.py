"""What a caller sends: bytes, descriptors, memory and programs that mean harm."""

from __future__ import annotations

import fcntl
import gzip
import json
import mmap
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.broker import Broker
from isolation.box import descriptors
from programs import BELL, HEADER
from quantainer_client.connection import Connection
from quantainer_client.errors import QuantainerError
from quantainer_client.payload import SEALS, Payload

_ADD_SEALS, _GET_SEALS = 1033, 1034
_SEAL_SHRINK, _SEAL_WRITE = 2, 8


def dial(broker: Broker) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.settimeout(60)
    sock.connect(str(broker.socket))
    return sock


def ask(sock: socket.socket, message: dict[str, Any] | bytes, *fds: int) -> dict[str, Any]:
    """Send a message and return the reply; a descriptor that comes with it is in ``fd``."""
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    socket.send_fds(sock, [data], fds)
    packet, came, _, _ = socket.recv_fds(sock, 65536, 4)
    reply: dict[str, Any] = json.loads(packet)
    if came:
        reply["fd"] = came[0]
    return reply


def submission(**fields: Any) -> dict[str, Any]:
    pubs = [{"offset": 0, "length": len(BELL)}]
    return {"v": 1, "id": 1, "op": "submit", "pubs": pubs, "shots": 5, "wait": True, **fields}


@pytest.fixture
def sock(broker: Broker) -> Iterator[socket.socket]:
    with dial(broker) as connected:
        yield connected


@pytest.fixture
def unharmed(broker: Broker) -> Iterator[None]:
    """The broker answers afterwards and holds no descriptor more."""
    with Connection(str(broker.socket)) as connection:
        connection.run(BELL, shots=1)
        before = descriptors(broker)
        yield
        deadline = time.monotonic() + 10
        while descriptors(broker) > before + 6 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert descriptors(broker) <= before + 6
        assert sum(connection.run(BELL, shots=3).counts().values()) == 3


# Descriptors


def _smuggled() -> dict[str, int]:
    with tempfile.TemporaryFile(dir="/dev/shm") as file:
        file.write(BELL.encode())
        file.flush()
        tmpfs = os.dup(file.fileno())
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    found = {
        "socket": pair[0].detach(),
        "pidfd": os.pidfd_open(os.getpid()),
        "folder": os.open("/", os.O_RDONLY | os.O_DIRECTORY),
        "path": os.open("/etc/shadow", os.O_PATH),
        "file": os.open("/etc/passwd", os.O_RDONLY),
        "device": os.open("/dev/zero", os.O_RDONLY),
        "tmpfs": tmpfs,
        "memory": os.open("/proc/self/mem", os.O_RDONLY),
        "event": os.eventfd(0),
    }
    pair[1].close()
    return found


def test_no_descriptor_but_a_sealed_memfd_is_taken(sock: socket.socket, unharmed: None) -> None:
    for kind, fd in _smuggled().items():
        reply = ask(sock, submission(), fd)
        os.close(fd)
        assert reply["error"]["code"] == "bad_request", kind


def test_the_brokers_own_socket_sent_back_to_it_is_closed(
    sock: socket.socket, unharmed: None
) -> None:
    """A connection that holds itself would never close."""
    for _ in range(20):
        assert ask(sock, submission(), sock.fileno())["error"]["code"] == "bad_request"


def test_many_descriptors_at_once_are_closed_and_refused(
    sock: socket.socket, unharmed: None
) -> None:
    fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(250)]
    for _ in range(4):
        assert ask(sock, submission(), *fds)["error"]["code"] == "bad_request"
    for fd in fds:
        os.close(fd)


def _memfd(text: str = BELL) -> int:
    fd = os.memfd_create("attempt", os.MFD_ALLOW_SEALING)
    os.write(fd, text.encode())
    return fd


def test_a_memfd_that_may_change_is_refused(sock: socket.socket, unharmed: None) -> None:
    for missing in (1, 2, 4, 8):
        fd = _memfd()
        fcntl.fcntl(fd, _ADD_SEALS, SEALS & ~missing)
        assert ask(sock, submission(), fd)["error"]["code"] == "bad_request"
        os.close(fd)


def test_a_sealed_memfd_cannot_be_changed_by_who_sent_it(
    sock: socket.socket, unharmed: None
) -> None:
    """Not shrunk under the broker's mapping, and not written through an older mapping."""
    fd = _memfd()
    with mmap.mmap(fd, len(BELL)), pytest.raises(OSError, match="busy"):
        fcntl.fcntl(fd, _ADD_SEALS, SEALS)
    fcntl.fcntl(fd, _ADD_SEALS, SEALS)
    reply = ask(sock, submission(wait=False), fd)
    assert reply["ok"] is True
    for change in (
        lambda: os.ftruncate(fd, 0),
        lambda: os.pwrite(fd, b"x", 0),
        lambda: mmap.mmap(fd, len(BELL)),
        lambda: os.pwrite(os.open(f"/proc/self/fd/{fd}", os.O_RDWR), b"x", 0),
    ):
        with pytest.raises(PermissionError):
            change()
    os.close(fd)


def test_a_result_cannot_be_changed_by_who_got_it(sock: socket.socket) -> None:
    fd = _memfd()
    fcntl.fcntl(fd, _ADD_SEALS, SEALS)
    reply = ask(sock, submission(shots=4000), fd)
    os.close(fd)
    assert fcntl.fcntl(reply["fd"], _GET_SEALS) & SEALS == SEALS
    name = str(Path(f"/proc/self/fd/{reply['fd']}").readlink())
    assert name.startswith("/memfd:")  # and no file of the store
    os.close(reply["fd"])


# Bytes


def test_messages_that_are_none_are_answered(sock: socket.socket, unharmed: None) -> None:
    deep = b'{"v":1,"id":1,"op":"hello","client":' + b'{"a":' * 9_000 + b"1" + b"}" * 9_001
    for data in (
        b"\0",
        b"\xff\xfe{}",
        b"[]",
        b"null",
        b'{"v":1,"v":2,"id":1,"op":"hello"}',
        b'{"v":1,"id":1e400,"op":"hello"}',
        b'{"v":1,"id":' + b"9" * 60_000 + b',"op":"hello"}',
        b'{"v":1,"id":1,"op":"hello","client":"\\ud800"}',
        deep,
        b"[" * 65_536,
        b" " * 65_536,
        b"x" * 200_000,
    ):
        reply = ask(sock, data)
        assert reply["ok"] is False, data[:40]
        assert reply["error"]["code"] in ("bad_request", "too_large")


def _with_list(text: bytes, field: str) -> tuple[dict[str, Any], int]:
    """Return a submission of which one list lies in the payload as JSON text."""
    payload = Payload()
    place = {"offset": payload.append(BELL.encode()), "length": len(BELL)}
    listed = {"offset": payload.append(text), "length": len(text)}
    if field == "pubs":
        return submission(pubs=listed), payload.seal()
    if field == "names":
        parameters = {"names": listed, "offset": 0, "rows": 1}
        return submission(pubs=[{**place, "parameters": parameters}]), payload.seal()
    pub = {**place, "observables": [[["ZZ", 1.0]]], field: listed}
    return submission(pubs=[pub]), payload.seal()


@pytest.mark.parametrize("field", ["pubs", "observables", "pairs", "names"])
@pytest.mark.parametrize(
    "bomb",
    [b"[" * 2_000_000, b'{"a":' * 500_000, b"[" + b"[]," * 999_999 + b"[]]", b"\x1f\x8b" * 50],
    ids=["deep lists", "deep objects", "wide", "no text"],
)
def test_lists_in_the_payload_are_no_bombs(
    sock: socket.socket, unharmed: None, field: str, bomb: bytes
) -> None:
    message, fd = _with_list(bomb, field)
    reply = ask(sock, message, fd)
    os.close(fd)
    assert reply["ok"] is False
    assert reply["error"]["code"] != "internal", reply


def test_compressed_bombs_are_not_unpacked(sock: socket.socket, unharmed: None) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    for kind in (None, "qpy", "qasm3", "columnar"):
        payload = Payload()
        payload.append(bomb)
        fd = payload.seal()
        pubs = [{"offset": 0, "length": len(bomb), "format": kind}]
        reply = ask(sock, submission(pubs=pubs), fd)
        os.close(fd)
        assert reply["ok"] is False
        assert reply["error"]["code"] != "internal"


def test_huge_counts_hold_up_nobody(broker: Broker, sock: socket.socket) -> None:
    """A million different keys are made into text while others are answered."""
    wide = HEADER + "qreg q[28]; creg c[28]; h q; measure q -> c;"
    payload = Payload()
    payload.append(wide.encode())
    fd = payload.seal()
    pubs = [{"offset": 0, "length": len(wide)}]
    message = submission(pubs=pubs, shots=300_000, counts=True)
    socket.send_fds(sock, [json.dumps(message).encode()], [fd])
    os.close(fd)
    slowest = 0.0
    with dial(broker) as other:
        sock.settimeout(0.01)
        for _ in range(3000):
            started = time.monotonic()
            assert ask(other, b'{"v":1,"id":1,"op":"hello"}')["ok"] is True
            slowest = max(slowest, time.monotonic() - started)
            try:
                packet, came, _, _ = socket.recv_fds(sock, 65536, 4)
                break
            except TimeoutError:
                continue
        else:
            raise AssertionError("no reply came")
    reply = json.loads(packet)
    for descriptor in came:
        os.close(descriptor)
    assert reply["ok"] is True, reply
    assert slowest < 3


# Programs


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../../../../../etc/passwd", "/proc/self/environ", "/dev/stdin"]
)
@pytest.mark.parametrize("version", ["2.0", "3.0"])
def test_programs_include_no_file_of_the_host(broker: Broker, version: str, path: str) -> None:
    text = f'OPENQASM {version};\ninclude "{path}";\n'
    text += "qreg q[1]; creg c[1]; measure q -> c;" if version == "2.0" else "qubit q;"
    with Connection(str(broker.socket)) as connection:
        with pytest.raises(QuantainerError) as caught:
            connection.run(text, shots=1)
        assert "root:" not in str(caught.value)
        assert caught.value.code == "invalid_circuit"


def test_what_a_program_names_does_not_steer_the_operators_terminal(broker: Broker) -> None:
    escape = "\x1b]0;owned\x07\x1b[2J"
    with Connection(str(broker.socket)) as connection:
        for text in (f'OPENQASM 2.0; include "{escape}";', f"OPENQASM 3.0; qubit {escape};"):
            with pytest.raises(QuantainerError) as caught:
                connection.run(text, shots=1)
            assert "\x1b" not in caught.value.message
    for words in (("jobs", "list"), ("top", "--once"), ("status",)):
        assert "\x1b]" not in broker(*words).stdout
    assert "\x1b" not in broker.log()
