"""Intrinsics: the functions that QIR programs call and do not define."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from quantainer.circuits.builder import STANDARD_GATES
from quantainer.circuits.qir.arithmetic import known
from quantainer.circuits.qir.circuit import Output
from quantainer.circuits.qir.controlled import SIZE, control_call, controlled_gate
from quantainer.circuits.qir.gates import gate_of
from quantainer.circuits.qir.syntax import SyntaxFaultError
from quantainer.circuits.qir.values import (
    Cell,
    Handle,
    Unknown,
    UnknownValueError,
    bits_of,
    number_of,
)

if TYPE_CHECKING:
    from quantainer.circuits.qir.machine import Machine

__all__ = ["Intrinsics"]

_RT, _QIS = "__quantum__rt__", "__quantum__qis__"
_INTEGER = 64
_IGNORED = {
    # Bookkeeping that does nothing to qubits.
    *("initialize", "message", "string_create", "string_update_reference_count"),
    *("array_update_reference_count", "array_update_alias_count"),
    *("result_update_reference_count", "tuple_update_reference_count", "result_release"),
    *("result_array_release",),
}


class Intrinsics:
    """Carries out calls to the runtime (``rt``), to gates (``qis``) and to pytket's registers."""

    def __init__(self, machine: Machine, output: Output) -> None:
        self._machine, self._output = machine, output
        self._created = 0
        self.recorded: list[str] = []
        self.allocates = False
        self._table: dict[str, Callable[..., Any]] = {
            f"{_QIS}mz__body": self._measure,
            f"{_QIS}m__body": self._measure,
            f"{_QIS}measure__body": self._measure,
            f"{_QIS}mresetz__body": self._measure_and_reset,
            f"{_QIS}reset__body": self._reset,
            f"{_QIS}read_result__body": self._read,
            f"{_RT}read_result": self._read,
            f"{_RT}result_get_one": lambda: Handle("constant", 1),
            f"{_RT}result_get_zero": lambda: Handle("constant", 0),
            f"{_RT}result_equal": self._equal,
            f"{_RT}qubit_allocate": self._allocate,
            f"{_RT}qubit_allocate_array": self._allocate_array,
            f"{_RT}qubit_array_allocate": self._fill_with_qubits,
            f"{_RT}qubit_release": self._release,
            f"{_RT}qubit_release_array": lambda _: None,
            f"{_RT}qubit_array_release": self._release_array,
            f"{_RT}result_allocate": lambda *_: self._new_result(),
            f"{_RT}result_array_allocate": self._fill_with_results,
            f"{_RT}array_get_element_ptr_1d": self._element,
            f"{_RT}array_create_1d": lambda _, size: self._array(size),
            f"{_RT}array_get_size_1d": self._size,
            "create_creg": self._create_register,
            "get_creg_bit": self._get_bit,
            "set_creg_bit": self._set_bit,
            "get_int_from_creg": self._get_integer,
            "set_creg_to_int": self._set_integer,
            "mz_to_creg_bit": self._measure_to_bit,
        }

    def call(self, callee: str, arguments: list[Any], line: int) -> Any:
        """Carry out one call.

        Raises:
            SyntaxFaultError: For a function that is not known.
            UnknownValueError: If a qubit or angle depends on a measured result.
        """
        known_call = self._table.get(callee)
        try:
            if known_call is not None:
                return known_call(*arguments)
            gate = gate_of(callee)
            if gate is not None:
                return self._gate(*gate, arguments)
            controlled = control_call(callee, arguments, self._machine.memory.get)
            if controlled is not None:
                return self._controlled(*controlled)
            if callee.startswith(f"{_QIS}barrier"):
                qubits = [self._qubit(argument) for argument in arguments]
                self._machine.block.barrier(qubits or range(len(self._output.builder.qubits)))
                return None
        except TypeError:
            raise SyntaxFaultError(
                f"{callee} is called with {len(arguments)} arguments", line
            ) from None
        name = callee.removeprefix(_RT)
        if name.endswith("_record_output"):
            self.recorded.append(name.removesuffix("_record_output"))
            return None
        if callee.startswith(_RT) and name in _IGNORED:
            return None
        raise SyntaxFaultError(
            f"function {callee} is not known, and the program does not define it", line
        )

    # --- Gates -----------------------------------------------------------------------------------

    def _gate(self, standard: str, angles: int, qubits: int, arguments: list[Any]) -> None:
        if len(arguments) != angles + qubits:
            raise TypeError
        values = [float(known(angle)) for angle in arguments[:angles]]
        if not all(map(math.isfinite, values)):
            raise UnknownValueError("an angle is not a finite number")
        at = tuple(self._qubit(qubit) for qubit in arguments[angles:])
        if len(set(at)) < len(at):
            raise UnknownValueError(f"gate {standard} names a qubit twice")
        self._machine.block.gate(STANDARD_GATES[standard], at, values)

    def _controlled(
        self, standard: str, angles: list[Any], controls: list[Any], targets: list[Any]
    ) -> None:
        values = [float(known(angle)) for angle in angles]
        if not all(map(math.isfinite, values)):
            raise UnknownValueError("an angle is not a finite number")
        at = [self._qubit(qubit) for qubit in (*controls, *targets)]
        if len(set(at)) < len(at):
            raise UnknownValueError(f"controlled gate {standard} names a qubit twice")
        self._machine.block.other(controlled_gate(standard, values, len(controls)), at)

    def _reset(self, qubit: Any) -> None:
        self._machine.block.reset(self._qubit(qubit))

    # --- Results ---------------------------------------------------------------------------------

    def _measure(self, qubit: Any, result: Any = None) -> Any:
        made = self._new_result() if result is None else result
        self._output.measure(self._machine.block, self._qubit(qubit), self._bit(made))
        return made

    def _measure_and_reset(self, qubit: Any, result: Any = None) -> Any:
        made = self._measure(qubit, result)
        self._machine.block.reset(self._qubit(qubit))
        return made

    def _read(self, result: Any) -> Any:
        if isinstance(result, Handle) and result.kind == "constant":
            return result.index
        return self._output.read(self._bit(result))

    def _equal(self, left: Any, right: Any) -> Any:
        from quantainer.circuits.qir.values import compare

        return compare("eq", self._read(left), self._read(right), 1)

    def _new_result(self) -> Handle:
        self._created += 1
        return Handle("result", self._created)

    def _bit(self, result: Any) -> int:
        if isinstance(result, Handle) and result.kind == "result":
            return self._output.result(result)
        if isinstance(result, int):
            return self._output.result(int(result))
        raise UnknownValueError(_reason(result, "a result"))

    # --- Qubits ----------------------------------------------------------------------------------

    def _qubit(self, qubit: Any) -> int:
        if isinstance(qubit, Handle) and qubit.kind == "qubit":
            return qubit.index
        if isinstance(qubit, int):
            return self._output.qubit(int(qubit))
        raise UnknownValueError(_reason(qubit, "a qubit"))

    def _allocate(self, *_: Any) -> Handle:
        self.allocates = True
        return Handle("qubit", self._output.allocate(self._machine.block))

    def _release(self, qubit: Any) -> None:
        self._output.release(self._qubit(qubit))

    def _allocate_array(self, size: Any) -> Cell:
        place = self._array(size)
        self._fill(place, known(size), self._allocate)
        return place

    def _array(self, size: Any) -> Cell:
        self._created += 1
        place = Cell(("array", self._created), 0)
        self._machine.memory[Cell(place.region, SIZE)] = int(known(size))
        return place

    def _size(self, array: Any) -> int:
        size = None
        if isinstance(array, Cell):
            size = self._machine.memory.get(Cell(array.region, SIZE))
        if not isinstance(size, int):
            raise UnknownValueError(_reason(array, "an array of known size"))
        return size

    def _fill_with_qubits(self, size: Any, place: Any, *_: Any) -> None:
        self._fill(place, known(size), self._allocate)

    def _fill_with_results(self, size: Any, place: Any, *_: Any) -> None:
        self._fill(place, known(size), self._new_result)

    def _fill(self, place: Any, size: int, make: Callable[[], Handle]) -> None:
        if not isinstance(place, Cell):
            raise UnknownValueError(_reason(place, "an array"))
        limit = self._output.builder.options.max_qubits
        if size > limit:
            raise UnknownValueError(f"an array of {size} is over the limit of {limit}")
        for index in range(size):
            self._machine.memory[Cell(place.region, place.index + index)] = make()

    def _release_array(self, size: Any, place: Any) -> None:
        for index in range(known(size)):
            self._release(self._machine.memory.get(Cell(place.region, place.index + index)))

    def _element(self, array: Any, index: Any) -> Cell:
        if not isinstance(array, Cell):
            raise UnknownValueError(_reason(array, "an array"))
        return Cell(array.region, array.index + known(index))

    # --- pytket's classical registers ------------------------------------------------------------

    def _create_register(self, size: Any) -> Handle:
        number = self._created = self._created + 1
        bits = self._output.register(f"creg{number}", known(size))
        self._machine.memory[Cell(("creg", number), -1)] = tuple(bits)
        for index in range(len(bits)):
            self._machine.memory[Cell(("creg", number), index)] = False
        return Handle("creg", number)

    def _get_bit(self, register: Any, index: Any) -> Any:
        return self._machine.memory.get(self._place(register, index))

    def _set_bit(self, register: Any, index: Any, value: Any) -> None:
        (self._machine.memory[self._place(register, index)],) = bits_of(value, 1)

    def _get_integer(self, register: Any) -> Any:
        self._check_integer(register)
        bits = [self._get_bit(register, index) for index in range(len(self._clbits(register)))]
        return number_of((*bits, *(False,) * (_INTEGER - len(bits))))

    def _set_integer(self, register: Any, value: Any) -> None:
        self._check_integer(register)
        bits = bits_of(value, _INTEGER)
        for index in range(len(self._clbits(register))):
            self._set_bit(register, index, bits[index])

    def _check_integer(self, register: Any) -> None:
        size = len(self._clbits(register))
        if size > _INTEGER:
            raise UnknownValueError(
                f"a classical register of {size} bits is used as an integer of {_INTEGER}"
            )

    def _measure_to_bit(self, qubit: Any, register: Any, index: Any) -> None:
        place = self._place(register, index)
        bit = self._clbits(register)[place.index]
        self._output.measure(self._machine.block, self._qubit(qubit), bit)
        self._machine.memory[place] = self._output.read(bit)

    def _clbits(self, register: Any) -> tuple[int, ...]:
        if not isinstance(register, Handle) or register.kind != "creg":
            raise UnknownValueError(_reason(register, "a classical register"))
        bits: tuple[int, ...] = self._machine.memory[Cell(("creg", register.index), -1)]
        return bits

    def _place(self, register: Any, index: Any) -> Cell:
        size, offset = len(self._clbits(register)), known(index)
        if not 0 <= offset < size:
            raise UnknownValueError(f"bit {offset} of a classical register of {size} bits")
        return Cell(("creg", register.index), offset)


def _reason(value: Any, expected: str) -> str:
    if isinstance(value, Unknown):
        return value.reason
    return f"{expected} is expected where the program gives something else"
