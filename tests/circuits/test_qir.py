"""QIR programs are followed: known values are carried out, measured ones become control flow."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import Operator

from quantainer.circuits import Circuit, ReadOptions, measure, read
from quantainer_client.errors import QuantainerError

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"

HEAD = """\
%Qubit = type opaque
@pair = internal constant [2 x ptr] [ptr null, ptr inttoptr (i64 1 to ptr)]
declare void @__quantum__qis__h__body(ptr)
"""
TAIL = 'attributes #0 = { "entry_point" "qir_profiles"="adaptive" "required_num_qubits"="3" }\n'
Q0, Q1, Q2 = "ptr null", "ptr inttoptr (i64 1 to ptr)", "ptr inttoptr (i64 2 to ptr)"


def program(body: str, more: str = "") -> Circuit:
    text = f"{HEAD}{more}\ndefine i64 @main() #0 {{\nentry:\n{body}\n}}\n{TAIL}"
    return read(text.encode(), "test.ll")


def gate(name: str, *qubits: str) -> str:
    return f"call void @__quantum__qis__{name}__body({', '.join(qubits)})\n"


def mz(qubit: str, result: int) -> str:
    return gate("mz", qubit, f"ptr inttoptr (i64 {result} to ptr)")


def result(name: str, index: int) -> str:
    return f"%{name} = call i1 @__quantum__rt__read_result(ptr inttoptr (i64 {index} to ptr))\n"


def counts(circuit: Circuit, shots: int = 400) -> Counter[str]:
    from qiskit_aer import AerSimulator

    run = AerSimulator().run(circuit.program, shots=shots, seed_simulator=7)
    return Counter(run.result().get_counts())


# --- The corpus -----------------------------------------------------------------------------------


def corpus(path: str) -> Circuit:
    file = CORPUS / path
    if not file.exists():
        pytest.skip(f"the corpus is absent: {file}")
    return read(file.read_bytes(), file.name)


ADAPTIVE = "microsoft+qdk/source/qdk_package/tests-integration/resources/adaptive/output/"


def test_teleportation_moves_the_state() -> None:
    # The message is |-⟩; the receiver measures it in the X basis, so result 2 is 1.
    assert {key[0] for key in counts(corpus(ADAPTIVE + "SampleTeleport.ll"))} == {"1"}


def test_repeat_until_success_repeats_until_success() -> None:
    circuit = corpus(ADAPTIVE + "RUS.ll")
    assert "while_loop" in circuit.program.count_ops()
    facts = measure(circuit)
    assert (facts.depth, facts.dynamic) == (None, True)
    assert {key[-1] for key in counts(circuit)} == {"0"}


def test_branches_inside_of_branches() -> None:
    # X on qubits 0 and 1 makes the first three results 1, 1, 0; the rest follows from them.
    circuit = corpus(ADAPTIVE + "NestedBranching.ll")
    found = counts(circuit)
    assert {key[-3:] for key in found} == {"011"}
    assert len(found) == 1


def test_dynamic_and_static_qubits_give_the_same_circuit() -> None:
    dynamic = corpus("munich-quantum-toolkit+core/test/circuits/BellPairDynamic.ll")
    static = corpus("munich-quantum-toolkit+core/test/circuits/BellPairStatic.ll")
    assert dynamic.program.data == static.program.data or counts(dynamic).keys() == {"00", "11"}
    assert any("not derivable statically" in note for note in dynamic.notes)
    assert measure(dynamic).gates == measure(static).gates


# --- What is known is carried out -----------------------------------------------------------------


def test_a_loop_over_numbers_is_unrolled() -> None:
    circuit = program(
        f"""br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %more = icmp slt i64 %i, 2
  br i1 %more, label %body, label %done
body:
  %place = getelementptr ptr, ptr @pair, i64 %i
  %qubit = load ptr, ptr %place
  {gate("h", "ptr %qubit")}
  %angle = uitofp i64 %i to double
  {gate("rx", "double %angle", "ptr %qubit")}
  %next = add i64 %i, 1
  br label %head
done:
  ret i64 0"""
    )
    expected = QuantumCircuit(3)
    for qubit in range(2):
        expected.h(qubit)
        expected.rx(float(qubit), qubit)
    assert Operator(circuit.program) == Operator(expected)


def test_functions_are_called_with_their_arguments() -> None:
    more = f"""
define internal void @bell(ptr %a, ptr %b, double %t) {{
  {gate("h", "ptr %a")}
  {gate("cnot", "ptr %a", "ptr %b")}
  {gate("rz", "double %t", "ptr %b")}
  ret void
}}"""
    circuit = program(
        f"""call void @bell({Q1}, {Q2}, double 0x3FE0000000000000)
  ret i64 0""",
        more,
    )
    expected = QuantumCircuit(3)
    expected.h(1)
    expected.cx(1, 2)
    expected.rz(0.5, 2)
    assert Operator(circuit.program) == Operator(expected)


def test_arithmetic_that_is_known() -> None:
    circuit = program(
        f"""%a = sub i64 3, 5
  %b = sdiv i64 %a, 2
  %c = ashr i64 %a, 1
  %d = mul i64 %b, %c
  %e = srem i8 -7, 3
  %f = icmp slt i8 %e, 0
  %g = select i1 %f, double 1.5e0, double 2.0
  %h = fmul double %g, -2.0
  %k = sitofp i64 %b to double
  %m = fadd double %h, %k
  {gate("rz", "double %m", Q0)}
  %n = icmp eq i64 %d, 1
  br i1 %n, label %yes, label %no
yes:
  {gate("x", Q0)} ret i64 0
no:
  {gate("y", Q0)} ret i64 0"""
    )
    assert [step.name for step in circuit.program.data] == ["rz", "x"]
    assert float(circuit.program.data[0].params[0]) == -4.0


# --- What is measured becomes control flow --------------------------------------------------------


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("second", [0, 1])
def test_values_that_differ_after_a_branch(first: int, second: int) -> None:
    """A number chosen by two results, added up, compared, and switched on."""
    flips = "".join(gate("x", q) for q, bit in ((Q0, first), (Q1, second)) if bit)
    circuit = program(
        f"""{flips}{mz(Q0, 0)}{mz(Q1, 1)}{result("a", 0)}{result("b", 1)}
  br i1 %a, label %one, label %zero
one:
  br label %join
zero:
  br label %join
join:
  %x = phi i64 [ 2, %one ], [ 0, %zero ]
  %wide = zext i1 %b to i64
  %sum = add i64 %x, %wide
  %same = sub i64 %sum, 0
  switch i64 %same, label %rest [ i64 3, label %three  i64 1, label %onlyb ]
three:
  {gate("x", Q2)} br label %end
onlyb:
  {gate("x", Q2)} {gate("z", Q2)} br label %end
rest:
  br label %end
end:
  {mz(Q2, 2)} ret i64 0"""
    )
    expected = f"{int(second == 1)}{second}{first}"
    assert counts(circuit, 20) == {expected: 20}


def test_memory_joins_like_values() -> None:
    circuit = program(
        f"""%cell = alloca i1
  store i1 false, ptr %cell
  {gate("h", Q0)}{mz(Q0, 0)}{result("a", 0)}
  br i1 %a, label %set, label %join
set:
  store i1 true, ptr %cell
  br label %join
join:
  %value = load i1, ptr %cell
  br i1 %value, label %flip, label %end
flip:
  {gate("x", Q1)} br label %end
end:
  {mz(Q1, 1)} ret i64 0"""
    )
    found = counts(circuit)
    assert set(found) == {"00", "11"}


def test_both_ways_may_return() -> None:
    circuit = program(
        f"""{gate("h", Q0)}{mz(Q0, 0)}{result("a", 0)}
  br i1 %a, label %yes, label %no
yes:
  {gate("x", Q1)} {mz(Q1, 1)} ret i64 0
no:
  {mz(Q1, 1)} ret i64 0"""
    )
    assert set(counts(circuit)) == {"00", "11"}


def test_a_loop_until_a_result() -> None:
    circuit = program(
        f"""br label %try
try:
  {gate("h", Q0)}{mz(Q0, 0)}{result("a", 0)}
  br i1 %a, label %try, label %done
done:
  ret i64 0"""
    )
    assert set(counts(circuit)) == {"0"}


# --- What cannot become a circuit is refused with its line ----------------------------------------


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("br label %entry2\nentry2:\n br label %entry2", "too many blocks on the way"),
        (f"{gate('h', Q0)}{mz(Q0, 0)}{result('a', 0)}%t = uitofp i1 %a to double\n"
         f"{gate('rx', 'double %t', Q0)} ret i64 0", "depends on a measured result"),
        (f"{gate('h', Q0)}{mz(Q0, 0)}{result('a', 0)}"
         f"%q = select i1 %a, {Q0}, {Q1}\n{gate('x', 'ptr %q')} ret i64 0",
         "depends on a measured result"),
        (f"{mz(Q0, 0)}{result('a', 0)}{gate('x', Q0)}{mz(Q0, 0)}"
         "br i1 %a, label %x, label %y\nx:\n" + gate("x", Q1) + " ret i64 0\ny:\n ret i64 0",
         "measured again since it was read"),
        (f"{gate('cnot', Q0, Q0)} ret i64 0", "names a qubit twice"),
        ("call void @__quantum__qis__warp__body(ptr null)\n ret i64 0", "warp__body is not known"),
        ("%a = sdiv i64 1, 0\n ret i64 0", "sdiv: integer division"),
        ("%a = add i64 %b, 0\n ret i64 0", "%b has no value yet"),
        ("call void @main()\n ret i64 0", "too many nested calls"),
        ("br label %nowhere", "no block %nowhere"),
        (f"{gate('rx', 'double 0x7FF0000000000000', Q0)} ret i64 0", "not a finite number"),
        ("fence seq_cst\n ret i64 0", "instruction 'fence' is not supported"),
    ],
)  # fmt: skip
def test_refusals_name_line_and_reason(body: str, message: str) -> None:
    with pytest.raises(QuantainerError, match=message) as caught:
        program(body)
    assert caught.value.message.split(":")[1].isdigit()


def test_a_program_without_an_entry_point_is_refused() -> None:
    with pytest.raises(QuantainerError, match="no function is marked as entry_point"):
        read(b"define void @f() {\nentry:\n ret void\n}\n", "lib.ll")


def test_wide_programs_are_refused() -> None:
    text = "define void @f() #0 {\ne:\n ret void\n}\n" + TAIL.replace('"3"', '"50"')
    assert read(text.encode(), "a.ll").program.num_qubits == 50
    with pytest.raises(QuantainerError, match="too many qubits"):
        read(text.encode(), "a.ll", options=ReadOptions(max_qubits=49))


# --- Programs that pyqir writes -------------------------------------------------------------------

_GATES = [("h", 0, 1), ("s_adj", 0, 1), ("t", 0, 1), ("x", 0, 1), ("rz", 1, 1), ("rx", 1, 1),
          ("ry", 1, 1), ("cx", 0, 2), ("cz", 0, 2)]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(_GATES), st.permutations(range(3)), st.floats(-7, 7))))
@settings(max_examples=30, deadline=None)
def test_what_pyqir_writes_is_read_as_text_and_as_bitcode(steps) -> None:
    pyqir = pytest.importorskip("pyqir", reason="pyqir writes the programs")
    module = pyqir.SimpleModule("test", num_qubits=3, num_results=3)
    qis = pyqir.BasicQisBuilder(module.builder)
    expected = QuantumCircuit(3)
    for (name, angles, width), order, angle in steps:
        places = order[:width]
        qubits = [module.qubits[place] for place in places]
        getattr(qis, name)(*([angle] * angles), *qubits)
        getattr(expected, {"s_adj": "sdg"}.get(name, name))(*([angle] * angles), *places)
    for index in range(3):
        qis.mz(module.qubits[index], module.results[index])
    for data in (module.ir().encode(), module.bitcode()):
        circuit = read(data)
        assert circuit.format == "qir"
        bare = circuit.program.remove_final_measurements(inplace=False)
        assert Operator(bare).equiv(Operator(expected))


CONTROLS = """\
%a = call ptr @__quantum__rt__array_create_1d(i32 8, i64 2)
%n = call i64 @__quantum__rt__array_get_size_1d(ptr %a)
%p0 = call ptr @__quantum__rt__array_get_element_ptr_1d(ptr %a, i64 0)
%p1 = call ptr @__quantum__rt__array_get_element_ptr_1d(ptr %a, i64 1)
store ptr null, ptr %p0
store ptr inttoptr (i64 1 to ptr), ptr %p1
"""


@pytest.mark.parametrize(
    ("call", "name", "angles"),
    [
        (f"__quantum__qis__x__ctl(ptr %a, {Q2})", "x", ()),
        (f"__quantum__qis__s__ctladj(ptr %a, {Q2})", "sdg", ()),
        (f"__quantum__qis__t__ctl(ptr %a, {Q2})", "t", ()),
        (f"__quantum__qis__r1__ctl(double 0.3, ptr %a, {Q2})", "p", (0.3,)),
        ("__quantum__qis__rx__ctl(ptr %a, ptr %tuple)", "rx", (0.7,)),
    ],
)
def test_gates_under_an_array_of_controls(call: str, name: str, angles: tuple[float, ...]) -> None:
    body = (
        CONTROLS
        + f"""\
%tuple = alloca {{ double, ptr }}
%t0 = getelementptr {{ double, ptr }}, ptr %tuple, i32 0, i32 0
%t1 = getelementptr {{ double, ptr }}, ptr %tuple, i32 0, i32 1
store double 0.7, ptr %t0
store {Q2}, ptr %t1
call void @{call}
ret i64 %n
"""
    )
    expected = QuantumCircuit(3)
    gate = get_standard_gate_name_mapping()[name].base_class(*angles)
    expected.append(gate.control(2, annotated=False), [0, 1, 2])
    assert Operator(program(body).program).equiv(Operator(expected))


def test_controls_that_cannot_be_are_refused_with_their_line() -> None:
    twice = CONTROLS + "call void @__quantum__qis__x__ctl(ptr %a, ptr null)\nret i64 0\n"
    with pytest.raises(QuantainerError, match=r"^test.ll:\d+: .*names a qubit twice"):
        program(twice)
    with pytest.raises(QuantainerError, match=r"^test.ll:\d+: .*not an array of known size"):
        program(f"call void @__quantum__qis__x__ctl({Q0}, {Q1})\nret i64 0\n")
    with pytest.raises(QuantainerError, match=r"^test.ll:\d+: .*9000 controls"):
        program(CONTROLS.replace("i64 2)", "i64 9000)")
                + f"call void @__quantum__qis__x__ctl(ptr %a, {Q2})\nret i64 0\n")  # fmt: skip
