"""Local: what Qiskit itself simulates in a container in mode ``local``."""

from __future__ import annotations

from importlib.metadata import version

from qiskit import transpile
from qiskit.circuit import CONTROL_FLOW_OP_NAMES
from qiskit.primitives import BackendSamplerV2, StatevectorEstimator
from qiskit.primitives.containers import ObservablesArray
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub

from quantainer_client import seeds
from quantainer_client.errors import QuantainerError
from quantainer_client.lease import AUTOMATIC
from quantainer_client.local import announce, is_local
from quantainer_client.memory import check_state
from quantainer_client.qiskit.backend import QuantainerBackend
from quantainer_client.qiskit.loose import with_loose_register
from quantainer_client.qiskit.observables import terms_of
from quantainer_client.submission import checked_shots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional, Sequence, Union

    from qiskit import QuantumCircuit
    from qiskit.primitives import BasePrimitiveJob
    from qiskit.providers import BackendV2, Job
    from qiskit.transpiler import Target

    from quantainer_client.connection import Connection

__all__ = ["LocalBackend", "estimate", "sample"]


class LocalBackend(QuantainerBackend):
    """``qsim`` in mode ``local``: Aer if the image has it, else Qiskit's ``BasicSimulator``.

    Jobs and results are the simulator's own, which their ``backend_name`` names.
    """

    def __init__(self, connection: Connection) -> None:
        self.simulator = _simulator()
        facts = {"name": AUTOMATIC, "description": f"{_named(self.simulator)}, in this container"}
        super().__init__(connection, facts)

    @property
    def target(self) -> Target:
        """The simulator's gates for Qiskit's transpiler."""
        return self.simulator.target

    def run(
        self, run_input: Union[QuantumCircuit, Sequence[QuantumCircuit]], **options: Any
    ) -> Job:
        """Simulate circuits: as ``QuantainerBackend.run``, but options of the host are refused.

        Raises:
            QuantainerError: ``bad_request``, ``no_measurement``, ``invalid_option``,
                ``invalid_shots``, ``invalid_seed``.
        """
        chosen = self._chosen(options)
        shots, seed, memory = (chosen.pop(name) for name in ("shots", "seed", "memory"))
        is_local(self.connection, self.name, chosen)
        announce(_named(self.simulator))
        circuits = list(run_input) if isinstance(run_input, (list, tuple)) else [run_input]
        if not circuits:
            raise QuantainerError("bad_request", "There is no circuit to run.")
        for circuit in circuits:
            _check_measured(circuit)
        return self.simulator.run(
            _fitted(circuits, self.simulator),
            shots=checked_shots(shots),
            seed_simulator=_checked(seed),
            memory=memory,
        )


def sample(pubs: List[SamplerPub], seed: Optional[int]) -> BasePrimitiveJob:
    """Simulate the pubs of a sampler.

    Raises:
        QuantainerError: ``no_measurement``, ``invalid_shots``, ``invalid_seed``.
    """
    simulator = _simulator()
    announce(_named(simulator))
    for pub in pubs:
        _check_measured(pub.circuit)
        checked_shots(pub.shots)
    fitted = _fitted([with_loose_register(pub.circuit) for pub in pubs], simulator)
    sampler = BackendSamplerV2(backend=simulator, options={"seed_simulator": _checked(seed)})
    return sampler.run(
        [SamplerPub(circuit, pub.parameter_values, pub.shots) for circuit, pub in zip(fitted, pubs)]
    )


def estimate(pubs: List[EstimatorPub], seed: Optional[int]) -> BasePrimitiveJob:
    """Simulate the pubs of an estimator: exactly for precision 0.

    Raises:
        QuantainerError: ``unsupported_circuit`` for measurements on the way, ``too_large``,
            ``invalid_seed``.
    """
    announce(f"Qiskit {version('qiskit')}'s StatevectorEstimator")
    return StatevectorEstimator(seed=_checked(seed)).run([_estimated(pub) for pub in pubs])


def _estimated(pub: EstimatorPub) -> EstimatorPub:
    """Return a pub as Qiskit's estimator takes it: without final measurements and projectors."""
    check_state(pub.circuit.num_qubits)
    circuit = pub.circuit.remove_final_measurements(inplace=False)
    if any(step.clbits or step.operation.name in CONTROL_FLOW_OP_NAMES for step in circuit.data):
        raise QuantainerError(
            "unsupported_circuit",
            f"Circuit {pub.circuit.name!r} measures or decides on the way, and expectation values "
            "are of circuits that do not.",
            hint="Measure at the end, or sample it.",
        )
    spelt = [dict(terms_of(item)) for item in pub.observables.ravel().tolist()]
    observables = ObservablesArray(spelt).reshape(pub.observables.shape)
    return EstimatorPub(circuit, observables, pub.parameter_values, pub.precision)


def _check_measured(circuit: QuantumCircuit) -> None:
    if not _measures(circuit):
        raise QuantainerError(
            "no_measurement",
            f"Circuit {circuit.name!r} measures nothing.",
            hint="Add a measurement, or ask an estimator for expectation values.",
        )


def _measures(circuit: QuantumCircuit) -> bool:
    return any(
        step.operation.name == "measure"
        or any(map(_measures, getattr(step.operation, "blocks", ())))
        for step in circuit.data
        if step.clbits
    )


def _checked(seed: Optional[int]) -> Optional[int]:
    return None if seed is None else seeds.checked(seed)


def _simulator() -> BackendV2:
    try:
        from qiskit_aer import AerSimulator
    except ImportError:
        from qiskit.providers.basic_provider import BasicSimulator

        return BasicSimulator()
    return AerSimulator()


def _named(simulator: BackendV2) -> str:
    """Return a simulator's name and version for people."""
    package = type(simulator).__module__.partition(".")[0].replace("_", "-")
    return f"{type(simulator).__name__} of {package} {version(package)}"


def _fitted(circuits: List[QuantumCircuit], simulator: BackendV2) -> List[QuantumCircuit]:
    """Return circuits in the simulator's gates."""
    fitted: List[QuantumCircuit] = transpile(circuits, simulator, optimization_level=0)
    return fitted
