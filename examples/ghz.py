"""GHZ: entangle many qubits on the container's quantum device, with no SDK at all.

python ghz.py            # 50 qubits, 1000 shots
python ghz.py 8 4000
"""

import sys
import time

from quantainer_client import Circuit, QuantainerError, run
from quantainer_client.histogram import histogram


def ghz(qubits: int) -> Circuit:
    circuit = Circuit(qubits, name=f"ghz-{qubits}").h(0)
    for qubit in range(qubits - 1):
        circuit.cx(qubit, qubit + 1)
    return circuit.measure_all()


def main() -> int:
    qubits = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    shots = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    try:
        start = time.perf_counter()
        result = run(ghz(qubits), shots=shots)
        elapsed = time.perf_counter() - start
    except QuantainerError as error:
        print(f"quantainer: {error}", file=sys.stderr)
        return 1
    metadata = result.metadata
    print(
        f"GHZ state of {qubits} qubits, {shots} shots, {1000 * elapsed:.1f} ms "
        f"({metadata['method']} on {metadata['engine']})"
    )
    print(result.counts())
    print(histogram(result.counts()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
