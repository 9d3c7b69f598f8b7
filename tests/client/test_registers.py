"""Registers: counts of bit-packed shots against counting bit by bit."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantainer_client import registers

columns = st.integers(0, 700).flatmap(
    lambda shots: st.lists(
        st.integers(0, 150).flatmap(
            lambda bits: st.tuples(
                st.just(bits),
                st.binary(min_size=shots, max_size=shots).map(
                    lambda drawn: [(byte & 3) * ((1 << bits) - 1) // 3 for byte in drawn]
                ),
            )
        ),
        min_size=1,
        max_size=3,
    )
)


def pack(values: list[int], bits: int) -> bytes:
    return b"".join(value.to_bytes(registers.width(bits), "little") for value in values)


@given(columns)
def test_counts_agree_with_counting_bit_by_bit(values: list[tuple[int, list[int]]]) -> None:
    shots = len(values[0][1])
    packed = [(bits, memoryview(pack(shot_values, bits))) for bits, shot_values in values]
    expected = []
    for shot in range(shots):
        parts = [
            "".join(str(row[shot] >> bit & 1) for bit in reversed(range(bits)))
            for bits, row in reversed(values)
            if bits
        ]
        expected.append(" ".join(parts))
    assert registers.count(packed, shots) == Counter(expected)
    assert registers.bitstrings(packed, shots) == expected
    for (bits, data), (_, row) in zip(packed, values, strict=True):
        if bits:
            assert registers.integers(data, bits) == row


def test_bit_zero_is_rightmost_and_the_last_register_first() -> None:
    assert registers.count([(2, b"\x01")], 1) == {"01": 1}
    assert registers.count([(1, b"\x01"), (3, b"\x02")], 1) == {"010 1": 1}


def test_wide_registers_stay_exact() -> None:
    value = 2**300 + 1
    assert registers.count([(301, pack([value], 301))], 1) == {f"{value:0301b}": 1}
    assert registers.integers(pack([value], 301), 301) == [value]


def test_padding_bits_do_not_count() -> None:
    assert registers.count([(3, b"\xfd\x05")], 2) == {"101": 2}


@pytest.mark.parametrize("shots", [0, 5])
def test_no_bits_are_one_empty_outcome(shots: int) -> None:
    assert registers.count([(0, b"")], shots) == ({"": 5} if shots else {})
    assert registers.bitstrings([], shots) == [""] * shots
