"""QuantainerSampler: the device as Cirq's sampler."""

from __future__ import annotations

from array import array

import cirq
import numpy as np

from quantainer_client import seeds
from quantainer_client.cirq.encode import Encoded, NotAffineError, encode
from quantainer_client.connection import Connection, connect
from quantainer_client.errors import QuantainerError
from quantainer_client.local import announce, is_local
from quantainer_client.submission import Pub, checked_shots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Union

    from quantainer_client.result import PubResult

__all__ = ["QuantainerSampler"]


class QuantainerSampler(cirq.Sampler):  # type: ignore[misc]
    """Samples Cirq circuits; a sweep or a batch is one job.

    In results the first measured qubit of a key comes first, as everywhere in Cirq.

    Args:
        backend: One that the lease grants; None: ``qsim``, or else the only one granted.
        seed: 0 to 2⁶³ − 1; the same seed gives the same series of results. None: fresh
            entropy.
        qubit_order: How Cirq's qubits become the device's, first to last; results do not depend on
            it.
        options: ``method``, ``engine``, ``precision``, ``truncation_max``, ``level``.
        connection: By default the process's own.
    """

    def __init__(
        self,
        backend: Optional[str] = None,
        *,
        seed: Optional[int] = None,
        qubit_order: cirq.QubitOrderOrList = cirq.QubitOrder.DEFAULT,
        options: Optional[Dict[str, Any]] = None,
        connection: Optional[Connection] = None,
    ) -> None:
        self.backend = backend
        self._seeds = seeds.series(seed)
        self.qubit_order = qubit_order
        self.options = options
        self._connection = connection or connect()

    def run_sweep(
        self, program: cirq.AbstractCircuit, params: cirq.Sweepable, repetitions: int = 1
    ) -> List[cirq.Result]:
        """Sample a circuit for each set of parameters.

        Raises:
            QuantainerError: Whatever cannot travel, or the broker refuses, or the job fails of.
        """
        return self.run_batch([program], [params], repetitions)[0]

    def run_batch(
        self,
        programs: Sequence[cirq.AbstractCircuit],
        params_list: Optional[Sequence[cirq.Sweepable]] = None,
        repetitions: Union[int, Sequence[int]] = 1,
    ) -> List[List[cirq.Result]]:
        """Sample circuits, each for each of its sets of parameters.

        Raises:
            ValueError: If the lists differ in length.
            QuantainerError: As for ``run_sweep``.
        """
        sweeps, shots = self._normalize_batch_args(programs, params_list, repetitions)
        if is_local(self._connection, self.backend, self.options):
            return self._simulated(programs, sweeps, shots)
        tasks = [
            _Task(program, list(cirq.to_resolvers(sweep)), checked_shots(n), self.qubit_order)
            for program, sweep, n in zip(programs, sweeps, shots)
        ]
        pubs = [pub for task in tasks for pub in task.pubs]
        if not pubs:
            return [[] for _ in tasks]
        result = self._connection.run(
            pubs, backend=self.backend, seed=next(self._seeds), options=self.options
        )
        entries = iter(result)
        return [task.read([next(entries) for _ in task.pubs]) for task in tasks]

    def _simulated(
        self, programs: Sequence[cirq.AbstractCircuit], sweeps: Any, shots: Sequence[int]
    ) -> List[List[cirq.Result]]:
        """Sample in this container, by Cirq's own simulator."""
        announce(f"cirq.Simulator of cirq-core {cirq.__version__}")
        # Cirq itself takes seeds of 32 bits.
        bits = np.random.MT19937(np.random.SeedSequence(next(self._seeds)))
        simulator = cirq.Simulator(seed=np.random.RandomState(bits))
        return [
            simulator.run_sweep(program, sweep, checked_shots(n))
            for program, sweep, n in zip(programs, sweeps, shots)
        ]


class _Task:
    """One circuit with its sweep: a pub with a row for each point, or a pub for each point."""

    def __init__(
        self,
        program: cirq.AbstractCircuit,
        resolvers: List[cirq.ParamResolver],
        shots: int,
        order: cirq.QubitOrderOrList,
    ) -> None:
        self._resolvers = resolvers
        try:
            encoded = encode(program, order)
        except NotAffineError:
            bound = [cirq.resolve_parameters(program, resolver) for resolver in resolvers]
            self._points = [_encode_bound(circuit, order) for circuit in bound]
            self.pubs = [Pub(point.columns, shots=shots) for point in self._points]
            return
        self._points = [encoded] * len(resolvers)
        names = encoded.columns.parameters
        if names and resolvers:
            values = _values(names, resolvers)
            self.pubs = [Pub(encoded.columns, shots=shots, values=(names, values))]
        else:
            self.pubs = [Pub(encoded.columns, shots=shots) for _ in resolvers]

    def read(self, entries: List[PubResult]) -> List[cirq.Result]:
        """Return a Cirq result for each point of the sweep."""
        places = [(entry, row) for entry in entries for row in range(entry.rows)]
        return [
            cirq.ResultDict(params=resolver, records=_records(point, entry, row))
            for resolver, point, (entry, row) in zip(self._resolvers, self._points, places)
        ]


def _encode_bound(circuit: cirq.AbstractCircuit, order: cirq.QubitOrderOrList) -> Encoded:
    try:
        return encode(circuit, order)
    except NotAffineError as error:
        names = ", ".join(sorted(cirq.parameter_names(circuit))) or str(error)
        raise QuantainerError(
            "invalid_parameters",
            f"The circuit still has free parameters: {names}.",
            hint="Give each a value: run(circuit, {'t': 0.5}).",
        ) from None


def _values(names: List[str], resolvers: List[cirq.ParamResolver]) -> array[float]:
    """Return ``float64[resolvers, names]``."""
    return array("d", [_value(name, resolver) for resolver in resolvers for name in names])


def _value(name: str, resolver: cirq.ParamResolver) -> float:
    value = resolver.value_of(name)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise QuantainerError(
            "invalid_parameters", f"Parameter {name!r} has no number for a value."
        ) from None


def _records(point: Encoded, entry: PubResult, row: int) -> Dict[str, Any]:
    """Return ``uint8[repetitions, instances, qubits]`` for each measurement key."""
    records = {}
    registers = list(entry.registers.values())
    for register, (key, measured) in zip(registers, point.measured.items()):
        packed = np.frombuffer(register.row(row), dtype=np.uint8)
        bits = np.unpackbits(
            packed.reshape(entry.shots, register.bytes),
            axis=1,
            count=register.bits,
            bitorder="little",
        )
        inverted = np.array(measured.inverted, dtype=np.uint8)
        records[key] = bits.reshape(entry.shots, *inverted.shape) ^ inverted
    return records
