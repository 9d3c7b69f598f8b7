"""A drawn program as QIR of the adaptive profile."""

from __future__ import annotations

import struct

from drawn_program import Drawn, Step, Test

__all__ = ["bitcode", "qir"]

_QIR = {"cx": "cnot", "sdg": "s__adj", "tdg": "t__adj", "sxdg": "sx__adj"}


class _Ir:
    def __init__(self, program: Drawn) -> None:
        self._program = program
        self._names = 0
        self.lines: list[str] = []
        self.used: dict[str, str] = {}

    def call(self, name: str, *arguments: str) -> None:
        full = name if "__" in name else f"{name}__body"
        kinds = ", ".join(argument.partition(" ")[0] for argument in arguments)
        self.used[full] = f"declare void @__quantum__qis__{full}({kinds})"
        self.lines.append(f"  call void @__quantum__qis__{full}({', '.join(arguments)})")

    def name(self) -> str:
        self._names += 1
        return f"v{self._names}"

    def condition(self, test: Test) -> str:
        """Write "every bit is as the value has it"."""
        terms = []
        for index, bit in enumerate(self._program.bits(test)):
            name, same = self.name(), self.name()
            self.lines.append(f"  %{name} = call i1 @__quantum__rt__read_result({_ptr(bit)})")
            wanted = test.value >> index & 1
            self.lines.append(f"  %{same} = icmp eq i1 %{name}, {'true' if wanted else 'false'}")
            terms.append(same)
        while len(terms) > 1:
            both = self.name()
            self.lines.append(f"  %{both} = and i1 %{terms.pop()}, %{terms.pop()}")
            terms.append(both)
        return terms[0]

    def branch(self, test: Test, yes: list[Step], no: list[Step]) -> None:
        condition, label = self.condition(test), self.name()
        self.lines.append(f"  br i1 %{condition}, label %{label}y, label %{label}n\n{label}y:")
        self.steps(yes)
        self.lines.append(f"  br label %{label}e\n{label}n:")
        self.steps(no)
        self.lines.append(f"  br label %{label}e\n{label}e:")

    def steps(self, steps: list[Step]) -> None:
        for kind, *rest in steps:
            match kind, rest:
                case "gate", (name, at, angles, None):
                    doubles = [f"double {_double(angle)}" for angle in angles]
                    self.call(_QIR.get(name, name), *doubles, *map(_ptr, at))
                case "gate", (name, at, angles, test):
                    self.branch(test, [("gate", name, at, angles, None)], [])
                case "if", (test, yes, no):
                    self.branch(test, yes, no)
                case "measure", (qubit, bit):
                    self.call("mz", _ptr(qubit), _ptr(bit))
                case "reset", (qubit,):
                    self.call("reset", _ptr(qubit))
                case "barrier", (at,):
                    self.call(f"barrier{len(at)}", *map(_ptr, at))


def qir(program: Drawn) -> str:
    """Return LLVM IR in text form."""
    ir = _Ir(program)
    ir.steps(program.steps)
    body = "\n".join(ir.lines)
    declared = "\n".join([*ir.used.values(), "declare i1 @__quantum__rt__read_result(ptr)"])
    return (
        f"define i64 @main() #0 {{\nentry:\n{body}\n  ret i64 0\n}}\n\n{declared}\n\n"
        'attributes #0 = { "entry_point" "qir_profiles"="adaptive_profile" '
        f'"required_num_qubits"="{program.qubits}" "required_num_results"="{sum(program.sizes)}" }}'
    )


def _ptr(index: int) -> str:
    return f"ptr inttoptr (i64 {index} to ptr)"


def _double(angle: float) -> str:
    return "0x" + struct.pack(">d", angle).hex().upper()


def bitcode(text: str) -> bytes:
    """Return LLVM IR in binary form."""
    import pyqir

    return bytes(pyqir.Module.from_ir(pyqir.Context(), text).bitcode)
