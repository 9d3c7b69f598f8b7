"""Coverage-guided fuzzing of one reader: ``python tests/fuzz/fuzz_readers.py FORMAT [libFuzzer
options]``.

A crash, a hang over ``-timeout``, or anything but a circuit or a ``QuantainerError`` ends the run
with the input that did it. The corpus of other people's circuits, where it is there, gives the
seeds:

    python tests/fuzz/fuzz_readers.py qasm2 -max_total_time=600 -timeout=20
"""

from __future__ import annotations

import csv
import importlib
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["quantainer", "quantainer_client"]):
    from quantainer.circuits import ReadOptions, measure, read
    from quantainer.circuits.reader import FORMATS as MODULES
    from quantainer_client.errors import QuantainerError

    # Readers are imported when they are needed; here now, since only what is imported here guides.
    for module in MODULES.values():
        importlib.import_module(module)

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
OPTIONS = ReadOptions(max_bytes=1 << 16, max_gates=20_000, max_qubits=2000, max_clbits=2000,
                      max_iterations=20_000, keep_faults=True)  # fmt: skip
FORMATS = {"qasm2": "OpenQASM2", "qasm3": "OpenQASM3", "qpy": "QPY", "cirq": "Cirq-JSON",
           "stim": "stim", "qir": "QIR-ll", "columnar": ""}  # fmt: skip


def seeds(format: str, folder: Path) -> None:
    """Write small files of the format to a folder."""
    from quantainer_client.circuit import Circuit, Symbol

    if format == "columnar":
        circuit = Circuit(2, 2).h(0).rx(2 * Symbol("a") + 1, 0).cx(0, 1).measure([0, 1], [0, 1])
        (folder / "seed").write_bytes(circuit.x(0, condition=([1], 1)).encode())
        return
    index = CORPUS / "INDEX.tsv"
    if not index.exists():
        return
    with index.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file, delimiter="\t")):
            path = CORPUS / row["path"]
            if row["format"] == FORMATS[format] and path.stat().st_size < 8192:
                (folder / str(number)).write_bytes(path.read_bytes())


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in FORMATS:
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(FORMATS)} [libFuzzer options]")
    format = sys.argv[1]

    def one_input(data: bytes) -> None:
        try:
            measure(read(data, "fuzz", format, OPTIONS))
        except QuantainerError as error:
            if error.code == "internal":
                raise

    with tempfile.TemporaryDirectory() as folder:
        seeds(format, Path(folder))
        atheris.Setup([sys.argv[0], *sys.argv[2:], folder], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
