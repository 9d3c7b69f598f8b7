"""QuantainerBackend: one of the node's backends as Qiskit's ``BackendV2``."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

from qiskit.providers import BackendV2, JobV1, Options
from qiskit.result import Result
from qiskit.result.models import ExperimentResult

from quantainer_client import __version__
from quantainer_client.connection import Connection, connect
from quantainer_client.errors import QuantainerError
from quantainer_client.lease import default_backend
from quantainer_client.local import is_local
from quantainer_client.qiskit.encode import pub_of
from quantainer_client.qiskit.primitive_job import STATUS
from quantainer_client.qiskit.target import target_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Union

    from qiskit import QuantumCircuit
    from qiskit.providers import JobStatus
    from qiskit.transpiler import Target

    from quantainer_client.job import Job
    from quantainer_client.result import PubResult, Register

__all__ = ["QuantainerBackend", "QuantainerJob", "QuantainerProvider"]


class QuantainerProvider:
    """Finds the backends that this container, or this user, was granted.

    Args:
        connection: By default the process's own.
    """

    def __init__(self, connection: Optional[Connection] = None) -> None:
        self.connection = connection or connect()

    def backends(self) -> List[QuantainerBackend]:
        """Return every backend that the lease grants; in mode ``local``, the container's own."""
        if is_local(self.connection):
            return [self.backend()]
        names = [summary["name"] for summary in self.connection.backends()]
        return [self.backend(name) for name in names]

    def backend(self, name: Optional[str] = None) -> QuantainerBackend:
        """Return one backend; None: ``qsim``, or else the only one granted.

        In mode ``local`` ``qsim`` is Qiskit's own simulator in the container.

        Raises:
            QuantainerError: ``unknown_backend``; ``forbidden`` for another one in mode ``local``.
        """
        if is_local(self.connection, name):
            from quantainer_client.qiskit.local import LocalBackend

            return LocalBackend(self.connection)
        if name is None:
            name = default_backend(entry["name"] for entry in self.connection.backends())
        return QuantainerBackend(self.connection, self.connection.backend(name))


class QuantainerBackend(BackendV2):  # type: ignore[misc]
    """One backend of the node.

    Args:
        connection: The way to the broker.
        facts: The backend's facts, as ``Connection.backend`` returns them.
    """

    def __init__(self, connection: Connection, facts: Dict[str, Any]) -> None:
        super().__init__(
            provider=None,
            name=facts["name"],
            description=facts.get("description") or None,
            backend_version=__version__,
        )
        self.connection = connection
        self.facts = facts
        self._target: Optional[Target] = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self.name!r})>"

    @property
    def target(self) -> Target:
        """The backend's gates, coupling and calibration for Qiskit's transpiler."""
        if self._target is None:
            self._target = target_of(self.facts)
        return self._target

    @property
    def max_circuits(self) -> None:
        """A job may hold any number of circuits."""
        return

    @classmethod
    def _default_options(cls) -> Options:
        return Options(
            shots=1024,
            seed=None,
            memory=False,
            method=None,
            engine=None,
            precision=None,
            truncation_max=None,
            level=None,
        )

    def run(
        self, run_input: Union[QuantumCircuit, Sequence[QuantumCircuit]], **options: Any
    ) -> QuantainerJob:
        """Hand in circuits as one job.

        Args:
            run_input: One circuit or several.
            options: ``shots``, ``seed`` (also ``seed_simulator``), ``memory``, ``method``,
                ``engine``, ``precision``, ``truncation_max``, ``level``.

        Raises:
            QuantainerError: ``invalid_option``, or whatever the broker refuses.
        """
        circuits = list(run_input) if isinstance(run_input, (list, tuple)) else [run_input]
        chosen = self._chosen(options)
        shots, seed, memory = (chosen.pop(name) for name in ("shots", "seed", "memory"))
        job = self.connection.submit(
            [pub_of(circuit) for circuit in circuits],
            backend=self.name,
            shots=shots,
            seed=seed,
            options={name: value for name, value in chosen.items() if value is not None},
        )
        return QuantainerJob(self, job, circuits, memory)

    def _chosen(self, options: Dict[str, Any]) -> Dict[str, Any]:
        known = {name: self.options.get(name) for name in self._default_options()}
        if "seed_simulator" in options:
            options["seed"] = options.pop("seed_simulator")
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise QuantainerError(
                "invalid_option",
                f"Backend {self.name!r} has no option {unknown[0]!r}.",
                hint=f"It has {', '.join(sorted(known))}.",
            )
        return {**known, **options}


class QuantainerJob(JobV1):  # type: ignore[misc]
    """A job of ``QuantainerBackend.run``."""

    def __init__(
        self, backend: QuantainerBackend, job: Job, circuits: List[QuantumCircuit], memory: bool
    ) -> None:
        super().__init__(backend, job.id)
        self._job = job
        self._circuits = circuits
        self._memory = memory
        self._result: Optional[Result] = None

    def submit(self) -> None:
        """Do nothing: ``run`` hands a job in."""

    def result(self, timeout: Optional[float] = None) -> Result:
        """Wait for the job, an hour unless said otherwise, and return its result.

        Raises:
            QuantainerError: What the job failed of, or ``timeout``.
        """
        if self._result is None:
            results = self._job.result(timeout)
            self._result = Result(
                backend_name=self.backend().name,
                backend_version=__version__,
                job_id=self.job_id(),
                success=True,
                status="COMPLETED",
                results=[
                    _experiment(circuit, pub, self._memory)
                    for circuit, pub in zip(self._circuits, results)
                ],
            )
        return self._result

    def status(self) -> JobStatus:
        """Return the job's status now."""
        return STATUS[self._job.refresh()]

    def cancel(self) -> bool:
        """Ask for the job's end; tell whether it was cancelled."""
        return self._job.cancel() == "CANCELLED"


def _experiment(circuit: QuantumCircuit, pub: PubResult, memory: bool) -> ExperimentResult:
    registers = [register for register in pub.registers.values() if register.bits]
    sizes: List[List[Any]] = [[register.name, register.bits] for register in registers]
    places = _places(circuit, registers) if "" in pub.registers else None
    if places is None:
        data: Dict[str, Any] = {"counts": _hexadecimal(pub)}
        if memory:
            data["memory"] = [hex(value) for value in _joined(registers, pub.shots)]
    else:
        sizes = _runs(registers, places)
        shots = [hex(value) for value in _placed(registers, places, pub.shots)]
        data = {"counts": dict(Counter(shots)), **({"memory": shots} if memory else {})}
    header = {
        "name": circuit.name,
        "creg_sizes": sizes,
        "memory_slots": sum(bits for _, bits in sizes),
        "n_qubits": circuit.num_qubits,
        "metadata": circuit.metadata or {},
    }
    fields = {
        "shots": pub.shots,
        "success": True,
        "data": data,
        "header": header,
        "seed": pub.metadata.get("seed"),
        "metadata": pub.metadata,
    }
    return ExperimentResult.from_dict(fields)  # its classes differ between versions of Qiskit


def _hexadecimal(pub: PubResult) -> Dict[str, int]:
    counts = pub.counts()
    return {hex(int(key.replace(" ", ""), 2)) if key else "0x0": n for key, n in counts.items()}


def _places(circuit: QuantumCircuit, registers: List[Register]) -> Optional[List[List[int]]]:
    """Return the classical bits of each register, and of those in none.

    None if bits of a register lie apart or in two: then strings cannot be in the order of bits.
    """
    index = {bit: place for place, bit in enumerate(circuit.clbits)}
    named: Dict[str, List[int]] = {
        register.name: [index[bit] for bit in register] for register in circuit.cregs
    }
    taken = {place for places in named.values() for place in places}
    named[""] = [place for place in range(len(index)) if place not in taken]
    found = [named[register.name] for register in registers]
    together = all(
        places == list(range(places[0], places[0] + len(places)))
        for register, places in zip(registers, found)
        if register.name
    )
    whole = sorted(place for places in found for place in places) == list(range(len(index)))
    return found if together and whole else None


def _runs(registers: List[Register], places: List[List[int]]) -> List[List[Any]]:
    """Return name and size of what lies side by side, in the order of the classical bits."""
    owner = {place: register.name for register, at in zip(registers, places) for place in at}
    return [[name, len(list(run))] for name, run in groupby(owner[at] for at in sorted(owner))]


def _placed(registers: List[Register], places: List[List[int]], shots: int) -> List[int]:
    """Return each shot as one integer, as Qiskit has it: classical bit ``i`` is its bit ``i``."""
    values = [0] * shots
    for register, at in zip(registers, places):
        parts = register.integers()
        moved = {
            part: sum((part >> bit & 1) << place for bit, place in enumerate(at))
            for part in set(parts)
        }
        values = [value | moved[part] for value, part in zip(values, parts)]
    return values


def _joined(registers: List[Register], shots: int) -> List[int]:
    """Return each shot as one integer over all registers, the first declared lowest."""
    values = [0] * shots
    shift = 0
    for register in registers:
        values = [value | part << shift for value, part in zip(values, register.integers())]
        shift += register.bits
    return values
