"""The quantum-sim image builds without a registry, and the paper's line runs in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.broker import Broker
from engine.docker import Docker

pytestmark = [pytest.mark.engine, pytest.mark.slow]

BUILD = Path(__file__).parents[2] / "images" / "quantum-sim" / "build"
TAG = "quantainer-test/python:3.11-quantum-sim"
PROGRAM = """
import importlib.util
from qiskit import QuantumCircuit
from quantainer_client.qiskit import QuantainerProvider
circuit = QuantumCircuit(32)
circuit.h(0)
circuit.cx(0, list(range(1, 32)))
circuit.measure_all()
backend = QuantainerProvider().backend("qsim")
print(sorted(backend.run(circuit, shots=1000).result().get_counts()))
print(importlib.util.find_spec("qiskit_aer"), importlib.util.find_spec("stim"))
"""


@pytest.mark.timeout(600)
def test_image_builds_from_a_local_base(docker: Docker, base: str, broker: Broker) -> None:
    done = subprocess.run(
        [BUILD, "--base", base, "--tag", TAG, "--python", sys.executable],
        capture_output=True,
        text=True,
        env=docker.environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    try:
        options = ("--rm", "-it", "--device", "/dev/qsim", "--network", "none")
        mode = ("--security-opt", "quantum.mode=hybrid")
        line = ("run", *options, *mode, TAG, "python", "-c", PROGRAM)
        shown = broker(*line, env=docker.environment()).stdout.splitlines()
    finally:
        docker("image", "rm", "-f", TAG)
    assert shown == [str(["0" * 32, "1" * 32]), "None None"]
