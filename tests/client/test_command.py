"""``python -m quantainer_client`` and the examples, as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def run(socket: Path, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run Python with nothing in the environment: no HOME, no user, only the socket."""
    environment = {
        "QUANTAINER_SOCKET": str(socket),
        "PYTHONPATH": str(ROOT / "client" / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
    }
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        **options,  # type: ignore[call-overload]
    )


def client(socket: Path, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return run(socket, "-S", "-m", "quantainer_client", *arguments, **options)


def test_a_circuit_file_is_run_and_drawn(broker_socket: Path) -> None:
    done = client(broker_socket, "run", str(EXAMPLES / "bell.qasm"), "--shots", "100")
    assert done.returncode == 0, done.stderr
    assert "100 shots on qsim" in done.stdout
    rows = [line for line in done.stdout.splitlines() if line[:2] in ("00", "11")]
    assert len(rows) == 2
    assert all("█" in row for row in rows)


def test_the_json_result_has_the_documented_shape(broker_socket: Path) -> None:
    file = str(EXAMPLES / "bell.qasm")
    done = client(broker_socket, "run", file, "--shots", "100", "--seed", "5", "--json")
    result = json.loads(done.stdout)
    assert list(result) == [
        "job",
        "backend",
        "method",
        "shots",
        "counts",
        "registers",
        "metadata",
    ]
    assert sum(result["counts"].values()) == result["shots"] == 100
    assert result["registers"] == [{"name": "c", "bits": 2, "counts": result["counts"]}]
    assert result["metadata"]["seed"] == 5
    again = client(broker_socket, "run", file, "--shots", "100", "--seed", "5", "--json")
    assert json.loads(again.stdout)["counts"] == result["counts"]


def test_a_circuit_comes_from_standard_input(broker_socket: Path) -> None:
    text = (EXAMPLES / "bell.qasm").read_text()
    done = client(broker_socket, "run", "-", "--shots", "10", "--json", input=text)
    assert sum(json.loads(done.stdout)["counts"].values()) == 10


def test_devices_and_hello(broker_socket: Path) -> None:
    assert "qsim" in client(broker_socket, "devices").stdout
    listed = json.loads(client(broker_socket, "devices", "--json").stdout)
    assert "qsim" in [backend["name"] for backend in listed]
    assert "protocol 1" in client(broker_socket, "hello").stdout
    assert json.loads(client(broker_socket, "hello", "--json").stdout)["protocol"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "/nowhere.qasm"], 1, ["/nowhere.qasm", "No such file"]),
        (["run", "/dev/null"], 1, ["quantainer:"]),
        (["run", str(EXAMPLES / "bell.qasm"), "--shots", "0"], 1, ["shots", "from 1"]),
        (["run", str(EXAMPLES / "bell.qasm"), "--shots", "many"], 1, ["--shots", "'many'"]),
        (["run", str(EXAMPLES / "bell.qasm"), "--shots", "1" + "0" * 12], 1, ["limit"]),
        (["run", str(EXAMPLES / "bell.qasm"), "--seed", "4.5"], 1, ["--seed", "'4.5'"]),
        (["run", str(EXAMPLES / "bell.qasm"), "--seed", "-1"], 1, ["9223372036854775807"]),
        (["run", str(EXAMPLES / "bell.qasm"), "--backend", "x"], 1, ["'x'"]),
        (["run", str(EXAMPLES / "bell.qasm"), "--timeout", "-1"], 2, ["--timeout", "'-1'"]),
        (["run", str(EXAMPLES / "bell.qasm"), "--timeout", "nan"], 2, ["--timeout", "'nan'"]),
        (["run"], 2, ["usage"]),
        ([], 2, ["usage"]),
        (["nonsense"], 2, ["usage"]),
    ],
)
def test_refusals_are_one_sentence_and_an_exit_code(
    broker_socket: Path, arguments: list[str], code: int, words: list[str]
) -> None:
    done = client(broker_socket, *arguments)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_without_a_device_the_way_out_is_named(tmp_path: Path) -> None:
    done = client(tmp_path / "none", "hello")
    assert done.returncode == 1
    assert "--device quantainer.dev/qpu=qsim" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_everywhere() -> None:
    for arguments in (["--help"], ["run", "--help"], ["devices", "--help"], ["hello", "--help"]):
        done = client(Path("/none"), *arguments)
        assert done.returncode == 0
        assert "usage" in done.stdout


def test_an_unknown_user_without_a_home_on_a_read_only_root(broker_socket: Path) -> None:
    """Nothing is written and nobody is asked who the user is: only the socket must be open."""
    code = (
        "import os, sys\n"
        "def refuse(event, arguments):\n"
        "    write = event == 'open' and isinstance(arguments[2], int) and arguments[2] & 3\n"
        "    if write or event.startswith(('pwd', 'os.mkdir', 'shutil', 'tempfile')):\n"
        "        raise PermissionError(f'{event} {arguments}')\n"
        "sys.addaudithook(refuse)\n"
        "from quantainer_client import Circuit, run\n"
        "print(run(Circuit(1).x(0).measure_all(), shots=3).counts())\n"
    )
    done = run(broker_socket, "-S", "-c", code, cwd="/")
    assert done.stdout.strip() == "{'1': 3}", done.stderr


def test_the_ghz_example_needs_no_sdk(broker_socket: Path) -> None:
    done = run(broker_socket, "-S", str(EXAMPLES / "ghz.py"), "30", "200")
    assert done.returncode == 0, done.stderr
    assert "GHZ state of 30 qubits, 200 shots" in done.stdout
    assert "█" in done.stdout


@pytest.mark.parametrize("name", ["ghz_qiskit", "ghz_cirq"])
def test_the_sdk_examples_run(broker_socket: Path, name: str) -> None:
    done = run(broker_socket, str(EXAMPLES / f"{name}.py"))
    assert done.returncode == 0, done.stderr
    assert "0" * 20 in done.stdout


@pytest.mark.slow
def test_the_vqe_example_finds_the_ground_state(broker_socket: Path) -> None:
    done = run(broker_socket, str(EXAMPLES / "vqe_pennylane.py"))
    assert done.returncode == 0, done.stderr
    found = float(done.stdout.split("found ")[1].split()[0])
    assert -1.8573 < found < -1.85
