"""What a worker says before it aborts: a refused allocation is told from other ends."""

from __future__ import annotations

import asyncio
import ctypes.util
import subprocess
import sys
from importlib.util import find_spec

import pytest

from quantainer.broker.lastwords import LastWords

RUST = """
import resource
from quantainer.backends.simulators.catalogue import Catalogue
from quantainer.backends.simulators.lowering import lower
from qiskit import QuantumCircuit

def prepared(qubits):
    circuit = QuantumCircuit(qubits)
    circuit.ry(0.1, range(qubits))
    circuit.measure_all()
    return engine.prepare(lower(circuit, ()), "statevector", "double")

engine = Catalogue().offered["{engine}"]
engine.load()
prepared(18).sample(1, 0, 1)  # its threads have started
with open("/proc/self/statm") as file:
    bound = int(file.read().split()[5]) * resource.getpagesize() + (1 << 28)
resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
prepared(26).sample(1, 0, 1)
"""
CPP = """
import ctypes, resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
new = ctypes.CDLL("{library}")._Znwm
new.argtypes = [ctypes.c_size_t]
new(1 << 40)
"""


def heard(code: str) -> tuple[int, bool]:
    """Run a program; return its status, and whether it is known to have lacked memory."""

    async def scene() -> tuple[int, bool]:
        words = LastWords(asyncio.get_running_loop())
        with words.handed_over():
            process = subprocess.Popen([sys.executable, "-c", code], stderr=words.fd)
        status = await asyncio.to_thread(process.wait, 60)
        words.close()
        return status, words.memory_was_refused

    return asyncio.run(scene())


@pytest.mark.parametrize(("engine", "module"), [("panta", "panta_sim"), ("prism", "prism_q")])
def test_an_engine_that_lacks_memory_says_so(engine: str, module: str) -> None:
    if find_spec(module) is None:
        pytest.skip(f"{engine} is not installed")
    status, lacked = heard(RUST.format(engine=engine))
    assert status < 0
    assert lacked


def test_an_exception_of_cpp_that_nobody_caught() -> None:
    library = ctypes.util.find_library("stdc++")
    if library is None:
        pytest.skip("there is no C++ library to be called")
    status, lacked = heard(CPP.format(library=library))
    assert status < 0
    assert lacked


@pytest.mark.parametrize(
    "code", ["import os; os.abort()", "raise SystemExit('it is broken')", "1 / 0"]
)
def test_other_ends_are_not_taken_for_it(code: str) -> None:
    status, lacked = heard(code)
    assert status != 0
    assert not lacked


def test_what_concerns_earlier_work_is_forgotten() -> None:
    async def scene() -> None:
        words = LastWords(asyncio.get_running_loop())
        with words.handed_over():
            subprocess.run(["sh", "-c", "echo std::bad_alloc >&2"], stderr=words.fd, check=True)
        await asyncio.sleep(0.05)
        assert words.memory_was_refused
        words.forget()
        assert not words.memory_was_refused
        words.close()

    asyncio.run(scene())


def test_all_of_it_is_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    """More than a pipe holds, so that one who does not read would stop the worker."""
    code = "import sys; sys.stderr.write('x' * 300_000 + 'end')"
    assert heard(code) == (0, False)
    assert capfd.readouterr().err == "x" * 300_000 + "end"
