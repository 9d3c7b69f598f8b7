"""Export: from Qiskit's circuit to an OpenQASM 3 program that reads back to the same circuit."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from qiskit import QuantumCircuit
from qiskit._accelerate.circuit import CircuitInstruction
from qiskit.circuit import (
    CASE_DEFAULT,
    Barrier,
    BoxOp,
    BreakLoopOp,
    ClassicalRegister,
    Clbit,
    ContinueLoopOp,
    ControlledGate,
    Delay,
    ForLoopOp,
    Gate,
    IfElseOp,
    Parameter,
    Store,
    SwitchCaseOp,
    WhileLoopOp,
)
from qiskit.circuit.classical import expr

from quantainer.circuits.builder import STANDARD_GATES
from quantainer.circuits.qasm3.library import BUILTIN, STDGATES, LibraryGate
from quantainer.circuits.qasm3.spelling import Names, angle, element, expression, kind
from quantainer_client.errors import QuantainerError

__all__ = ["export"]

_LIBRARY: dict[str, tuple[str, LibraryGate]] = {
    library.gate: (name, library)
    for name, library in reversed([*STDGATES.items(), *BUILTIN.items()])
    if name not in ("phase", "cphase", "CX")
}
"""Qiskit's name of a gate to OpenQASM's."""
_CONTROLLED = {"cs": "s", "csdg": "sdg", "csx": "sx", "cu1": "u1", "ccz": "z", "mcx": "x"}
"""Standard gates that are a gate of the library under ``ctrl @``."""


def export(program: QuantumCircuit) -> str:
    """Return a program in OpenQASM 3.

    Gates that ``stdgates.inc`` lacks are defined in the program. Read back, it gives the same
    circuit:
    gate for gate where gates are standard ones, loops unrolled.

    Raises:
        QuantainerError: ``unsupported_circuit`` for what the language has no words for.
    """
    return _Writer(program).text()


class _Writer:
    def __init__(self, program: QuantumCircuit) -> None:
        self._program = program
        self._names = Names()
        self._bits: dict[Any, str] = {}
        self._registers: dict[Any, str] = {}
        self._variables: dict[Any, str] = {}
        self._parameters: dict[Parameter, str] = {}
        self._definitions: list[str] = []
        self._defined: list[tuple[Any, str]] = []
        self._standard: dict[str, str] = {}

    def text(self) -> str:
        """Return the whole program."""
        head = [*self._declare_parameters(), *self._declare_bits()]
        body = self._block(self._program, {}, "", self._program.global_phase)
        lines = ["OPENQASM 3.0;", 'include "stdgates.inc";', *self._definitions, *head, *body]
        return "\n".join(lines) + "\n"

    # Declarations

    def _declare_parameters(self) -> list[str]:
        lines = []
        vectors: dict[str, int] = {}
        for parameter in self._program.parameters:
            part = element(parameter.name)
            if part is not None:
                vectors[part[0]] = max(vectors.get(part[0], 0), part[1] + 1)
                self._parameters[parameter] = parameter.name
                continue
            name = self._parameters[parameter] = self._names.new(parameter.name)
            lines.append(f"input float[64] {name};")
        for base, size in vectors.items():
            self._names.new(base)
            lines.append(f"input array[float[64], {size}] {base};")
        return lines

    def _declare_bits(self) -> list[str]:
        program = self._program
        lines = []
        for word, registers, bits in (
            ("qubit", program.qregs, program.qubits),
            ("bit", program.cregs, program.clbits),
        ):
            aliases = []
            for register in registers:
                if any(bit in self._bits for bit in register):
                    aliases.append(register)
                    continue
                name = self._registers[register] = self._names.new(register.name)
                lines.append(f"{word}[{len(register)}] {name};")
                self._bits.update({bit: f"{name}[{i}]" for i, bit in enumerate(register)})
            for index, bit in enumerate(bits):
                if bit not in self._bits:
                    name = self._bits[bit] = self._names.new(f"_{word}{index}")
                    lines.append(f"{word} {name};")
            lines += [self._alias(register) for register in aliases]
        return lines + self._declare_variables()

    def _alias(self, register: Any) -> str:
        name = self._registers[register] = self._names.new(register.name)
        parts = [f"{self._bits[bit]}" for bit in register]
        # A register of one element each: `a[{0}]` is a register where `a[0]` is a bit.
        rows = [part[:-1].replace("[", "[{") + "}]" for part in parts if part.endswith("]")]
        if len(rows) != len(parts):
            raise QuantainerError(
                "unsupported_circuit", f"register {register.name!r} shares bits outside registers"
            )
        return f"let {name} = {' ++ '.join(rows)};"

    def _declare_variables(self) -> list[str]:
        lines = []
        for variable in self._program.iter_declared_vars():
            name = self._variables[variable] = self._names.new(variable.name)
            lines.append(f"{kind(variable.type)} {name};")
        for variable in self._program.iter_input_vars():
            name = self._variables[variable] = self._names.new(variable.name)
            lines.append(f"input {kind(variable.type)} {name};")
        if any(True for _ in self._program.iter_stretches()):
            raise QuantainerError("unsupported_circuit", "a circuit with stretches is not exported")
        return lines

    # Statements

    def _name(self, thing: Any) -> str:
        if isinstance(thing, expr.Var):
            return self._variables[thing]
        if isinstance(thing, ClassicalRegister):
            return self._registers[thing]
        return self._bits[thing]

    def _block(
        self, block: QuantumCircuit, outer: dict[Any, str], indent: str, phase: Any
    ) -> list[str]:
        """Return the statements of a block; ``outer`` names bits that are not the root's."""
        names = {**{bit: self._bits.get(bit, "") for bit in block.qubits}, **outer}
        lines = []
        for instruction in block.data:
            qubits = [names[bit] for bit in instruction.qubits]
            found, more = self._statement(instruction, qubits, indent)
            lines += found
            phase = phase + more
        if not _is_zero(phase):
            lines.append(f"{indent}gphase({self._angle(phase)});")
        return lines

    def _statement(self, instruction: Any, qubits: list[str], indent: str) -> tuple[list[str], Any]:
        """Return the lines of an instruction, and the phase that they lack."""
        name = instruction.name
        if instruction.is_standard_gate():
            text, phase = self._gate(name, instruction.params, qubits)
            return [f"{indent}{text}"] if text else [], phase
        operands = ", ".join(qubits)
        if name == "measure":
            return [f"{indent}{self._name(instruction.clbits[0])} = measure {operands};"], 0.0
        if name == "reset":
            return [f"{indent}reset {operands};"], 0.0
        if name == "barrier":
            return [f"{indent}barrier {operands};"] if qubits else [], 0.0
        operation = instruction.operation
        write = _FLOW.get(type(operation))
        if write is not None:
            return write(self, operation, instruction, indent), 0.0
        return [f"{indent}{self._other(operation, operands)}"], 0.0

    def _angle(self, value: Any) -> str:
        return angle(value, self._parameters)

    def _gate(self, name: str, params: Iterable[Any], qubits: list[str]) -> tuple[str, Any]:
        params, operands = list(params), ", ".join(qubits)
        if name == "global_phase":
            return "", params[0]
        if name in ("u", "u2", "u3") and not all(map(_is_number, params)):
            # Its phase would be an expression that nothing simplifies: define it without.
            name, params = "u_", [math.pi / 2, *params][-3:]
        angles = f"({', '.join(map(self._angle, params))})" if params else ""
        known = _LIBRARY.get(name)
        if known is not None:
            spelled, library = known
            phase = 0.0 if library.phase is None else -library.phase(*params)
            return f"{spelled}{angles} {operands};", phase
        if name in _CONTROLLED:
            base = _CONTROLLED[name]
            controls = len(qubits) - 1
            word = "ctrl" if controls == 1 else f"ctrl({controls})"
            return f"{word} @ {base}{angles} {operands};", 0.0
        return f"{self._define_standard(name)}{angles} {operands};", 0.0

    def _define_standard(self, name: str) -> str:
        """Define a standard gate that the library lacks, once."""
        if name == "u_" and name not in self._standard:
            self._standard[name] = self._names.new("u")
            head = f"gate {self._standard[name]}(p0, p1, p2) q0 {{"
            self._definitions += [head, "  U(p0, p1, p2) q0;", "  gphase(-p0 / 2);", "}"]
        if name not in self._standard:
            gate = STANDARD_GATES[name]
            formal = [Parameter(f"p{index}") for index in range(gate.num_params)]
            self._standard[name] = self._define(
                self._names.new(name), _definition(gate, formal), formal
            )
        return self._standard[name]

    def _define(self, name: str, body: QuantumCircuit, formal: list[Parameter]) -> str:
        for each in body.data:
            if not (each.is_standard_gate() or isinstance(each.operation, Gate | Barrier)):
                reason = f"{each.name!r} in the definition of {name!r} is no gate"
                raise QuantainerError("unsupported_circuit", reason)
        self._parameters.update({each: each.name for each in formal})
        qubits = {bit: f"q{index}" for index, bit in enumerate(body.qubits)}
        lines = self._block(body, qubits, "  ", body.global_phase)
        arguments = f"({', '.join(each.name for each in formal)})" if formal else ""
        head = f"gate {name}{arguments} {', '.join(qubits.values())} {{"
        self._definitions += [head, *lines, "}"]
        return name

    def _other(self, operation: Any, operands: str) -> str:
        """Return a gate that is not standard: under controls, or with a definition of its own."""
        if isinstance(operation, ControlledGate):
            text = self._controlled(operation, operands)
            if text is not None:
                return text
        for known, name in self._defined:
            if known == operation:
                return f"{name} {operands};"
        definition = getattr(operation, "definition", None)
        if definition is None or definition.num_clbits or not operation.num_qubits:
            raise QuantainerError(
                "unsupported_circuit",
                f"the operation {operation.name!r} has no definition as a gate",
                hint="Decompose it before export.",
            )
        name = self._names.new(operation.name)
        self._defined.append((operation, name))
        return f"{self._define(name, definition, [])} {operands};"

    def _controlled(self, operation: Any, operands: str) -> str | None:
        known = _LIBRARY.get(operation.base_gate.name)
        if (
            known is None
            or known[1].phase is not None
            or type(operation.base_gate) is type(operation)
        ):
            return None
        state, count = operation.ctrl_state, operation.num_ctrl_qubits
        words = ["ctrl @" if state >> index & 1 else "negctrl @" for index in range(count)]
        if len(set(words)) == 1 and count > 1:
            words = [words[0].replace(" @", f"({count}) @")]
        params = operation.base_gate.params
        angles = f"({', '.join(map(self._angle, params))})" if params else ""
        return f"{' '.join(words)} {known[0]}{angles} {operands};"

    # Control flow

    def _inner(self, block: QuantumCircuit, instruction: Any, indent: str) -> list[str]:
        bits = zip(block.qubits, instruction.qubits, strict=True)
        clbits = zip(block.clbits, instruction.clbits, strict=True)
        before = dict(self._bits)
        self._bits.update({inner: self._bits[outer] for inner, outer in (*bits, *clbits)})
        for variable in block.iter_declared_vars():
            raise QuantainerError(
                "unsupported_circuit", f"the variable {variable.name!r} of an inner block"
            )
        lines = self._block(block, {}, indent + "  ", block.global_phase)
        self._bits = before
        return lines

    def _condition(self, condition: Any) -> str:
        if not isinstance(condition, tuple):
            return expression(condition, self._name)
        target, value = condition
        if isinstance(target, Clbit):
            return self._name(target) if value else f"!{self._name(target)}"
        return f"{self._name(target)} == {int(value)}"

    def _if(self, operation: Any, instruction: Any, indent: str) -> list[str]:
        blocks = operation.blocks
        lines = [f"{indent}if ({self._condition(operation.condition)}) {{"]
        lines += self._inner(blocks[0], instruction, indent)
        if len(blocks) > 1:
            lines += [f"{indent}}} else {{", *self._inner(blocks[1], instruction, indent)]
        return [*lines, f"{indent}}}"]

    def _while(self, operation: Any, instruction: Any, indent: str) -> list[str]:
        head = f"{indent}while ({self._condition(operation.condition)}) {{"
        return [head, *self._inner(operation.blocks[0], instruction, indent), f"{indent}}}"]

    def _for(self, operation: Any, instruction: Any, indent: str) -> list[str]:
        indices, variable, body = operation.params
        if isinstance(variable, expr.Var) or not isinstance(indices, range | tuple | list):
            raise QuantainerError("unsupported_circuit", "a loop over a run-time variable")
        name = self._names.new("_" if variable is None else variable.name)
        if variable is not None:
            self._parameters[variable] = name
        if not indices:
            return []
        values = f"{{{', '.join(map(str, indices))}}}"
        if isinstance(indices, range):
            step = "" if indices.step == 1 else f"{indices.step}:"
            values = f"[{indices[0]}:{step}{indices[-1]}]"
        head = f"{indent}for int {name} in {values} {{"
        return [head, *self._inner(body, instruction, indent), f"{indent}}}"]

    def _switch(self, operation: Any, instruction: Any, indent: str) -> list[str]:
        target = operation.target
        text = expression(target, self._name)
        if isinstance(target, Clbit) or (
            isinstance(target, expr.Var) and text in self._bits.values()
        ):
            text = f"int({text})"
        elif isinstance(target, ClassicalRegister):
            text = f"uint[{len(target)}]({text})"
        lines = [f"{indent}switch ({text}) {{"]
        for labels, block in operation.cases_specifier():
            head = "default" if CASE_DEFAULT in labels else f"case {', '.join(map(_label, labels))}"
            lines.append(f"{indent}  {head} {{")
            lines += self._inner(block, instruction, indent + "  ")
            lines.append(f"{indent}  }}")
        return [*lines, f"{indent}}}"]

    def _jump(self, operation: Any, _instruction: Any, indent: str) -> list[str]:
        return [f"{indent}{'break' if isinstance(operation, BreakLoopOp) else 'continue'};"]

    def _store(self, operation: Any, _instruction: Any, indent: str) -> list[str]:
        value = expression(operation.rvalue, self._name)
        target = expression(operation.lvalue, self._name)
        if isinstance(operation.lvalue, expr.Var) and not operation.lvalue.standalone:
            target = self._name(operation.lvalue.var)
        return [f"{indent}{target} = {value};"]

    def _delay(self, operation: Any, instruction: Any, indent: str) -> list[str]:
        if isinstance(operation.duration, expr.Expr):
            raise QuantainerError("unsupported_circuit", "a delay by a run-time duration")
        operands = ", ".join(self._bits[bit] for bit in instruction.qubits)
        length = operation.duration
        amount = repr(length) if isinstance(length, int) else repr(float(length))
        unit = operation.unit
        if unit == "ps":
            amount, unit = repr(float(length) / 1000), "ns"
        return [f"{indent}delay[{amount}{unit}] {operands};"]

    def _box(self, operation: Any, instruction: Any, indent: str) -> list[str]:
        length = ""
        if operation.duration is not None and not isinstance(operation.duration, expr.Expr):
            length = f"[{operation.duration}{operation.unit}]"
        head = f"{indent}box{length} {{"
        return [head, *self._inner(operation.blocks[0], instruction, indent), f"{indent}}}"]


def _label(value: Any) -> str:
    return str(int(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, float | int)


def _is_zero(phase: Any) -> bool:
    if hasattr(phase, "parameters"):
        return not phase.parameters and _is_zero(float(phase.numeric()))
    turn = math.remainder(float(phase), 2 * math.pi)
    return abs(turn) < 1e-14


def _definition(gate: Any, formal: list[Parameter]) -> QuantumCircuit:
    """Return the definition of a standard gate with formal parameters."""
    circuit = QuantumCircuit(gate.num_qubits)
    circuit._append(CircuitInstruction.from_standard(gate, circuit.qubits, formal))
    definition: QuantumCircuit = circuit.data[0].operation.definition
    return definition


_FLOW = {
    IfElseOp: _Writer._if,
    WhileLoopOp: _Writer._while,
    ForLoopOp: _Writer._for,
    SwitchCaseOp: _Writer._switch,
    BreakLoopOp: _Writer._jump,
    ContinueLoopOp: _Writer._jump,
    Store: _Writer._store,
    Delay: _Writer._delay,
    BoxOp: _Writer._box,
}
