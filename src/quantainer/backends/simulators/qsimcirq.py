"""Google's qsim: float32 state vectors, fast when large (Apache-2.0, quantumlib/qsim).

Only the native module of the ``qsimcirq`` wheel is loaded, by file (10 ms): its Python part would
import Cirq (1.6 s).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quantainer.backends.simulators.gates import matrices, within
from quantainer.backends.simulators.program import Program
from quantainer.backends.simulators.shots import generator
from quantainer.backends.simulators.simulator import (
    Method,
    Precision,
    Prepared,
    Samples,
    Term,
    Values,
)
from quantainer.core.seed import derive
from quantainer_client.errors import QuantainerError

if TYPE_CHECKING:
    pass

__all__ = ["QsimCirq"]

_VARIANTS = ("avx512", "avx2", "sse", "basic")  # in the order of qsim_decide's numbers
_MATRIX_QUBITS = 4
_QUBITS_MAX = 34
_FUSION = 3  # qubits of a fused gate: a fifth less time than 2 or 4 from 16 to 24 qubits, measured
# No GPU, no noise, no flush to zero, no talk: qsim wants to be told.
_PLAIN = {"g": False, "gmode": 0, "gsst": 512, "gdb": 16, "r": 1, "z": False, "v": 0}


class QsimCirq:
    """Adapter. Every gate goes in as a matrix: qsim fuses matrices anyway."""

    name = "qsimcirq"
    distribution = "qsimcirq"
    module = "qsimcirq"
    methods: frozenset[Method] = frozenset({"statevector"})
    precisions: frozenset[Precision] = frozenset({"single"})
    expects: frozenset[Method] = frozenset()

    def load(self) -> None:
        """Load the native module for this processor."""
        _native()

    def refuses(self, program: Program, method: Method) -> str | None:
        """Refuse what qsim cannot index."""
        del method
        if program.qubits > _QUBITS_MAX:
            return f"it holds {_QUBITS_MAX} qubits at most"
        return None

    def prepare(self, program: Program, method: Method, precision: Precision) -> Prepared:
        """Build qsim's circuit, gates in order of time."""
        del method, precision
        return _Prepared(program)


class _Prepared:
    def __init__(self, program: Program) -> None:
        assert program.readout is not None
        self._readout = program.readout
        self._qubits = program.qubits
        self._circuit = _circuit(program)
        self.bytes = 500 * (len(program.gates) + 1)

    def sample(self, shots: int, seed: int, threads: int) -> Samples:
        """Draw shots. qsim returns them sorted by state; they are shuffled."""
        options = {
            "c": self._circuit,
            "f": _FUSION,
            # Below this width waking threads costs more than they save; the bits are the same.
            "t": threads if self._qubits >= 14 else 1,
            "s": derive(seed, "qsim") >> 32,
            **_PLAIN,
        }
        drawn = _native().qsim_sample_final(options, shots)
        states = np.array(drawn, dtype=np.uint64)
        generator(seed, "order").shuffle(states)
        return Samples(self._readout.pack_states(states))

    def expect(self, terms: Sequence[Term], threads: int) -> Values:
        """Refuse: float32 is not analytic."""
        del terms, threads
        raise QuantainerError("unsupported_circuit", "qsim has no analytic values in double.")


def _circuit(program: Program) -> Any:
    native = _native()
    circuit = native.Circuit()
    circuit.num_qubits = program.qubits
    free = [0] * program.qubits
    placed = []
    gates = tuple(within(program.gates, (), _MATRIX_QUBITS))
    for gate, matrix in zip(gates, matrices(gates), strict=True):
        qubits = gate.qubits
        time = max([free[qubit] for qubit in qubits])
        for qubit in qubits:
            free[qubit] = time + 1
        placed.append((time, qubits, matrix))
    placed.sort(key=itemgetter(0))
    for time, qubits, matrix in placed:
        flat = matrix.ravel().view(np.float64).tolist()
        native.add_matrix_gate(time, qubits[::-1], flat, circuit)
    return circuit


def _native() -> Any:
    """Return qsim's native module for the best instructions this processor has."""
    loaded = sys.modules.get("quantainer_native.qsim")
    if loaded is not None:
        return loaded
    variant = _module("qsim_decide").detect_instructions()
    chosen = _VARIANTS[variant] if 0 <= variant < len(_VARIANTS) else _VARIANTS[-1]
    module = _module(f"qsim_{chosen}")
    sys.modules["quantainer_native.qsim"] = module
    return module


def _module(name: str) -> Any:
    package = find_spec("qsimcirq")
    if package is None or not package.submodule_search_locations:
        raise ImportError("qsimcirq is not installed")
    folder = Path(package.submodule_search_locations[0])
    for suffix in EXTENSION_SUFFIXES:
        file = folder / f"{name}{suffix}"
        if file.exists():
            spec = spec_from_file_location(name, file)
            assert spec is not None
            assert spec.loader is not None
            module = module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise ImportError(f"{folder} holds no native module {name}")
