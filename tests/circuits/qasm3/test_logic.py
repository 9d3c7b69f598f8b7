"""Boolean logic computes what Python's integers compute."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from quantainer.circuits.qasm3 import logic
from quantainer.circuits.qasm3.logic import Bit, Function, Row


class Wire:
    """A bit whose value the functions do not know."""

    weight = 1

    def __init__(self, value: bool) -> None:
        self.value = value


def value_of(bit: Bit) -> bool:
    if isinstance(bit, bool):
        return bit
    if isinstance(bit, Wire):
        return bit.value
    assert isinstance(bit, Function)
    left = value_of(bit.left)
    if bit.right is None:
        return not left
    right = value_of(bit.right)
    return {"and": left and right, "or": left or right, "xor": left != right}[bit.op]


def hold(bit: Bit) -> Bit:
    """Hold every function in a wire of its own, as the reader does with large ones."""
    return bit if isinstance(bit, bool) else Wire(value_of(bit))


def integer(row: Row) -> int:
    return sum(value_of(bit) << place for place, bit in enumerate(row))


@st.composite
def numbers(draw: Any, width: int) -> tuple[int, Row]:
    value = draw(st.integers(0, (1 << width) - 1))
    known = draw(st.integers(0, (1 << width) - 1))
    row = tuple(
        bool(value >> place & 1) if known >> place & 1 else Wire(bool(value >> place & 1))
        for place in range(width)
    )
    return value, row


def signed(value: int, width: int) -> int:
    return value - (1 << width) if value >> (width - 1) else value


WIDTH = 7
MASK = (1 << WIDTH) - 1


@given(numbers(WIDTH), numbers(WIDTH))
def test_arithmetic(one: tuple[int, Row], other: tuple[int, Row]) -> None:
    (a, left), (b, right) = one, other
    assert integer(logic.add(left, right, hold)) == (a + b) & MASK
    assert integer(logic.multiply(left, right, hold)) == (a * b) & MASK
    assert integer(logic.negate(left, hold)) == -a & MASK
    quotient, rest = logic.divide(left, right, hold)
    assert (integer(quotient), integer(rest)) == ((a // b, a % b) if b else (MASK, a))
    assert integer(logic.popcount(left, WIDTH, hold)) == a.bit_count()


@given(numbers(WIDTH), numbers(WIDTH))
def test_comparison(one: tuple[int, Row], other: tuple[int, Row]) -> None:
    (a, left), (b, right) = one, other
    assert value_of(logic.equal(left, right)) == (a == b)
    assert value_of(logic.less(left, right, False, hold)) == (a < b)
    assert value_of(logic.less(left, right, True, hold)) == (signed(a, WIDTH) < signed(b, WIDTH))


@given(numbers(WIDTH), numbers(4), st.booleans())
def test_shifts(one: tuple[int, Row], by: tuple[int, Row], left: bool) -> None:
    (a, row), (distance, places) = one, by
    moved = logic.shift(row, places, left, False, False, hold)
    assert integer(moved) == (a << distance & MASK if left else a >> distance)
    turned = logic.shift(row, places, left, False, True, hold)
    turn = distance % WIDTH if left else -distance % WIDTH
    assert integer(turned) == (a << turn | a >> (WIDTH - turn)) & MASK


@given(numbers(WIDTH), st.booleans(), st.integers(1, 12))
def test_a_narrowed_row_keeps_its_value(one: tuple[int, Row], sign: bool, width: int) -> None:
    value, row = one
    wide = logic.resize(row, WIDTH + 9, sign)
    narrow = logic.resize(wide, logic.span(wide, sign), sign)
    assert logic.span(wide, sign) <= WIDTH + 1
    restored = integer(logic.resize(narrow, WIDTH + 9, sign))
    assert restored == (signed(value, WIDTH) if sign else value) & ((1 << WIDTH + 9) - 1)
    assert len(logic.resize(row, width, sign)) == width


@given(numbers(WIDTH), numbers(WIDTH), st.booleans())
def test_mux(one: tuple[int, Row], other: tuple[int, Row], choose: bool) -> None:
    for bit in (choose, Wire(choose)):
        assert integer(logic.mux(bit, one[1], other[1], hold)) == (one[0] if choose else other[0])


@given(numbers(WIDTH))
def test_simplification_keeps_known_rows_known(one: tuple[int, Row]) -> None:
    value, row = one
    known = logic.constant(value, WIDTH)
    assert logic.number(known) == value
    for bit in row:
        assert logic.both(bit, logic.invert(bit)) is False
        assert logic.either(bit, logic.invert(bit)) is True
        assert logic.flip(bit, bit) is False
        assert logic.flip(bit, logic.invert(bit)) is True
