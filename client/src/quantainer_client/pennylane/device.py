"""QuantainerDevice: one of the node's backends as a PennyLane device."""

from __future__ import annotations

from dataclasses import replace

from pennylane.devices import Device, ExecutionConfig
from pennylane.devices.modifiers import simulator_tracking, single_tape_support
from pennylane.devices.preprocess import decompose, validate_device_wires, validate_measurements
from pennylane.measurements import Shots
from pennylane.ops import Conditional
from pennylane.transforms import broadcast_expand, defer_measurements

from quantainer_client import seeds
from quantainer_client.connection import Connection, connect
from quantainer_client.errors import QuantainerError
from quantainer_client.local import is_local
from quantainer_client.pennylane import samples, values
from quantainer_client.pennylane.encode import MID_MEASURE
from quantainer_client.pennylane.gates import is_supported
from quantainer_client.pennylane.local import simulated
from quantainer_client.pennylane.runs import pubs_of
from quantainer_client.pennylane.tasks import task_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional, Sequence, Tuple

__all__ = ["QuantainerDevice"]


@simulator_tracking
@single_tape_support
class QuantainerDevice(Device):  # type: ignore[misc]
    """Runs tapes on the device; all tapes of a call are one job.

    Args:
        wires: Number of wires, or their labels; None: whatever wires a circuit has.
        shots: Shots of circuits that name none; None: exact values, which simulators have.
        backend: One that the lease grants; None: ``qsim``, or else the only one granted.
        seed: 0 to 2⁶³ − 1; the same seed gives the same series of results. None: fresh entropy.
        options: ``method``, ``engine``, ``precision``, ``truncation_max``, ``level``.
        connection: By default the process's own.
    """

    name = "quantainer.qpu"

    def __init__(
        self,
        wires: Any = None,
        shots: Any = None,
        *,
        backend: Optional[str] = None,
        seed: Optional[int] = None,
        options: Optional[Dict[str, Any]] = None,
        connection: Optional[Connection] = None,
    ) -> None:
        super().__init__(wires=wires)
        self._shots = Shots(shots)  # after the base class, which warns of shots on devices
        self._backend = backend
        self._options = options
        self._seeds = seeds.series(seed)
        self._connection = connection or connect()

    def setup_execution_config(
        self, config: Optional[ExecutionConfig] = None, circuit: Any = None
    ) -> ExecutionConfig:
        """Choose how mid-circuit measurements run.

        With shots they run as they are; without, they are deferred to the end, which takes a wire
        each.
        """
        config = config or ExecutionConfig()
        if config.use_device_gradient:
            raise _refused("It has no gradients of its own; use parameter-shift.")
        chosen = config.mcm_config
        method = chosen.mcm_method
        if method is None:
            method = "device" if circuit is not None and circuit.shots else "deferred"
        if str(method) not in ("device", "deferred"):
            raise _refused(f"It does not know mcm_method {str(method)!r}, only deferred or device.")
        if str(method) == "device" and str(chosen.postselect_mode) == "fill-shots":
            raise _refused("Postselection discards shots here; it does not fill them up.")
        return replace(config, mcm_config=replace(chosen, mcm_method=method))

    def preprocess_transforms(self, execution_config: Optional[ExecutionConfig] = None) -> Any:
        """Return the transforms after which a tape can travel."""
        config = execution_config or ExecutionConfig()
        pipeline = super().preprocess_transforms(config)  # empty: there are no capabilities
        deferred = str(config.mcm_config.mcm_method) != "device"
        if deferred:
            pipeline.add_transform(defer_measurements, allow_postselect=False)
        pipeline.add_transform(
            decompose,
            stopping_condition=is_supported if deferred else _is_supported_or_dynamic,
            skip_initial_state_prep=False,
            name=self.name,
        )
        pipeline.add_transform(validate_device_wires, self.wires, name=self.name)
        pipeline.add_transform(
            validate_measurements,
            analytic_measurements=values.is_exact,
            sample_measurements=samples.is_sampled,
            name=self.name,
        )
        pipeline.add_transform(broadcast_expand)
        return pipeline

    def execute(
        self, circuits: Sequence[Any], execution_config: Optional[ExecutionConfig] = None
    ) -> Tuple[Any, ...]:
        """Run tapes as one job.

        Raises:
            QuantainerError: Whatever cannot travel, or the broker refuses, or the job fails of.
        """
        del execution_config
        if is_local(self._connection, self._backend, self._options):
            return simulated(circuits, self.wires, next(self._seeds))
        tasks = [task_of(tape, self.wires) for tape in circuits]
        pubs, places = pubs_of([run for task in tasks for run in task.runs])
        result = self._connection.run(
            pubs,
            backend=self._backend,
            seed=next(self._seeds),
            options=self._options,
        )
        found = iter([(result[pub], row) for pub, row in places])
        return tuple(task.read([next(found) for _ in task.runs]) for task in tasks)


def _refused(why: str) -> QuantainerError:
    return QuantainerError("invalid_option", f"Device quantainer.qpu: {why}")


def _is_supported_or_dynamic(operation: Any) -> bool:
    if isinstance(operation, Conditional):
        return is_supported(operation.base)
    return operation.name == MID_MEASURE or is_supported(operation)
