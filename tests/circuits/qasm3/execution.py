"""Execution: runs circuits for the tests, exactly on basis states or sampled by Aer."""

from __future__ import annotations

from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import ClassicalRegister, Clbit
from qiskit.circuit.classical import expr

from quantainer.circuits.circuit import SCRATCH

HEADER = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'


def basis_run(program: QuantumCircuit, rounds: int = 10_000) -> dict[str, int]:
    """Run a circuit of x, cx, swap, measurements, resets and classical logic on the state 0…0.

    Returns each register's value. It shares no code with the reader or with a simulator.
    """
    run = _Run(rounds)
    run.block(program)
    return {
        register.name: sum(run.bits.get(bit, 0) << place for place, bit in enumerate(register))
        for register in program.cregs
        if register.name != SCRATCH
    }


class _Run:
    def __init__(self, rounds: int) -> None:
        self.bits: dict[Clbit, int] = {}
        self.qubits: dict[Any, int] = {}
        self.rounds = rounds

    def block(self, program: QuantumCircuit) -> None:
        for instruction in program.data:
            self.step(instruction)

    def step(self, instruction: Any) -> None:
        qubits, state = instruction.qubits, self.qubits
        match instruction.name:
            case "x":
                state[qubits[0]] = 1 - state.get(qubits[0], 0)
            case "cx":
                state[qubits[1]] = state.get(qubits[1], 0) ^ state.get(qubits[0], 0)
            case "swap":
                one, other = qubits
                state[one], state[other] = state.get(other, 0), state.get(one, 0)
            case "measure":
                self.bits[instruction.clbits[0]] = state.get(qubits[0], 0)
            case "reset":
                state[qubits[0]] = 0
            case "rx":  # its angle is what a test looks at; the qubit cannot be measured
                state[qubits[0]] = None
            case "barrier" | "delay":
                pass
            case "store":
                target, value = instruction.operation.params
                self.bits[target.var] = self.value(value)
            case _:
                self.flow(instruction.operation)

    def flow(self, operation: Any) -> None:
        if operation.name == "if_else":
            taken = 0 if self.condition(operation.condition) else 1
            for block in operation.blocks[taken : taken + 1]:
                self.block(block)
            return
        assert operation.name == "while_loop", f"not on basis states: {operation.name}"
        while self.condition(operation.condition):
            self.rounds -= 1
            assert self.rounds, "the loop does not end"
            self.block(operation.blocks[0])

    def condition(self, condition: Any) -> bool:
        if not isinstance(condition, tuple):
            return bool(self.value(condition))
        target, value = condition
        members = list(target) if isinstance(target, ClassicalRegister) else [target]
        return sum(self.bits.get(bit, 0) << place for place, bit in enumerate(members)) == value

    def value(self, node: Any) -> int:
        if isinstance(node, expr.Value):
            return int(node.value)
        if isinstance(node, expr.Var):
            return self.bits.get(node.var, 0)
        if isinstance(node, expr.Unary):
            return 1 - self.value(node.operand)
        left, right = self.value(node.left), self.value(node.right)
        operations = {"LOGIC_AND": left & right, "LOGIC_OR": left | right, "BIT_XOR": left ^ right}
        return operations[node.op.name]


def sample(
    program: QuantumCircuit, shots: int = 2000, method: str = "statevector"
) -> dict[str, int]:
    """Sample with Aer; keys are over the registers without scratch, last declared first."""
    from qiskit import transpile
    from qiskit_aer import AerSimulator

    simulator = AerSimulator(method=method)
    program = transpile(program, simulator, optimization_level=0)
    result = simulator.run(program, shots=shots, seed_simulator=11).result()
    shown = [register.name != SCRATCH for register in reversed(program.cregs)]
    counts: dict[str, int] = {}
    for key, times in result.get_counts().items():
        parts = [part for part, keep in zip(key.split(" "), shown, strict=True) if keep]
        counts[" ".join(parts)] = counts.get(" ".join(parts), 0) + times
    return counts
