"""Circuit: builds flat circuits without any SDK.

    from quantainer_client import Circuit

    ghz = Circuit(3).h(0).cx(0, 1).cx(1, 2).measure_all()

Every gate of ``columns.GATES`` is a method, angles first as in Qiskit: ``circuit.rx(0.5, 0)``.
"""

from __future__ import annotations

import math
from functools import partial

from quantainer_client.columns import GATES, Columns
from quantainer_client.errors import QuantainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

    Angle = Union[float, "Symbol"]
    Condition = Tuple[Sequence[int], Union[int, Sequence[int]]]

__all__ = ["Circuit", "Symbol"]


class Symbol:
    """A free parameter, or an affine expression of several: ``2 * Symbol("a") + 0.5``."""

    __slots__ = ("constant", "terms")

    def __init__(
        self,
        name: Optional[str] = None,
        *,
        terms: Optional[Dict[str, float]] = None,
        constant: float = 0.0,
    ) -> None:
        self.terms: Dict[str, float] = dict(terms or {})
        self.constant = constant
        if name is not None:
            self.terms[name] = self.terms.get(name, 0.0) + 1.0

    def __add__(self, other: Angle) -> Symbol:
        if not isinstance(other, Symbol):
            return Symbol(terms=self.terms, constant=self.constant + other)
        terms = dict(self.terms)
        for name, coefficient in other.terms.items():
            terms[name] = terms.get(name, 0.0) + coefficient
        return Symbol(terms=terms, constant=self.constant + other.constant)

    def __mul__(self, factor: float) -> Symbol:
        terms = {name: coefficient * factor for name, coefficient in self.terms.items()}
        return Symbol(terms=terms, constant=self.constant * factor)

    def __neg__(self) -> Symbol:
        return self * -1.0

    def __sub__(self, other: Angle) -> Symbol:
        return self + (-other)

    def __rsub__(self, other: float) -> Symbol:
        return -self + other

    def __truediv__(self, divisor: float) -> Symbol:
        return self * (1.0 / divisor)

    __radd__ = __add__
    __rmul__ = __mul__

    def __repr__(self) -> str:
        terms = [f"{coefficient:g}*{name}" for name, coefficient in sorted(self.terms.items())]
        return " + ".join([*terms, *([f"{self.constant:g}"] if self.constant else [])]) or "0"


class Circuit:
    """A flat circuit: gates, measurement, reset, barriers, conditions on classical bits.

    Methods return the circuit, so that calls chain.

    Args:
        qubits: Number of qubits.
        clbits: Number of classical bits, which form the register ``c``.
        name: For messages.

    Raises:
        QuantainerError: ``invalid_circuit`` from every method that is given what does not exist.
    """

    def __init__(self, qubits: int, clbits: int = 0, name: str = "") -> None:
        if qubits < 0 or clbits < 0:
            raise _invalid("A circuit cannot have fewer than no qubits or bits.")
        self._columns = Columns(qubits)
        self._encoded: Optional[bytes] = None
        self.name = name
        if clbits:
            self.add_register("c", clbits)

    @property
    def qubits(self) -> int:
        """Number of qubits."""
        return self._columns.qubits

    @property
    def clbits(self) -> int:
        """Number of classical bits."""
        return self._columns.clbits

    def add_register(self, name: str, bits: int) -> List[int]:
        """Add a classical register of new bits and return their indices."""
        if any(name == other for other, _ in self._columns.registers):
            raise _invalid(f"The circuit already has a register {name!r}.")
        first = self.clbits
        indices = list(range(first, first + bits))
        self._columns.clbits += bits
        self._columns.registers.append((name, indices))
        self._encoded = None
        return indices

    def gate(
        self,
        name: str,
        qubits: Sequence[int],
        params: Sequence[Angle] = (),
        condition: Optional[Condition] = None,
    ) -> Circuit:
        """Append a gate.

        Args:
            name: One of ``GATES``, or ``unitary`` with ``2 * 4**k`` parameters: real and imaginary
                part of each element, row-major, first qubit lowest as in Qiskit.
            qubits: Where it acts.
            params: Angles in radians, numbers or ``Symbol``.
            condition: ``(bits, value)`` or ``(bits, values)``: the gate happens if the integer
                formed by the classical bits, first lowest, is the value or one of the values.
        """
        arity = (len(qubits), 2 * 4 ** len(qubits)) if name == "unitary" else GATES.get(name)
        if arity is None:
            raise _invalid(f"There is no gate {name!r}.")
        if arity != (len(qubits), len(params)):
            raise _invalid(
                f"Gate {name!r} acts on {arity[0]} qubits with {arity[1]} angles, "
                f"not {len(qubits)} with {len(params)}."
            )
        return self._append(name, qubits, (), params, condition)

    def measure(
        self, qubits: Union[int, Sequence[int]], clbits: Union[int, Sequence[int]]
    ) -> Circuit:
        """Measure qubits into classical bits, pairwise."""
        sources = [qubits] if isinstance(qubits, int) else list(qubits)
        targets = [clbits] if isinstance(clbits, int) else list(clbits)
        if len(sources) != len(targets):
            raise _invalid(f"{len(sources)} qubits cannot be measured into {len(targets)} bits.")
        for qubit, clbit in zip(sources, targets):
            self._append("measure", (qubit,), (clbit,), (), None)
        return self

    def measure_all(self, register: str = "meas") -> Circuit:
        """Measure every qubit into a new register."""
        bits = self.add_register(register, self.qubits)
        return self.measure(range(self.qubits), bits)

    def reset(self, qubit: int, condition: Optional[Condition] = None) -> Circuit:
        """Bring a qubit back to zero."""
        return self._append("reset", (qubit,), (), (), condition)

    def barrier(self, *qubits: int) -> Circuit:
        """Keep what is before apart from what is after, on all qubits if none is named."""
        where = qubits or range(self.qubits)
        return self._append("barrier", where, (), (), None) if where else self

    def encode(self) -> bytes:
        """Return the columnar bytes; they are kept until the circuit changes."""
        if self._encoded is None:
            self._encoded = self._columns.encode()
        return self._encoded

    def __len__(self) -> int:
        return len(self._columns.kinds)

    def __getattr__(self, name: str) -> Any:
        if name not in GATES:
            raise AttributeError(f"a circuit has no gate or attribute {name!r}")
        return partial(self._standard, name)

    def __dir__(self) -> List[str]:
        return sorted([*super().__dir__(), *GATES])

    def _standard(
        self, name: str, *arguments: Any, condition: Optional[Condition] = None
    ) -> Circuit:
        qubits, params = GATES[name]
        if len(arguments) != qubits + params:
            raise _invalid(
                f"Gate {name!r} takes {params} angles, then {qubits} qubits, "
                f"not {len(arguments)} arguments."
            )
        return self.gate(name, arguments[params:], arguments[:params], condition)

    def _append(
        self,
        name: str,
        qubits: Sequence[int],
        clbits: Sequence[int],
        params: Sequence[Angle],
        condition: Optional[Condition],
    ) -> Circuit:
        columns = self._columns
        _check_indices(name, qubits, columns.qubits, "qubit")
        _check_indices(name, clbits, columns.clbits, "classical bit")
        # Everything that can be refused is looked at before anything is appended.
        first = len(columns.params)
        symbols = []
        numbers = []
        for slot, value in enumerate(params, first):
            if isinstance(value, Symbol):
                symbols.append((slot, sorted(value.terms.items()), value.constant))
                numbers.append(0.0)
                continue
            if not math.isfinite(value):
                raise _invalid(f"Gate {name!r} has an angle that is not a finite number.")
            numbers.append(float(value))
        when = None if condition is None else self._condition(name, condition)
        kind = columns.kind(name, len(qubits), len(clbits), len(params))
        columns.append(kind, [*qubits, *clbits], numbers)
        columns.symbols += symbols
        if when is not None:
            columns.when[-1] = when
        self._encoded = None
        return self

    def _condition(self, name: str, condition: Condition) -> int:
        bits, value = condition
        values = [value] if isinstance(value, int) else list(value)
        _check_indices(name, bits, self.clbits, "classical bit")
        if not bits or any(v < 0 or v >> len(bits) for v in values):
            raise _invalid(f"The condition of gate {name!r} can never be met by {len(bits)} bits.")
        return self._columns.condition(bits, values)


def _check_indices(name: str, indices: Sequence[int], size: int, what: str) -> None:
    for index in indices:
        if not isinstance(index, int) or not 0 <= index < size:
            raise QuantainerError(
                "invalid_circuit",
                f"{name!r} names {what} {index!r}, but the circuit has {size}, counted from 0.",
            )
    if len(indices) > 1 and len(set(indices)) < len(indices):
        raise _invalid(f"{name!r} names a {what} twice.")


def _invalid(message: str) -> QuantainerError:
    return QuantainerError("invalid_circuit", message)
