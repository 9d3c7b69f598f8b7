"""Read: bytes of any format in, one :class:`~quantainer.circuits.circuit.Circuit` out."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import cast

from quantainer.circuits.circuit import Circuit
from quantainer.circuits.detect import ASSUMED, detect
from quantainer.circuits.options import ReadOptions
from quantainer.circuits.refusal import invalid, over_limit
from quantainer_client.errors import QuantainerError

__all__ = ["FORMATS", "SEVERAL", "read"]

Reader = Callable[[bytes, str, ReadOptions], Circuit]

FORMATS = {
    # format: the module whose ``read(data, name, options)`` reads it
    "columnar": "quantainer.circuits.columnar",
    "qpy": "quantainer.circuits.qpy",
    "qasm2": "quantainer.circuits.qasm2",
    "qasm3": "quantainer.circuits.qasm3",
    "cirq": "quantainer.circuits.cirq_json",
    "stim": "quantainer.circuits.stim_text",
    "qir": "quantainer.circuits.qir",
}

SEVERAL = ("qir", "qpy")
"""Formats of files that may hold several circuits."""
_DEFAULTS = ReadOptions()
_FRAMES = 1000
_FRAMES_A_LEVEL = 20


def read(
    data: bytes,
    name: str = "",
    format: str | None = None,
    options: ReadOptions = _DEFAULTS,
) -> Circuit:
    """Read one circuit.

    Args:
        data: The file's or message's bytes.
        name: File or program name, for messages.
        format: One of ``FORMATS``; ``None`` finds it by content.
        options: Limits and choices.

    Raises:
        QuantainerError: ``invalid_circuit`` with file, line, column and reason; ``too_large`` with
            the limit that was hit; ``unsupported_circuit`` for what is valid but not representable;
            ``invalid_parameters`` for inputs that it does not have.
    """
    if len(data) > options.max_bytes:
        raise over_limit(name, "bytes", "max_bytes", limit=options.max_bytes, needed=len(data))
    found_by_content = format is None
    if format is None:
        format = detect(data, name)
    _check_choices(format, name, options)
    reader = cast(Reader, importlib.import_module(FORMATS[format]).read)
    # Readers stop at ``max_nesting`` themselves; the interpreter must not stop them before.
    frames = sys.getrecursionlimit()
    sys.setrecursionlimit(max(frames, _FRAMES + _FRAMES_A_LEVEL * options.max_nesting))
    try:
        return reader(data, name, options)
    except QuantainerError as error:
        if found_by_content and format == "qasm3" and b"OPENQASM" not in data:
            error.hint = error.hint or ASSUMED
        raise
    except RecursionError:
        raise invalid(name, "the circuit is nested too deeply to be read") from None
    except MemoryError:
        raise invalid(
            name, "the circuit needs more memory than there is", code="too_large"
        ) from None
    except Exception as error:
        raise invalid(name, f"not a readable {format} circuit: {_say(error)}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # pyo3 raises panics past ``Exception``
            raise
        raise invalid(name, f"not a readable {format} circuit: {_say(error)}") from None
    finally:
        sys.setrecursionlimit(frames)


def _check_choices(format: str, name: str, options: ReadOptions) -> None:
    """Refuse a format that there is not, and choices that the format does not have."""
    if format not in FORMATS:
        raise QuantainerError(
            "invalid_option",
            f"unknown circuit format {format!r}",
            limit=sorted(FORMATS),
            hint="Leave the format out to have it found by content.",
        )
    if options.inputs and format != "qasm3":
        raise QuantainerError(
            "invalid_parameters",
            f"{name or 'The circuit'}: values of inputs are given, but only OpenQASM 3 has inputs, "
            f"and this is {format}.",
        )
    if options.circuit is not None and format not in SEVERAL:
        raise QuantainerError(
            "invalid_option",
            f"{name or '<circuit>'} is {format}, a file of one circuit, and {options.circuit!r} is "
            "asked for.",
            hint="A name chooses among the circuits of a QPY file and the functions of a QIR file.",
        )


def _say(error: BaseException) -> str:
    first = str(error).strip().splitlines()
    return f"{type(error).__name__}: {first[0]}" if first else type(error).__name__
