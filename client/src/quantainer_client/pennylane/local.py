"""Local: what PennyLane itself simulates in a container in mode ``local``."""

from __future__ import annotations

import pennylane as qml

from quantainer_client.local import announce
from quantainer_client.memory import check_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional, Sequence, Tuple

__all__ = ["simulated"]


def simulated(tapes: Sequence[Any], wires: Any, seed: Optional[int]) -> Tuple[Any, ...]:
    """Return the results of preprocessed tapes by ``default.qubit``, each with its own methods.

    Raises:
        QuantainerError: ``too_large`` for a state that does not fit in memory.
    """
    announce(f"default.qubit of PennyLane {qml.version()}")
    for tape in tapes:
        check_state(len(wires or tape.wires))
    device = qml.device("default.qubit", wires=wires, seed=seed)
    results = []
    for tape in tapes:
        config = device.setup_execution_config(circuit=tape)
        batch, read = device.preprocess_transforms(config)([tape])
        results.append(read(device.execute(batch, config))[0])
    return tuple(results)
