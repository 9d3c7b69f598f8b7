"""Cirq's operations: goes through a circuit, nested ones included, and fills a builder."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from quantainer.circuits.builder import Block, Builder
from quantainer.circuits.cirq_json.document import Document, kind_of
from quantainer.circuits.cirq_json.gates import GateReader, control_patterns
from quantainer.circuits.cirq_json.qubits import Qubit, qubit
from quantainer.circuits.cirq_json.records import Records, Scope
from quantainer.circuits.cirq_json.values import UnknownTypeError, Values
from quantainer.circuits.refusal import over_limit

__all__ = ["Operations"]

_PAULIS = {
    **{"_PauliX": "X", "_PauliY": "Y", "_PauliZ": "Z"},
    **{"cirq.X": "X", "cirq.Y": "Y", "cirq.Z": "Z", "IdentityGate": "I"},
}


class Operations:
    """Fills a builder with the operations of a circuit."""

    def __init__(self, document: Document, builder: Builder) -> None:
        self._document, self._builder = document, builder
        self._values = Values()
        self._gates = GateReader(self._values)
        self.records = Records(builder, self._values)
        self._index: dict[Any, int] = {}
        self._visited = 0
        self._kinds: dict[str, Callable[[Block, dict[str, Any], Scope], None]] = {
            "TaggedOperation": self._tagged,
            "ClassicallyControlledOperation": self._classically_controlled,
            "CircuitOperation": self._nested,
            "ControlledOperation": self._controlled,
        }

    def fill(self, circuit: dict[str, Any]) -> None:
        """Declare the qubits in Cirq's order and append every operation."""
        found: dict[Any, Any] = {}
        self._collect(circuit, Scope(), found)
        ordered = sorted(found, key=lambda key: found[key])
        self._index = {key: index for index, key in enumerate(ordered)}
        self._builder.add_qubits(len(ordered), "q")
        self._circuit(self._builder, circuit, Scope())

    def _operations(self, circuit: dict[str, Any], scope: Scope) -> Iterator[dict[str, Any]]:
        options = self._builder.options
        if scope.depth > options.max_nesting:
            limit = options.max_nesting
            raise over_limit(
                self._builder.name,
                "nested circuits",
                "max_nesting",
                limit=limit,
                needed=scope.depth,
            )
        for moment in circuit["moments"]:
            for operation in self._document.resolve(moment)["operations"]:
                self._visited += 1
                # Every operation is visited twice: once for its qubits.
                if self._visited > 2 * options.max_gates:
                    limit = options.max_gates
                    raise over_limit(
                        self._builder.name,
                        "operations",
                        "max_gates",
                        limit=limit,
                        needed=self._visited // 2,
                    )
                yield self._document.resolve(operation)

    # --- Qubits ----------------------------------------------------------------------------------

    def _collect(self, circuit: dict[str, Any], scope: Scope, found: dict[Any, Any]) -> None:
        """Find every qubit of a circuit, with what orders it."""
        for operation in self._operations(circuit, scope):
            self._collect_operation(operation, scope, found)

    def _collect_operation(
        self, operation: dict[str, Any], scope: Scope, found: dict[Any, Any]
    ) -> None:
        for value in _own_qubits(operation):
            key, order = self._outer(value, scope.qubits)
            found[key] = order
        if "sub_operation" in operation:
            inner = self._document.resolve(operation["sub_operation"])
            self._collect_operation(inner, scope, found)
        if kind_of(operation) == "CircuitOperation":
            qubits = self._inner_qubits(operation, scope)
            inner = self._document.resolve(operation["circuit"])
            self._collect(inner, scope.deeper(qubits=qubits), found)

    def _outer(self, value: Any, mapping: dict[Any, Qubit]) -> Qubit:
        key, order = qubit(self._document.resolve(value))
        return mapping.get(key, (key, order))

    def _inner_qubits(self, operation: dict[str, Any], scope: Scope) -> dict[Any, Qubit]:
        mapping = dict(scope.qubits)
        for inner, outer in operation.get("qubit_map") or ():
            key, _ = qubit(self._document.resolve(inner))
            mapping[key] = self._outer(outer, scope.qubits)
        return mapping

    def _at(self, values: Sequence[Any], scope: Scope) -> list[int]:
        at = [self._index[self._outer(value, scope.qubits)[0]] for value in values]
        if len(set(at)) < len(at):
            raise ValueError("an operation names a qubit twice")
        return at

    # --- Operations ------------------------------------------------------------------------------

    def _circuit(self, block: Block, circuit: dict[str, Any], scope: Scope) -> None:
        for operation in self._operations(circuit, scope):
            self._operation(block, operation, scope)

    def _operation(self, block: Block, operation: dict[str, Any], scope: Scope) -> None:
        special = self._kinds.get(kind_of(operation))
        if special is not None:
            special(block, operation, scope)
            return
        gate = self._gate_of(operation)
        at = self._at(_own_qubits(operation), scope)
        if kind_of(gate) == "MeasurementGate":
            self.records.measure(block, gate, at, scope)
        else:
            self._gates.append(block, gate, at)

    def _tagged(self, block: Block, operation: dict[str, Any], scope: Scope) -> None:
        """Tags mean nothing to the circuit."""
        self._operation(block, self._document.resolve(operation["sub_operation"]), scope)

    def _classically_controlled(
        self, block: Block, operation: dict[str, Any], scope: Scope
    ) -> None:
        inner = block.block()
        self._operation(inner, self._document.resolve(operation["sub_operation"]), scope)
        for condition in operation["conditions"]:
            test = self.records.condition(self._document.resolve(condition), scope)
            if test is True:
                continue
            outer = block.block()
            if test is not False:
                outer.branch(test, inner)
            inner = outer
        block.operations += inner.operations

    def _controlled(self, block: Block, operation: dict[str, Any], scope: Scope) -> None:
        inner = self._document.resolve(operation["sub_operation"])
        controls = self._at(operation["controls"], scope)
        targets = self._at(_own_qubits(inner), scope)
        patterns = control_patterns(operation.get("control_values"), len(controls))
        self._gates.controlled(block, self._gate_of(inner), controls, targets, patterns)

    def _product(self, operation: dict[str, Any]) -> dict[str, Any]:
        """Return a product of Paulis, or phases by one, as a gate on the qubits that it names."""
        kind = kind_of(operation)
        string = operation
        if kind == "PauliStringPhasor":
            string = self._document.resolve(operation["pauli_string"])
        letters = {}
        for value, pauli in string["qubit_pauli_map"]:
            key, _ = qubit(self._document.resolve(value))
            letters[key] = _PAULIS[kind_of(self._document.resolve(pauli))]
        keys = [qubit(self._document.resolve(value))[0] for value in _own_qubits(operation)]
        if not letters.keys() <= set(keys):
            raise ValueError("a PauliStringPhasor on fewer qubits than its PauliString")
        named = [letters.get(key, "I") for key in keys]
        coefficient = string.get("coefficient", 1)
        return {**operation, "cirq_type": kind, "letters": named, "coefficient": coefficient}

    def _gate_of(self, operation: dict[str, Any]) -> dict[str, Any]:
        kind = kind_of(operation)
        inner = operation.get("gate", operation.get("pauli"))
        if kind in ("GateOperation", "SingleQubitPauliStringGateOperation"):
            gate: dict[str, Any] = self._document.resolve(inner)
            return gate
        if kind in ("PauliString", "PauliStringPhasor"):
            return self._product(operation)
        if kind == "ParallelGateOperation":
            copies = len(operation["qubits"])
            return {"cirq_type": "ParallelGate", "sub_gate": inner, "num_copies": copies}
        if kind == "GlobalPhaseOperation":
            return {"cirq_type": "GlobalPhaseGate", "coefficient": operation["coefficient"]}
        if kind == "IdentityOperation":
            return {"cirq_type": "IdentityGate"}
        raise UnknownTypeError(kind)

    def _nested(self, block: Block, operation: dict[str, Any], scope: Scope) -> None:
        """Append a circuit inside of the circuit, as often as it is repeated."""
        times = self._repetitions(operation)
        given = self._values.given
        bindings = map(self._binding, _parameters(operation))
        self._values.given = {**given, **dict(bindings)}
        path = (*scope.path, *(operation.get("parent_path") or ()))
        inner = scope.deeper(
            qubits=self._inner_qubits(operation, scope),
            keys={**scope.keys, **dict(operation.get("measurement_key_map") or {})},
            path=path,
        )
        circuit = self._document.resolve(operation["circuit"])
        # Repetitions are told apart by their identifiers, where the operation says so.
        identifiers = operation.get("repetition_ids")
        if identifiers is None and operation.get("use_repetition_ids") and times > 1:
            identifiers = [str(index) for index in range(times)]
        for identifier in identifiers or itertools.repeat(None, times):
            place = path if identifier is None else (*path, str(identifier))
            self._circuit(block, circuit, inner.deeper(path=place))
        self._values.given = given

    def _repetitions(self, operation: dict[str, Any]) -> int:
        times = operation.get("repetitions", 1)
        kind = "CircuitOperation"
        if operation.get("repeat_until") is not None or not isinstance(times, int):
            raise UnknownTypeError(kind, "a CircuitOperation without a fixed number of repetitions")
        if times < 0:
            raise UnknownTypeError(kind, "a CircuitOperation that is repeated backwards")
        limit = self._builder.options.max_iterations
        if times > limit:
            raise over_limit(
                self._builder.name, "iterations", "max_iterations", limit=limit, needed=times
            )
        return times

    def _binding(self, pair: Any) -> tuple[str, Any]:
        name, value = pair
        return str(name["name"] if isinstance(name, dict) else name), self._values.number(value)


def _parameters(operation: dict[str, Any]) -> list[Any]:
    given = (operation.get("param_resolver") or {}).get("param_dict", ())
    return list(given.items() if isinstance(given, dict) else given)


def _own_qubits(operation: dict[str, Any]) -> list[Any]:
    """Return the qubits that an operation names itself; those of a nested one are its own."""
    if "pauli_string" in operation and not operation.get("qubits"):
        operation = operation["pauli_string"]
    if "qubit_pauli_map" in operation:
        return [pair[0] for pair in operation["qubit_pauli_map"]]
    single = [operation["qubit"]] if "qubit" in operation else []
    return [*(operation.get("controls") or ()), *(operation.get("qubits") or ()), *single]
