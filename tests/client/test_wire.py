"""Messages and packets: what is sent arrives, what is malformed is refused and leaks nothing."""

from __future__ import annotations

import array
import enum
import json
import os
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantainer_client import wire
from quantainer_client.errors import QuantainerError

Pair = tuple[socket.socket, socket.socket]

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.fixture
def pair() -> Iterator[Pair]:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    left.settimeout(5)
    right.settimeout(5)
    with left, right:
        yield left, right


def code_of(action: Callable[[], object]) -> str:
    """Return the code with which an action is refused; any other exception fails the test."""
    try:
        action()
    except QuantainerError as error:
        return error.code
    return "accepted"


def open_descriptors() -> int:
    """Return how many there are, the one that reads the folder included."""
    return len(list(Path("/proc/self/fd").iterdir()))


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), values))
def test_a_request_survives_the_round_trip(fields: dict[str, object]) -> None:
    fields = {key: value for key, value in fields.items() if key not in ("v", "id", "op")}
    message = wire.decode_request(wire.encode_request(7, "hello", fields))
    assert message == {"v": 1, "id": 7, "op": "hello", **fields}


@given(st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode()))
def test_decoding_untrusted_bytes_raises_nothing_but_quantainer_errors(packet: bytes) -> None:
    for decode in (wire.decode, wire.decode_request, wire.decode_reply):
        assert code_of(partial(decode, packet)) in ("accepted", "bad_request", "too_large")


@pytest.mark.parametrize(
    ("packet", "word"),
    [
        (b"", "JSON"),
        (b"[1]", "object"),
        (b"\xff\xfe", "JSON"),
        (b'{"v": 2, "id": 1, "op": "hello"}', "version 2"),
        (b'{"id": 1, "op": "hello"}', "version None"),
        (b'{"v": true, "id": 1, "op": "hello"}', "version True"),
        (b'{"v": 1, "op": "hello"}', "id"),
        (b'{"v": 1, "id": true, "op": "hello"}', "id"),
        (b'{"v": 1, "id": -1, "op": "hello"}', "id"),
        (b'{"v": 1, "id": 9223372036854775808, "op": "hello"}', "id"),
        (b'{"v": 1, "id": 1}', "op"),
        (b'{"v": 1, "id": 1, "op": 3}', "op"),
        (b'{"v": 1, "id": 1, "op": "hello", "x": NaN}', "NaN"),
        (b'{"v": 1, "id": 1, "op": "hello", "x": 1e999}', "range"),
        (b'{"v": 1, "id": 1, "op": "\\ud800"}', "JSON"),
        (b'{"v": 1, "id": 1, "op": "hello", "x": ' + b"9" * 60_000 + b"}", "JSON"),
        (b"[" * 60_000, "nested"),
        (b'{"a":' * 10_000, "nested"),
    ],
)
def test_malformed_requests_are_refused_by_name(packet: bytes, word: str) -> None:
    with pytest.raises(QuantainerError, match=word) as caught:
        wire.decode_request(packet)
    assert caught.value.code == "bad_request"


def test_a_message_over_the_limit_is_refused_on_both_sides() -> None:
    with pytest.raises(QuantainerError) as caught:
        wire.encode({"x": "a" * wire.MAX_MESSAGE})
    assert (caught.value.code, caught.value.limit) == ("too_large", 65_536)
    with pytest.raises(QuantainerError) as caught:
        wire.decode(b" " * (wire.MAX_MESSAGE + 1))
    assert caught.value.code == "too_large"


def test_what_simulators_return_becomes_json() -> None:
    class Status(enum.Enum):
        DONE = "DONE"

    fields = {
        "count": np.int32(5),
        "mean": np.float64(0.5),
        "list": np.array([1, 2]),
        "amplitude": 1 + 2j,
        "complex": np.complex128(3 - 1j),
        "status": Status.DONE,
        "nan": float("nan"),
        "worse": np.float64("inf"),
        "flag": np.bool_(True),
        "set": {2, 1},
    }
    reply = wire.decode_reply(wire.encode_reply(1, {"metadata": fields}))
    assert reply["metadata"] == {
        "count": 5,
        "mean": 0.5,
        "list": [1, 2],
        "amplitude": [1.0, 2.0],
        "complex": [3.0, -1.0],
        "status": "DONE",
        "nan": None,
        "worse": None,
        "flag": True,
        "set": [1, 2],
    }


def test_what_is_no_json_at_all_is_refused() -> None:
    circle: list[object] = []
    circle.append(circle)
    for value in (object(), circle, {"x": float("nan"), "y": object()}):
        with pytest.raises(QuantainerError) as caught:
            wire.encode({"x": value})
        assert caught.value.code == "bad_request"


def test_an_error_too_large_for_a_message_is_cut() -> None:
    error = QuantainerError("internal", "a" * 100_000, hint="b" * 100_000)
    reply = wire.decode_reply(wire.encode_error(3, error))
    assert reply["error"]["code"] == "internal"
    assert len(reply["error"]["message"]) == 2000


def test_errors_survive_the_round_trip() -> None:
    error = QuantainerError("too_many_qubits", "Too wide.", limit=5, needed=6, hint="Less.")
    reply = wire.decode_reply(wire.encode_error(None, error))
    assert QuantainerError.from_dict(reply["error"]).to_dict() == error.to_dict()


def test_a_packet_carries_one_descriptor(pair: Pair) -> None:
    left, right = pair
    reader, writer = os.pipe()
    wire.send(left, b"hello", writer)
    packet, fd = wire.receive(right)
    assert packet == b"hello"
    assert fd is not None
    assert os.get_inheritable(fd) is False
    os.write(fd, b"x")
    assert os.read(reader, 1) == b"x"
    for descriptor in (reader, writer, fd):
        os.close(descriptor)


def test_two_descriptors_are_refused_and_closed(pair: Pair) -> None:
    left, right = pair
    fds = list(os.pipe())
    before = open_descriptors()
    for number in (2, 3, 8, 100):
        rights = array.array("i", (fds * 50)[:number])
        left.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        with pytest.raises(QuantainerError) as caught:
            wire.receive(right)
        assert caught.value.code == "bad_request"
        assert open_descriptors() == before
    for fd in fds:
        os.close(fd)


def test_a_cut_packet_is_refused_and_its_descriptor_closed(pair: Pair) -> None:
    left, right = pair
    fd = os.open(os.devnull, os.O_RDONLY)
    before = open_descriptors()
    wire.send(left, b"x" * (wire.MAX_MESSAGE + 1), fd)
    with pytest.raises(QuantainerError) as caught:
        wire.receive(right)
    assert (caught.value.code, caught.value.limit) == ("too_large", wire.MAX_MESSAGE)
    assert open_descriptors() == before
    os.close(fd)


def test_an_empty_packet_is_the_end_even_with_a_descriptor(pair: Pair) -> None:
    left, right = pair
    fd = os.open(os.devnull, os.O_RDONLY)
    before = open_descriptors()
    wire.send(left, b"", fd)
    assert wire.receive(right) == (b"", None)
    assert open_descriptors() == before
    os.close(fd)
    left.close()
    assert wire.receive(right) == (b"", None)


def test_the_largest_message_fits_into_one_packet(pair: Pair) -> None:
    left, right = pair
    wire.send(left, b"x" * wire.MAX_MESSAGE)
    packet, fd = wire.receive(right)
    assert len(packet) == wire.MAX_MESSAGE
    assert fd is None


def test_sending_to_one_who_is_gone_raises_and_kills_nothing(pair: Pair) -> None:
    left, right = pair
    right.close()
    with pytest.raises(OSError, match="pipe"):
        wire.send(left, b"x")
