"""The same program in every format has the same facts, meaning and order of bits."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from drawn_program import Drawn
from hypothesis import HealthCheck, given, settings
from writers import drawn, written

from backends.exact import distribution
from quantainer.circuits import measure, read

pytest.importorskip("cirq", reason="Cirq writes the programs")
pytest.importorskip("pyqir", reason="pyqir writes the bitcode")

_CHECKS = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}


def _facts(data: bytes, kind: str) -> tuple[dict[str, Any], dict[int, float]]:
    circuit = read(data)
    facts = asdict(measure(circuit))
    assert facts.pop("format") == kind
    del facts["registers"]  # Cirq, Stim and QIR name them for themselves (docs/formats.md)
    return facts, distribution(circuit.program)


def _agree(program: Drawn) -> None:
    first: Any = None
    for writer, kind, data in written(program):
        facts, found = _facts(data, kind)
        if first is None:
            first = facts, found
            continue
        assert facts == first[0], (writer, kind, data)
        assert found.keys() == first[1].keys(), (writer, kind, data)
        assert found == pytest.approx(first[1], abs=1e-9), (writer, kind, data)


@given(drawn())
@settings(max_examples=40, **_CHECKS)
def test_any_program(program: Drawn) -> None:
    _agree(program)


@given(drawn(in_order=True))
@settings(max_examples=40, **_CHECKS)
def test_a_program_that_measures_each_bit_once_in_order(program: Drawn) -> None:
    _agree(program)


@given(drawn(in_order=True, clifford=True))
@settings(max_examples=40, **_CHECKS)
def test_a_program_of_clifford_gates(program: Drawn) -> None:
    _agree(program)
