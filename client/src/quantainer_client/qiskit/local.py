"""Local: what Qiskit itself simulates in a container in mode ``local``."""

from __future__ import annotations

from importlib.metadata import version

from qiskit import transpile
from qiskit.primitives import BackendSamplerV2, StatevectorEstimator
from qiskit.primitives.containers.sampler_pub import SamplerPub

from quantainer_client import seeds
from quantainer_client.lease import AUTOMATIC
from quantainer_client.local import announce, is_local
from quantainer_client.qiskit.backend import QuantainerBackend
from quantainer_client.submission import checked_shots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional, Sequence, Union

    from qiskit import QuantumCircuit
    from qiskit.primitives import BasePrimitiveJob
    from qiskit.primitives.containers.estimator_pub import EstimatorPub
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
            QuantainerError: ``invalid_option``, ``invalid_shots``, ``invalid_seed``.
        """
        chosen = self._chosen(options)
        shots, seed, memory = (chosen.pop(name) for name in ("shots", "seed", "memory"))
        is_local(self.connection, self.name, chosen)
        announce(_named(self.simulator))
        circuits = list(run_input) if isinstance(run_input, (list, tuple)) else [run_input]
        return self.simulator.run(
            _fitted(circuits, self.simulator),
            shots=checked_shots(shots),
            seed_simulator=_checked(seed),
            memory=memory,
        )


def sample(pubs: List[SamplerPub], seed: Optional[int]) -> BasePrimitiveJob:
    """Simulate the pubs of a sampler."""
    simulator = _simulator()
    announce(_named(simulator))
    fitted = _fitted([pub.circuit for pub in pubs], simulator)
    sampler = BackendSamplerV2(backend=simulator, options={"seed_simulator": _checked(seed)})
    return sampler.run(
        [SamplerPub(circuit, pub.parameter_values, pub.shots) for circuit, pub in zip(fitted, pubs)]
    )


def estimate(pubs: List[EstimatorPub], seed: Optional[int]) -> BasePrimitiveJob:
    """Simulate the pubs of an estimator: exactly for precision 0."""
    announce(f"Qiskit {version('qiskit')}'s StatevectorEstimator")
    return StatevectorEstimator(seed=_checked(seed)).run(pubs)


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
