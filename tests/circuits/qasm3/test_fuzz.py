"""Whatever is read: a circuit or a refusal with its place comes out, and soon."""

from __future__ import annotations

import re
import time
from typing import Any

from features import KEPT, REFUSED, RUNS, UNITARIES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantainer.circuits.options import ReadOptions
from quantainer.circuits.qasm3 import export, read
from quantainer.circuits.qasm3.lexer import KEYWORDS
from quantainer_client.errors import QuantainerError

SECONDS = 20
OPTIONS = ReadOptions(
    max_gates=2000, max_iterations=2000, max_qubits=50, max_clbits=500, max_nesting=40
)
PROGRAMS = [
    *(text for text, *_ in RUNS.values()),
    *(text for text, *_ in KEPT.values()),
    *(text for text, *_ in REFUSED.values()),
    *(text for pair in UNITARIES.values() for text in pair),
]
WORDS = [
    *sorted(KEYWORDS),
    *("x", "cx", "rx", "q", "c", "i", "f", "pi", "popcount", "sizeof", "rotl", "sqrt", "$0", "_"),
    *("0", "1", "2", "3", "7", "-1", "2.5", "1e400", "99999999999999999999", '"01"', "10ns", "2im"),
    *("[", "]", "{", "}", "(", ")", ";", ";", ";", ",", ":", "=", "+", "-", "*", "/", "%", "**"),
    *("<<", ">>", "==", "<", "&&", "||", "!", "~", "&", "|", "^", "++", "->", "@", "#dim", "+="),
]


def survives(text: str | bytes) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    start = time.monotonic()
    try:
        program = read(data, "t", OPTIONS).program
    except QuantainerError as error:
        known = ("invalid_circuit", "unsupported_circuit", "too_large")
        assert error.code in known, error  # noqa: PT017
        assert re.match(r"t(:\d+:\d+)?: ", error.message), error.message  # noqa: PT017
    else:  # what was read can be written and read again
        again = read(export(program).encode(), "again").program
        assert again.num_qubits == program.num_qubits
    assert time.monotonic() - start < SECONDS


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=40))
def test_token_soup(words: list[str]) -> None:
    survives(" ".join(words))


@st.composite
def changed_programs(draw: Any) -> str:
    """A right program in which a few tokens are dropped, doubled, exchanged or replaced."""
    tokens = re.findall(r"\w+|\s+|.", draw(st.sampled_from(PROGRAMS)))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(tokens) - 1))
        other = draw(st.integers(0, len(tokens) - 1))
        change = draw(st.integers(0, 3))
        if change == 0:
            tokens[place] = ""
        elif change == 1:
            tokens[place] *= 2
        elif change == 2:
            tokens[place], tokens[other] = tokens[other], tokens[place]
        else:
            tokens[place] = draw(st.sampled_from(WORDS))
    return 'include "stdgates.inc"; ' + "".join(tokens)


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changed_programs())
def test_changed_programs(text: str) -> None:
    survives(text)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(PROGRAMS), st.sampled_from(PROGRAMS))
def test_two_programs_in_one(one: str, other: str) -> None:
    survives(f'include "stdgates.inc"; {one}\n{other}')


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_bytes(data: bytes) -> None:
    survives(data)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=100))
def test_text(text: str) -> None:
    survives(text)
