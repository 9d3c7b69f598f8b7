"""Detect: tell the format of a circuit by its content, never by its file name."""

from __future__ import annotations

import re

from quantainer.circuits.refusal import invalid, position

__all__ = ["ASSUMED", "detect"]

_MAGIC = {
    b"QISKIT": "qpy",
    b"QCOL": "columnar",
    b"BC\xc0\xde": "qir",  # LLVM bitcode
    b"\xde\xc0\x17\x0b": "qir",  # LLVM bitcode in its wrapper
}
_COMPRESSED = {b"\xfd7zXZ\x00": "xz", b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"PK\x03\x04": "zip"}

_SPACE = r"(?:\s|//[^\n]*(?:\n|$)|/\*(?:[^*]|\*(?!/))*\*/)*+"
_VERSION = re.compile(_SPACE + r"OPENQASM\s+([0-9]+)(?:\.[0-9]+)?")
_SHOWN = 40
_LLVM = re.compile(
    r"(?m)^\s*(?:; ModuleID|source_filename\s*=|target datalayout|%\S+ = type|declare |define )"
)
_PYTHON = re.compile(r"(?m)^(?:from\s+[\w.]+\s+import\s|import\s+[\w.]+\s*(?:$|as\s|,))")
_STIM = re.compile(r"[A-Z][A-Z0-9_]*(?![a-z])[^;{}\"]*$|REPEAT\s+\d+\s*\{$|\}$")


def detect(data: bytes, name: str = "") -> str:
    """Return the format's name.

    Raises:
        QuantainerError: ``invalid_circuit`` if the content is of no known format.
    """
    for magic, found in _MAGIC.items():
        if data.startswith(magic):
            return found
    for magic, tool in _COMPRESSED.items():
        if data.startswith(magic):
            raise invalid(name, f"the file is compressed with {tool}", hint="Unpack it first.")
    if not data.strip():
        raise invalid(name, "the file is empty", line=1)
    text = data.decode("utf-8", errors="replace").removeprefix("\ufeff")
    start = text.lstrip()[:1]
    if start in ("{", "["):
        return _json(text, name)
    version = _VERSION.match(text)
    if version:
        return _openqasm(text, version, name)
    if _LLVM.search(text):
        return "qir"
    if _is_stim(text):
        return "stim"
    if "\x00" in text:
        raise invalid(name, "binary data of no known circuit format", hint=_KNOWN)
    python = _PYTHON.search(text)
    if python:
        raise invalid(
            name,
            "a Python program, and no circuit",
            line=position(text, python.start())[0],
            hint="Run it in a container: quantainer run --device /dev/qsim IMAGE python3 FILE.",
        )
    # OpenQASM without its version line: the specification of version 3 makes the line optional,
    # that of version 2 does not, but files that include version 2's library are common.
    return "qasm2" if re.search(r'include\s*"qelib1\.inc"', text) else "qasm3"


_KNOWN = (
    "Known: OpenQASM 2 and 3, QPY, Cirq JSON, Stim, QIR (.ll, .bc), and Quantainer's columnar form."
)


# What is said beside a fault in text that says nowhere what it is.
ASSUMED = f"It has no line `OPENQASM 3.0;` and was taken for OpenQASM 3. {_KNOWN}"


def _json(text: str, name: str) -> str:
    if '"cirq_type"' not in text:
        raise invalid(name, "JSON, but not of Cirq: no cirq_type in it", line=1, hint=_KNOWN)
    return "cirq"


def _openqasm(text: str, version: re.Match[str], name: str) -> str:
    if version[1] in ("2", "3"):
        return f"qasm{version[1]}"
    line, column = position(text, version.start(1))
    found = text[version.start(1) : version.end()]
    if len(found) > _SHOWN:
        found = f"{found[:_SHOWN]}…"
    raise invalid(
        name,
        f"unsupported OpenQASM version {found}",
        line=line,
        column=column,
        hint="Versions 2 and 3 are read.",
    )


def _is_stim(text: str) -> bool:
    """Tell whether the first lines that are not comments are Stim instructions."""
    code = (line.split("#")[0].strip() for line in text[:65536].splitlines())
    lines = [line for line in code if line][:5]
    return bool(lines) and all(_STIM.match(line) for line in lines)
