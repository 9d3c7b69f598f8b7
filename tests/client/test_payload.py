"""Payloads: sealed memfds that cannot change, and checks of those that could."""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import tempfile
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantainer_client import payload as payloads
from quantainer_client.errors import QuantainerError
from quantainer_client.payload import Payload, Sealed, map_payload, map_sealed, part, resolve_list


def code_of(action: Callable[[], object]) -> str:
    """Return the code with which an action is refused; any other exception fails the test."""
    try:
        action()
    except QuantainerError as error:
        return error.code
    return "accepted"


def sealed(data: bytes) -> int:
    payload = Payload()
    payload.append(data)
    return payload.seal()


@given(st.lists(st.binary(max_size=50), max_size=8))
def test_parts_lie_where_they_were_put_at_multiples_of_eight(parts: list[bytes]) -> None:
    payload = Payload()
    offsets = [payload.append(data) for data in parts]
    view = map_sealed(payload.seal(), 10_000)
    assert len(view) == payload.size
    for offset, data in zip(offsets, parts, strict=True):
        assert offset % 8 == 0
        assert bytes(view[offset : offset + len(data)]) == data


def test_a_sealed_payload_cannot_change() -> None:
    fd = sealed(b"x" * 10)
    seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    assert seals & payloads.SEALS == payloads.SEALS
    with pytest.raises(PermissionError):
        os.write(fd, b"y")
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 5)
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 500)
    with pytest.raises(PermissionError):
        mmap.mmap(fd, 10)
    os.close(fd)


def test_seals_are_required_and_the_descriptor_is_closed() -> None:
    for seals in (0, fcntl.F_SEAL_SHRINK, payloads.SEALS & ~fcntl.F_SEAL_WRITE):
        fd = os.memfd_create("x", os.MFD_ALLOW_SEALING)
        os.write(fd, b"abc")
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        with pytest.raises(QuantainerError, match="lacks seals") as caught:
            map_sealed(fd, 100)
        assert caught.value.code == "bad_request"
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(fd)


def test_other_files_are_refused() -> None:
    reader, writer = os.pipe()
    os.close(writer)
    with tempfile.TemporaryFile() as file:
        for fd in (reader, os.dup(file.fileno()), os.open("/dev/null", os.O_RDONLY)):
            with pytest.raises(QuantainerError) as caught:
                map_sealed(fd, 100)
            assert caught.value.code == "bad_request"


def test_a_payload_over_the_limit_is_refused() -> None:
    with pytest.raises(QuantainerError) as caught:
        map_sealed(sealed(b"x" * 101), 100)
    assert (caught.value.code, caught.value.limit, caught.value.needed) == ("too_large", 100, 101)


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 1_000_000])
def test_payloads_of_every_size_are_mapped_read_only(size: int) -> None:
    data = os.urandom(size)
    view = map_payload(sealed(data))
    assert view == data
    assert view.readonly


def test_memfd_create_is_found_where_python_does_not_name_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    assert map_sealed(sealed(b"abc"), 10) == b"abc"


def test_a_system_without_memfds_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr(payloads, "_SYSCALL", {})
    with pytest.raises(QuantainerError, match="memfd_create") as caught:
        sealed(b"abc")
    assert caught.value.code == "broker_unavailable"


def test_a_payload_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(QuantainerError, match="No space") as caught:
        sealed(b"abc")
    assert caught.value.code == "out_of_memory"


def test_small_data_is_copied_when_it_is_appended() -> None:
    payload = Payload()
    data = np.array([1.0, 2.0])
    payload.append(data)
    data[0] = 5.0
    assert np.frombuffer(map_sealed(payload.seal(), 100)).tolist() == [1.0, 2.0]


def test_a_sealed_payload_closes_its_descriptor() -> None:
    payload = Payload()
    payload.append(b"x")
    kept = Sealed(payload)
    fd = kept.fd
    os.fstat(fd)
    del kept
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)


@pytest.mark.parametrize(
    ("offset", "length"),
    [(-1, 1), (0, 11), (11, 0), (5, 6), (0, -1), ("0", 1), (0.0, 1), (True, 1), (None, 1)],
)
def test_parts_outside_are_refused_by_name(offset: object, length: object) -> None:
    with pytest.raises(QuantainerError, match="the circuit"):
        part(memoryview(bytes(10)), offset, length, "the circuit")


def test_a_list_may_lie_in_the_payload() -> None:
    payload = Payload()
    payload.append(b"abc")
    place = payload.append_json([1, "two", {"three": 3}])
    view = map_sealed(payload.seal(), 1000)
    assert resolve_list(place, view, "pubs") == [1, "two", {"three": 3}]
    assert resolve_list([4], view, "pubs") == [4]


@given(
    st.dictionaries(st.sampled_from(["offset", "length"]), st.integers(-5, 30) | st.text())
    | st.text()
    | st.none(),
    st.binary(max_size=20) | st.lists(st.integers()).map(lambda x: json.dumps(x).encode()),
)
def test_untrusted_places_raise_nothing_but_quantainer_errors(value: object, data: bytes) -> None:
    action = partial(resolve_list, value, memoryview(data), "pubs")
    assert code_of(action) in ("accepted", "bad_request")
