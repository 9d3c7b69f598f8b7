"""Circuit files on the command line: the options that say how one is read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from quantainer.cli.refusal import MisuseError
from quantainer.core.spelling import guess, listed
from quantainer_client.errors import QuantainerError
from quantainer_client.includes import Program, with_includes
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
    "inputs_given",
    "name_of",
    "node_limits",
    "program_in",
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
        """Read the circuit, with what it includes from the folder of the file.

        Args:
            keep_faults: As of ``ReadOptions``: it is to be measured, not run.

        Raises:
            QuantainerError: If there is no such file or it cannot be read.
            MisuseError: If it is a file of one circuit, and another is asked for by name.
        """
        from quantainer.circuits import ReadOptions, read

        chosen: dict[str, Any] = {"gate_library": self.gate_library, "circuit": self.circuit}
        chosen["keep_faults"] = keep_faults
        if self.inputs:
            chosen["inputs"] = inputs_given(self.inputs)
        if self.max_gates is not None:
            chosen["max_gates"] = self.max_gates
        name = name_of(self.file) or "<stdin>"
        program = program_in(self.file, self.format)
        try:
            with program.located():
                return read(program.data, name, self.format, ReadOptions(**chosen))
        except QuantainerError as error:
            if error.code != "invalid_option":
                error.hint = error.hint and error.hint.replace("`max_gates`", "--max-gates")
                raise
            message = f"--circuit {self.circuit!r}: {error.message}"
            raise MisuseError(error.code, message, hint=error.hint) from None


def name_of(file: str) -> str:
    """Return the name of a file as text, whatever its bytes are; none for standard input."""
    return "" if file == "-" else os.fsencode(Path(file).name).decode(errors="replace")


def inputs_given(texts: Iterable[str]) -> dict[str, Any]:
    """Return the values of inputs by name.

    Raises:
        MisuseError: For a text that is not NAME=VALUE, or a name that is given twice.
    """
    try:
        return inputs_of(texts)
    except QuantainerError as error:
        raise MisuseError(error.code, error.message, hint=error.hint) from None


def program_in(file: str, format: str | None) -> Program:
    """Return the program in a file or in standard input, with the files that it includes.

    Raises:
        QuantainerError: If it cannot be read.
    """
    return with_includes(read_source(file), file, format)


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
            hint=f"{guess(name, backends)}There are {listed(backends)}: `quantainer devices`.",
        )
    return backends[name]
