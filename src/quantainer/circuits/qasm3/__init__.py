"""OpenQASM 3 as a language: read it, run it as far as it can be known, export it."""

from __future__ import annotations

from quantainer.circuits.circuit import Circuit
from quantainer.circuits.options import ReadOptions
from quantainer.circuits.qasm3.build import build
from quantainer.circuits.qasm3.export import export
from quantainer.circuits.qasm3.fast import read_plain
from quantainer.circuits.qasm3.program import run
from quantainer.circuits.qasm3.source import Source

__all__ = ["export", "read"]

_DEFAULTS = ReadOptions()


def read(data: bytes, name: str = "", options: ReadOptions = _DEFAULTS) -> Circuit:
    """Read an OpenQASM 3 program.

    What can be computed while reading is: loops are unrolled, subroutines executed, constants
    folded.
    What depends on measurements is left as stores, branches and loops on classical bits.

    Raises:
        QuantainerError: ``invalid_circuit`` and ``unsupported_circuit`` as ``file:line:column:
            reason``;
            ``too_large`` with the limit that was hit.
    """
    source = Source.decode(name, data)
    plain = None if options.inputs else read_plain(source.text, name, options)
    if plain is not None:
        return Circuit(plain, "qasm3", name)
    machine = run(source, options)
    return Circuit(build(machine, name), "qasm3", name, tuple(machine.notes))
