"""Branches and loops of QIR programs on measured results."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qasm3.execution import basis_run
from test_qir import Q0, Q1, Q2, counts, gate, mz, program, result

from quantainer.circuits import measure, read
from quantainer.circuits.qir import values
from quantainer_client.errors import QuantainerError

# --- What differs between the ways of a branch, and between the rounds of a loop ------------------


def test_a_result_may_be_measured_again_under_a_condition_on_it() -> None:
    circuit = program(
        f"""{gate("x", Q0)}{mz(Q0, 0)}{result("a", 0)}
  br i1 %a, label %again, label %end
again:
  {gate("x", Q0)}{mz(Q0, 0)} br label %end
end:
  ret i64 0"""
    )
    assert counts(circuit, 20) == {"0": 20}


def test_a_result_measured_again_on_both_ways_is_what_the_bit_holds() -> None:
    circuit = program(
        f"""{gate("h", Q0)}{mz(Q0, 0)}{result("a", 0)}
  br i1 %a, label %yes, label %no
yes:
  {mz(Q0, 1)}{result("b", 1)} br label %join
no:
  {gate("x", Q0)}{mz(Q0, 1)}{result("c", 1)} br label %join
join:
  %d = phi i1 [ %b, %yes ], [ %c, %no ]
  br i1 %d, label %flip, label %end
flip:
  {gate("x", Q2)} br label %end
end:
  {mz(Q2, 2)} ret i64 0"""
    )
    assert set(counts(circuit)) == {"111", "110"}


def test_a_loop_that_depends_on_an_overwritten_result_is_refused() -> None:
    """%a is 1 in every round; the classical bit of it is 0 after the first."""
    body = f"""{gate("x", Q1)}{mz(Q1, 1)}{result("a", 1)}{gate("x", Q1)}{gate("x", Q0)}{mz(Q0, 0)}
  br label %head
head:
  {result("c", 0)} br i1 %c, label %body, label %done
body:
  br i1 %a, label %flip, label %next
flip:
  {gate("x", Q2)} br label %next
next:
  {mz(Q1, 1)}{gate("h", Q0)}{mz(Q0, 0)} br label %head
done:
  ret i64 0"""
    with pytest.raises(QuantainerError, match=r"^test.ll:\d+: .*which it measures again"):
        program(body)
    # It is no matter if the loop reads it anew.
    program(body.replace("br i1 %a", f"{result('e', 1)}br i1 %e"))


def test_a_loop_that_counts_its_rounds_is_written_out() -> None:
    """Three attempts, the first success of which ends them."""
    circuit = program(
        f"""br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %latch ]
  {gate("h", Q0)}{mz(Q0, 0)}{result("c", 0)}
  br i1 %c, label %done, label %latch
latch:
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, 3
  br i1 %more, label %head, label %done
done:
  ret i64 0"""
    )
    assert measure(circuit).gates == {"h": 3, "measure": 3}
    assert counts(circuit, 4000)["0"] < 4000 / 8 + 5 * 21  # five standard deviations


def test_a_qubit_released_on_one_way_is_in_use_on_the_other() -> None:
    circuit = program(
        f"""%q = call ptr @__quantum__rt__qubit_allocate()
  {gate("x", "ptr %q")}{mz(Q0, 0)}{result("a", 0)}
  br i1 %a, label %yes, label %no
yes:
  call void @__quantum__rt__qubit_release(ptr %q)
  br label %end
no:
  %p = call ptr @__quantum__rt__qubit_allocate()
  {mz("ptr %q", 1)}
  br label %end
end:
  ret i64 0"""
    )
    assert counts(circuit, 20) == {"10": 20}


def test_a_qubit_allocated_in_a_loop_is_new_in_every_round() -> None:
    circuit = program(
        f"""{gate("x", Q0)}{mz(Q0, 0)} br label %head
head:
  {result("c", 0)} br i1 %c, label %body, label %done
body:
  %q = call ptr @__quantum__rt__qubit_allocate()
  {mz("ptr %q", 1)}{gate("x", "ptr %q")}
  call void @__quantum__rt__qubit_release(ptr %q)
  {gate("h", Q0)}{mz(Q0, 0)}
  br label %head
done:
  ret i64 0"""
    )
    assert counts(circuit) == {"00": 400}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("define void @main()@0 = inte", "expected '{'"),
        ("define void @main() nounwind", "expected '{'"),
        ("@a = constant i8388608 0\n", "8388608 bits are too wide"),
    ],
)
def test_what_ends_early_or_is_too_wide_is_refused(text: str, message: str) -> None:
    with pytest.raises(QuantainerError, match=rf"^t.ll:1: .*{message}"):
        read(text.encode(), "t.ll", "qir")


# --- Known numbers --------------------------------------------------------------------------------


@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), *[st.integers(0, 2**n - 1)] * 2)))
def test_known_numbers_are_compared_and_combined_as_their_bits_are(drawn: tuple[int, ...]) -> None:
    size, left, right = drawn
    open_left = values.bits_of(left, size)  # as bits, which go through formulas
    for predicate in ("eq", "ne", *(sign + op for sign in "su" for op in ("lt", "le", "gt", "ge"))):
        known = values.compare(predicate, left, right, size)
        assert known is values.compare(predicate, open_left, right, size)
    for kind in ("and", "or", "xor"):
        assert values.combine(kind, left, right, size) == values.combine(
            kind, open_left, right, size
        )


# --- Programs drawn at random, on basis states, against what they say -----------------------------

_QUBITS, _RESULTS, _CELLS = 3, 3, 2
_LOOP = (3, 4)
"""Qubits of which loops are as many rounds long as they are 1: 2."""


@st.composite
def _steps(draw: Any, depth: int = 0) -> list[tuple[Any, ...]]:
    qubits, results = st.integers(0, _QUBITS - 1), st.integers(0, _RESULTS - 1)
    cells = st.integers(0, _CELLS - 1)
    plain = st.one_of(
        st.tuples(st.just("x"), qubits),
        st.tuples(st.just("cx"), st.permutations(range(_QUBITS)).map(lambda order: order[:2])),
        st.tuples(st.just("mz"), qubits, results),
        st.tuples(st.just("reset"), qubits),
        st.tuples(st.just("read"), results, cells),
        st.tuples(st.just("store"), st.booleans(), cells),
        st.tuples(st.just("xor"), results, cells),
    )
    deeper = plain
    if depth < 3:
        inner = _steps(depth + 1)
        deeper = st.one_of(
            plain,
            plain,
            st.tuples(st.just("if"), cells, inner, inner),
            st.tuples(st.just("if result"), results, inner, inner),
            *([st.tuples(st.just("while"), inner)] if depth < 2 else []),
            st.tuples(st.just("for"), st.integers(1, 3), results, inner),
        )
    return draw(st.lists(deeper, max_size=5))


class _Meaning:
    """What drawn steps do to bits that are all 0 at first."""

    def __init__(self) -> None:
        self.qubits = [0] * _QUBITS
        self.results = [0] * _RESULTS
        self.cells = [False] * _CELLS

    def run(self, steps: list[tuple[Any, ...]]) -> None:
        for kind, *rest in steps:
            if kind in ("if", "if result", "while", "for"):
                self._flow(kind, *rest)
            else:
                self._plain(kind, *rest)

    def _plain(self, kind: str, first: Any, second: int = 0) -> None:
        match kind:
            case "x":
                self.qubits[first] ^= 1
            case "cx":
                self.qubits[first[1]] ^= self.qubits[first[0]]
            case "reset":
                self.qubits[first] = 0
            case "mz":
                self.results[second] = self.qubits[first]
            case "read":
                self.cells[second] = bool(self.results[first])
            case "store":
                self.cells[second] = first
            case "xor":
                self.cells[second] ^= bool(self.results[first])

    def _flow(self, kind: str, *rest: Any) -> None:
        match kind, rest:
            case "if", (cell, yes, no):
                self.run(yes if self.cells[cell] else no)
            case "if result", (place, yes, no):
                self.run(yes if self.results[place] else no)
            case "while", (body,):
                for _ in _LOOP:
                    self.run(body)
            case "for", (rounds, place, body):
                for _ in range(rounds):
                    self.run(body)
                    if self.results[place]:
                        break


class _Writer:
    """Writes drawn steps as LLVM IR."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._names = 0

    def name(self) -> str:
        self._names += 1
        return f"v{self._names}"

    def write(self, steps: list[tuple[Any, ...]]) -> None:
        for kind, *rest in steps:
            getattr(self, f"_{kind.replace(' ', '_')}")(*rest)

    def _x(self, qubit: int) -> None:
        self.lines.append(gate("x", _pointer(qubit)))

    def _cx(self, pair: list[int]) -> None:
        self.lines.append(gate("cnot", *map(_pointer, pair)))

    def _mz(self, qubit: int, place: int) -> None:
        self.lines.append(mz(_pointer(qubit), place))

    def _reset(self, qubit: int) -> None:
        self.lines.append(gate("reset", _pointer(qubit)))

    def _value(self, place: int) -> str:
        name = self.name()
        self.lines.append(result(name, place))
        return name

    def _read(self, place: int, cell: int) -> None:
        self.lines.append(f"store i1 %{self._value(place)}, ptr %cell{cell}")

    def _store(self, value: bool, cell: int) -> None:
        self.lines.append(f"store i1 {str(value).lower()}, ptr %cell{cell}")

    def _load(self, cell: int) -> str:
        name = self.name()
        self.lines.append(f"%{name} = load i1, ptr %cell{cell}")
        return name

    def _xor(self, place: int, cell: int) -> None:
        old, new, sum_ = self._load(cell), self._value(place), self.name()
        self.lines.append(f"%{sum_} = xor i1 %{old}, %{new}\nstore i1 %{sum_}, ptr %cell{cell}")

    def _if(self, cell: int, yes: list[Any], no: list[Any]) -> None:
        self._branch(self._load(cell), yes, no)

    def _if_result(self, place: int, yes: list[Any], no: list[Any]) -> None:
        self._branch(self._value(place), yes, no)

    def _branch(self, condition: str, yes: list[Any], no: list[Any]) -> None:
        label = self.name()
        self.lines.append(f"br i1 %{condition}, label %{label}yes, label %{label}no\n{label}yes:")
        self.write(yes)
        self.lines.append(f"br label %{label}end\n{label}no:")
        self.write(no)
        self.lines.append(f"br label %{label}end\n{label}end:")

    def _while(self, body: list[Any]) -> None:
        """Two rounds: a loop goes on while a qubit is 1, which takes its value from the next."""
        first, second = _LOOP
        label = self.name()
        for qubit in _LOOP:
            self._reset(qubit)
            self._x(qubit)
        self._mz(first, _RESULTS)
        self.lines.append(f"br label %{label}head\n{label}head:")
        more = self._value(_RESULTS)
        self.lines.append(f"br i1 %{more}, label %{label}body, label %{label}end\n{label}body:")
        self.write(body)
        self.lines.append(gate("swap", _pointer(first), _pointer(second)))
        self._reset(second)
        self._mz(first, _RESULTS)
        self.lines.append(f"br label %{label}head\n{label}end:")

    def _for(self, rounds: int, place: int, body: list[Any]) -> None:
        """Known rounds, which end when a result is 1."""
        label = self.name()
        self.lines.append(
            f"br label %{label}start\n{label}start:\nbr label %{label}head\n{label}head:\n"
            f"%{label}i = phi i64 [ 0, %{label}start ], [ %{label}n, %{label}latch ]"
        )
        self.write(body)
        stop = self._value(place)
        self.lines.append(
            f"br i1 %{stop}, label %{label}end, label %{label}latch\n{label}latch:\n"
            f"%{label}n = add i64 %{label}i, 1\n%{label}m = icmp slt i64 %{label}n, {rounds}\n"
            f"br i1 %{label}m, label %{label}head, label %{label}end\n{label}end:"
        )


def _pointer(index: int) -> str:
    return f"ptr inttoptr (i64 {index} to ptr)"


@given(_steps())
@settings(max_examples=120, deadline=None)
def test_what_is_read_does_what_the_program_says(steps: list[tuple[Any, ...]]) -> None:
    writer = _Writer()
    for cell in range(_CELLS):
        writer.lines.append(f"%cell{cell} = alloca i1\nstore i1 false, ptr %cell{cell}")
    # Results are measured once at first, so that each has a value.
    writer.write([("mz", index % _QUBITS, index) for index in range(_RESULTS)])
    writer.write(steps)
    writer.lines.append("ret i64 0")
    try:
        circuit = program("\n".join(writer.lines))
    except QuantainerError as error:
        assert error.code in ("unsupported_circuit", "too_large")  # noqa: PT017
        return
    meaning = _Meaning()
    meaning.run(steps)
    found = basis_run(circuit.program)["results"]
    expected = sum(bit << place for place, bit in enumerate(meaning.results))
    assert found & ((1 << _RESULTS) - 1) == expected


@pytest.mark.parametrize("rounds", [1, 2])
@pytest.mark.parametrize("first", [0, 1])
def test_a_loop_that_a_result_lets_begin_and_a_count_ends(rounds: int, first: int) -> None:
    """Whether it goes on is known after a round, unlike whether it begins."""
    flip = gate("x", Q0) if first else ""
    circuit = program(
        f"""{flip}{mz(Q0, 0)}{result("a", 0)} br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %few = icmp ult i64 %i, {rounds}
  %more = and i1 %few, %a
  br i1 %more, label %body, label %done
body:
  {gate("x", Q1)}%next = add i64 %i, 1
  br label %head
done:
  {mz(Q1, 1)}ret i64 0"""
    )
    flips = rounds * first % 2
    assert counts(circuit, 20) == {f"{flips}{first}": 20}


def test_a_loop_that_a_result_lets_begin_and_nothing_ends_is_refused() -> None:
    with pytest.raises(QuantainerError, match=r"^test.ll"):
        program(
            f"""{gate("h", Q0)}{mz(Q0, 0)}{result("a", 0)} br label %head
head:
  %go = phi i1 [ %a, %entry ], [ true, %body ]
  br i1 %go, label %body, label %done
body:
  {gate("x", Q1)} br label %head
done:
  {mz(Q1, 1)}ret i64 0"""
        )
