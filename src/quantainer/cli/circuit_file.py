"""Circuit files on the command line: the options that say how one is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from quantainer.cli.refusal import MisuseError
from quantainer.core.spelling import guess
from quantainer_client.errors import QuantainerError
from quantainer_client.inputs import inputs_of
from quantainer_client.source import read_source

if TYPE_CHECKING:
    from quantainer.backends.backend import Backend, Limits
    from quantainer.circuits import Circuit

__all__ = [
    "BackendName",
    "CircuitName",
    "File",
    "Format",
    "FormatName",
    "GateLibrary",
    "Inputs",
    "Level",
    "MaxGates",
    "Reading",
    "backend_named",
    "node_limits",
]

File = Annotated[str, typer.Argument(metavar="FILE", help="Circuit file, or - for standard input.")]
FormatName = Literal["cirq", "columnar", "qasm2", "qasm3", "qir", "qpy", "stim"]
Format = Annotated[
    FormatName | None, typer.Option("--format", help="Format; found by content if absent.")
]
BackendName = Annotated[
    str | None, typer.Option("--backend", "-B", metavar="NAME", help="Device to look at.")
]
GateLibrary = Annotated[
    Literal["legacy", "strict"],
    typer.Option(
        help="OpenQASM 2: legacy (Qiskit's wider one) or strict (qelib1.inc as published)."
    ),
]
CircuitName = Annotated[
    str | None, typer.Option("--circuit", metavar="NAME", help="Which of several circuits.")
]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input", metavar="NAME=VALUE", help="OpenQASM 3: value of an input variable; repeatable."
    ),
]
Level = Annotated[
    int | None,
    typer.Option(min=0, max=3, help="Effort: 0 only makes it fit, 3 tries hardest. Default 1."),
]
MaxGates = Annotated[int | None, typer.Option(min=1, help="Limit of operations, loops unrolled.")]

_WITH_NAMES = ("qir", "qpy")
"""Formats of files that may hold several circuits."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How one file is read."""

    file: str
    format: str | None = None
    gate_library: str = "legacy"
    circuit: str | None = None
    inputs: tuple[str, ...] = ()
    max_gates: int | None = None

    def read(self, *, keep_faults: bool = False) -> Circuit:
        """Read the circuit; ``include`` looks in the folder of the file.

        Args:
            keep_faults: As of ``ReadOptions``: it is to be measured, not run.

        Raises:
            QuantainerError: If there is no such file or it cannot be read.
            MisuseError: If it is a file of one circuit, and another is asked for by name.
        """
        from quantainer.circuits import ReadOptions, read

        chosen: dict[str, Any] = {"gate_library": self.gate_library, "circuit": self.circuit}
        chosen["keep_faults"] = keep_faults
        if self.file != "-":
            chosen["include_path"] = (str(Path(self.file).absolute().parent),)
        if self.inputs:
            chosen["inputs"] = inputs_of(self.inputs)
        if self.max_gates is not None:
            chosen["max_gates"] = self.max_gates
        name = "<stdin>" if self.file == "-" else Path(self.file).name
        found = read(read_source(self.file), name, self.format, ReadOptions(**chosen))
        if self.circuit is not None and found.format not in _WITH_NAMES:
            raise MisuseError(
                "invalid_option",
                f"--circuit {self.circuit!r}: {name} is {found.format}, a file of one circuit.",
                hint="It chooses among the circuits of a QPY file and the functions of a QIR file.",
            )
        return found


def node_limits() -> Limits:
    """Return what this node may spend on one job."""
    from quantainer.backends.backend import Limits
    from quantainer.broker.resources import cpu_grant, memory_grant

    return Limits(memory_grant().free_bytes, cpu_grant().threads)


def backend_named(name: str, limits: Limits) -> Backend:
    """Return a backend of this node.

    Raises:
        QuantainerError: ``unknown_backend`` with the names there are.
    """
    from quantainer.backends.registry import load_backends

    backends = load_backends(limits)
    if name not in backends:
        raise QuantainerError(
            "unknown_backend",
            f"There is no backend {name!r} here.",
            limit=sorted(backends),
            hint=f"{guess(name, backends)}`quantainer devices` lists the backends of this node.",
        )
    return backends[name]
