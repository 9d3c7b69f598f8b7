"""The device protocol under hostile hands: no message kills the broker or costs it a descriptor."""

from __future__ import annotations

import array
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.broker import Broker
from programs import BELL, FLIPPED
from quantainer_client import wire
from quantainer_client.connection import Connection
from quantainer_client.payload import Payload

MANY = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def dial(broker: Broker) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.settimeout(20)
    sock.connect(str(broker.socket))
    return sock


@pytest.fixture
def sock(broker: Broker) -> Iterator[socket.socket]:
    with dial(broker) as open_socket:
        yield open_socket


def answer(sock: socket.socket) -> dict[str, Any]:
    packet, fd = wire.receive(sock)
    if fd is not None:
        os.close(fd)
    reply: dict[str, Any] = json.loads(packet)
    return reply


def ask(sock: socket.socket, message: Any, *fds: int) -> dict[str, Any]:
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([data], rights)
    return answer(sock)


def bell_request(**fields: Any) -> tuple[dict[str, Any], int]:
    payload = Payload()
    pubs = [{"offset": payload.append(BELL.encode()), "length": len(BELL)}]
    message = {"v": 1, "id": 1, "op": "submit", "pubs": pubs, "shots": 5, "wait": True, **fields}
    return message, payload.seal()


def descriptors(broker: Broker) -> int:
    assert broker.process is not None
    return len(list(Path(f"/proc/{broker.process.pid}/fd").iterdir()))


@pytest.fixture
def no_leak(broker: Broker) -> Iterator[None]:
    with Connection(str(broker.socket)) as connection:
        for _ in range(70):  # more than the results that the broker holds open for another asking
            connection.run(FLIPPED, shots=1)
        before = descriptors(broker)
        yield
        deadline = time.monotonic() + 10
        while descriptors(broker) > before + 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert descriptors(broker) <= before + 4
        assert connection.run(FLIPPED, shots=3).counts() == {"01": 3}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
OPS = ["hello", "backends", "wait", "result", "cancel", "jobs", "status", "lease.list", "nonsense"]
FIELDS = ["job", "timeout", "counts", "name", "all", "limit", "client", "shots", "pubs", "backend"]


@MANY
@given(data=st.binary(min_size=1, max_size=300))
def test_any_bytes_are_answered(broker: Broker, no_leak: None, data: bytes) -> None:
    with dial(broker) as sock:
        reply = ask(sock, data)
        assert reply["ok"] is False
        assert reply["error"]["code"] in ("bad_request", "unknown_op")
        assert ask(sock, {"v": 1, "id": 2, "op": "hello"})["ok"] is True


@MANY
@given(
    op=st.sampled_from(OPS),
    fields=st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=4),
)
def test_any_fields_are_answered(
    broker: Broker, no_leak: None, op: str, fields: dict[str, Any]
) -> None:
    if op == "wait":
        fields.pop("timeout", None)
    with dial(broker) as sock:
        reply = ask(sock, {"v": 1, "id": 2, "op": op, **fields})
        assert isinstance(reply["ok"], bool)
        assert ask(sock, {"v": 1, "id": 3, "op": "hello"})["ok"] is True


@MANY
@given(fields=st.dictionaries(st.sampled_from([*FIELDS, "options", "seed"]), json_values))
def test_any_submission_is_answered(broker: Broker, no_leak: None, fields: dict[str, Any]) -> None:
    message, fd = bell_request(**fields)
    try:
        with dial(broker) as sock:
            reply = ask(sock, message, fd)
            assert isinstance(reply["ok"], bool)
            if not reply["ok"]:
                assert reply["error"]["code"] != "internal"
    finally:
        os.close(fd)


@MANY
@given(data=st.binary(max_size=400), kind=st.sampled_from([None, "columnar", "qpy", "qasm2"]))
def test_any_circuit_is_answered(
    broker: Broker, no_leak: None, data: bytes, kind: str | None
) -> None:
    payload = Payload()
    prefix = {"columnar": b"QCOL\x01\x00\x00\x00", "qpy": b"QISKIT"}.get(kind or "", b"")
    data = prefix + data
    payload.append(data or b"\0")
    fd = payload.seal()
    pub = {"offset": 0, "length": len(data), "format": kind}
    message = {"v": 1, "id": 1, "op": "submit", "pubs": [pub], "shots": 5, "wait": True}
    try:
        with dial(broker) as sock:
            reply = ask(sock, message, fd)
            assert reply["ok"] is False
            assert reply["error"]["code"] != "internal"
    finally:
        os.close(fd)


# Descriptors


def test_two_descriptors_are_refused(sock: socket.socket, no_leak: None) -> None:
    message, fd = bell_request()
    reply = ask(sock, message, fd, fd)
    assert reply["error"]["code"] == "bad_request"
    assert ask(sock, message, fd)["ok"] is True
    os.close(fd)


def test_a_descriptor_nobody_wants_is_closed(sock: socket.socket, no_leak: None) -> None:
    with open("/dev/null", "rb") as null:  # noqa: PTH123
        for number in range(50):
            reply = ask(sock, {"v": 1, "id": number, "op": "hello"}, null.fileno())
            assert reply["ok"] is True


@pytest.mark.parametrize("missing", [1, 2, 4, 8])
def test_an_unsealed_payload_is_refused(sock: socket.socket, no_leak: None, missing: int) -> None:
    message, _ = bell_request()
    fd = os.memfd_create("open", os.MFD_ALLOW_SEALING)
    os.pwrite(fd, BELL.encode(), 0)
    fcntl.fcntl(fd, 1033, 0xF & ~missing)
    reply = ask(sock, message, fd)
    assert reply["error"]["code"] == "bad_request"
    assert "seal" in reply["error"]["message"]
    os.close(fd)


def test_other_files_are_no_payload(sock: socket.socket, no_leak: None) -> None:
    message, sealed = bell_request()
    os.close(sealed)
    reader, writer = os.pipe()
    for fd in (reader, os.open("/etc/passwd", os.O_RDONLY), os.open("/", os.O_RDONLY)):
        assert ask(sock, message, fd)["error"]["code"] == "bad_request"
        os.close(fd)
    os.close(writer)


def test_a_submission_without_payload_is_refused(sock: socket.socket) -> None:
    message, fd = bell_request()
    os.close(fd)
    assert ask(sock, message)["error"]["code"] == "bad_request"


# Sizes and manners


def test_too_large_a_message_is_refused(sock: socket.socket, no_leak: None) -> None:
    reply = ask(sock, b" " * 70_000)
    assert reply["error"]["code"] == "too_large"
    assert ask(sock, {"v": 1, "id": 2, "op": "hello"})["ok"] is True


def test_too_large_a_payload_is_refused(broker: Broker, sock: socket.socket) -> None:
    message, sealed = bell_request()
    os.close(sealed)
    fd = os.memfd_create("large", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, 65 * 1024**2)
    fcntl.fcntl(fd, 1033, 0xF)
    reply = ask(sock, message, fd)
    os.close(fd)
    assert reply["error"]["code"] == "too_large"
    assert reply["error"]["limit"] == 64 * 1024**2
    assert reply["error"]["needed"] == 65 * 1024**2


def test_requests_may_be_sent_ahead(sock: socket.socket) -> None:
    for number in range(40):
        sock.send(json.dumps({"v": 1, "id": number, "op": "hello"}).encode())
    assert [answer(sock)["id"] for _ in range(40)] == list(range(40))


def test_half_open_callers_get_their_answers(broker: Broker, no_leak: None) -> None:
    with dial(broker) as sock:
        message, fd = bell_request()
        socket.send_fds(sock, [json.dumps(message).encode()], [fd])
        os.close(fd)
        sock.shutdown(socket.SHUT_WR)
        assert answer(sock)["ok"] is True
        assert sock.recv(10) == b""


def test_callers_that_leave_do_not_matter(broker: Broker, no_leak: None) -> None:
    for _ in range(30):
        sock = dial(broker)
        message, fd = bell_request()
        socket.send_fds(sock, [json.dumps(message).encode()], [fd])
        os.close(fd)
        sock.close()


def test_a_slow_reader_holds_up_nobody(broker: Broker, no_leak: None) -> None:
    with dial(broker) as sock:
        sock.settimeout(0.2)
        with suppress(TimeoutError):
            for number in range(5000):
                sock.send(json.dumps({"v": 1, "id": number, "op": "hello"}).encode())
        with dial(broker) as other:
            started = time.monotonic()
            assert ask(other, {"v": 1, "id": 1, "op": "hello"})["ok"] is True
            assert time.monotonic() - started < 2


def test_connections_are_bounded(broker: Broker, no_leak: None) -> None:
    socks = [dial(broker) for _ in range(80)]
    try:
        replies = [ask(sock, {"v": 1, "id": 1, "op": "hello"}) for sock in socks]
        refused = [reply for reply in replies if not reply["ok"]]
        assert refused
        assert {reply["error"]["code"] for reply in refused} == {"queue_full"}
        assert sum(reply["ok"] for reply in replies) >= 60
    finally:
        for sock in socks:
            sock.close()


def test_ids_are_echoed_even_in_refusals(sock: socket.socket) -> None:
    assert ask(sock, {"v": 1, "id": 77, "op": "nonsense"})["id"] == 77
    assert ask(sock, {"v": 2, "id": 78, "op": "hello"})["ok"] is False
    assert ask(sock, b"{")["id"] is None


def test_numbers_beyond_measure(sock: socket.socket) -> None:
    huge = '{"v":1,"id":1,"op":"wait","job":"x","timeout":1e999}'
    assert ask(sock, huge.encode())["error"]["code"] == "bad_request"
    digits = '{"v":1,"id":1,"op":"submit","shots":' + "9" * 5000 + "}"
    assert ask(sock, digits.encode())["error"]["code"] == "bad_request"
    nested = '{"v":1,"id":1,"op":"hello","client":' + "[" * 30_000 + "]" * 30_000 + "}"
    assert ask(sock, nested.encode())["error"]["code"] == "bad_request"


def test_a_message_that_grows_on_its_way_is_served(sock: socket.socket) -> None:
    """Short numbers have long forms: 64 KiB may become more than a packet holds."""
    terms = [["ZZ", 1e9]] * 5900
    message, fd = bell_request()
    message["pubs"][0]["observables"] = [terms]
    text = json.dumps(message).replace("1000000000.0", "1e9").replace(" ", "").encode()
    assert len(text) <= wire.MAX_MESSAGE
    reply = ask(sock, text, fd)
    os.close(fd)
    assert reply["ok"] is True, reply
