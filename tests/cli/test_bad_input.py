"""Bad input, by the host's command, by the container's, and as a bare message on the socket.

Each is refused with the thing, the limit and the way out, or runs; and the broker goes on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.broker import Broker
from programs import BELL, FLIPPED, HEADER, dense
from quantainer_client import wire
from quantainer_client.channel import Channel
from quantainer_client.errors import QuantainerError
from quantainer_client.payload import Payload

Outcome = tuple[bool, str]
"""Whether it ran, and what was printed or refused."""

Submit = Callable[..., Outcome]


@pytest.fixture(params=["host", "container", "message"])
def submit(request: pytest.FixtureRequest, broker: Broker, tmp_path: Path) -> Submit:
    def command(*words: str | Path, **variables: str) -> Outcome:
        done = subprocess.run(
            list(map(str, words)),
            capture_output=True,
            text=True,
            timeout=500,
            env={**broker.environment, **variables},
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
        assert "Traceback" not in done.stderr
        assert "internal error" not in done.stderr
        return done.returncode == 0, done.stdout if done.returncode == 0 else done.stderr

    def file(data: bytes) -> Path:
        path = tmp_path / "input.qasm"
        path.write_bytes(data)
        return path

    def flags(fields: dict[str, Any]) -> list[str]:
        return [word for name, value in fields.items() for word in (f"--{name}", str(value))]

    def host(data: bytes, **fields: Any) -> Outcome:
        return command(*broker.program, "submit", file(data), "--json", *flags(fields))

    def container(data: bytes, **fields: Any) -> Outcome:
        words = [sys.executable, "-m", "quantainer_client", "run", file(data), "--json"]
        return command(*words, *flags(fields), QUANTAINER_SOCKET=str(broker.socket))

    def message(data: bytes, **fields: Any) -> Outcome:
        payload = Payload()
        pub = {"offset": payload.append(data), "length": len(data), "name": "input.qasm"}
        channel, fd = Channel(str(broker.socket), 500), payload.seal()
        request = {"pubs": [pub], "wait": True, "counts": True, **fields}
        try:
            reply, _ = channel.round_trip("submit", request, fd, 500)
        except QuantainerError as refused:
            shown = {"limit": refused.limit, "needed": refused.needed}
            return False, f"{refused}\n{shown}"
        finally:
            channel.close()
            os.close(fd)
        return True, json.dumps(reply)

    return {"host": host, "container": container, "message": message}[request.param]


@pytest.fixture(autouse=True)
def _alive(broker: Broker) -> Iterator[None]:
    """The next job runs."""
    assert broker.process is not None
    number = broker.process.pid
    yield
    assert broker.process.poll() is None
    assert broker.process.pid == number
    done = broker("submit", "-", "--shots", 3, "--json", input=FLIPPED)
    assert json.loads(done.stdout)["counts"] == {"01": 3}


def nonsense() -> Iterator[Any]:
    huge = b"OPENQASM 2.0;\n" + b"// filler\n" * 7_000_000
    yield pytest.param(b"", ["empty"], id="empty")
    yield pytest.param(b" \n\t\n", ["empty"], id="blank")
    yield pytest.param(BELL[:-8].encode(), ["input.qasm:"], id="truncated")
    yield pytest.param(b"OPENQASM 2.0;\nqreg q[2", ["input.qasm:2"], id="truncated at once")
    yield pytest.param(bytes(range(256)) * 64, ["input.qasm"], id="binary")
    yield pytest.param(b"\x7fELF" + os.urandom(4096), ["input.qasm"], id="a program")
    yield pytest.param(b"QISKIT\x11" + os.urandom(200), ["QPY"], id="broken QPY")
    yield pytest.param(
        b"QCOL\x01" + b"\xff" * 200, ["columnar", "bytes 5 to 7"], id="broken columns"
    )
    yield pytest.param(huge, ["67108864", "too large", "Split"], id="huge")


@pytest.mark.parametrize(("data", "words"), nonsense())
def test_what_is_no_circuit(data: bytes, words: list[str], submit: Submit) -> None:
    ran, said = submit(data)
    assert not ran
    assert all(word in said for word in words), said


@pytest.mark.parametrize("angle", ["0/0", "sqrt(-1)", "ln(0)", "1e999", "nan"])
def test_angles_that_are_no_numbers(angle: str, submit: Submit) -> None:
    program = f"{HEADER}qreg q[1];\ncreg c[1];\nrz({angle}) q[0];\nmeasure q -> c;\n"
    ran, said = submit(program.encode())
    assert not ran
    assert "input.qasm:5" in said


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"shots": 0}, ["shots", "integer from 1"]),
        ({"shots": -1}, ["shots", "integer from 1", "-1"]),
        ({"shots": 10**12}, ["shots", str(10**12), "Split"]),
        ({"shots": "many"}, ["shots", "'many'"]),
        ({"shots": 1.5}, ["shots", "1.5"]),
        ({"seed": -1}, ["seed", "-1"]),
        ({"seed": 42.4}, ["seed", "42.4"]),
        ({"seed": 2**63}, ["seed", str(2**63), str(2**63 - 1)]),
        ({"seed": "lucky"}, ["seed", "'lucky'"]),
        ({"seed": True}, ["seed", "True"]),
        ({"backend": "nope"}, ["'nope'", "qsim"]),
        ({"backend": "aer_gpu"}, ["'aer_gpu'", "qsim"]),
    ],
)
def test_fields_that_are_wrong(fields: dict[str, Any], words: list[str], submit: Submit) -> None:
    ran, said = submit(BELL.encode(), **fields)
    assert not ran
    assert all(word in said for word in words), said


@pytest.mark.parametrize("fields", [{"seed": "42"}, {"shots": "100"}])
def test_texts_are_no_numbers_in_a_message(fields: dict[str, str], broker: Broker) -> None:
    """On a command line everything is text; in a message nothing is cast."""
    payload = Payload()
    pub = {"offset": payload.append(BELL.encode()), "length": len(BELL)}
    channel, fd = Channel(str(broker.socket), 60), payload.seal()
    with pytest.raises(QuantainerError) as refused:
        channel.round_trip("submit", {"pubs": [pub], **fields}, fd, 60)
    channel.close()
    os.close(fd)
    assert refused.value.code in ("invalid_seed", "invalid_shots")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_million_gates_run(submit: Submit) -> None:
    gates = "h q[0];\ncx q[0],q[1];\ncx q[0],q[1];\nh q[0];\n" * 250_000
    program = f"{HEADER}qreg q[2];\ncreg c[2];\nx q[1];\n{gates}measure q -> c;\n"
    ran, said = submit(program.encode(), shots=7)
    assert ran, said
    assert '"10": 7' in said


def test_more_gates_than_may_be(submit: Submit) -> None:
    """The text is short; the limit is on what it comes to."""
    doubled = "".join(f"gate g{k + 1} a {{ g{k} a; g{k} a; }}\n" for k in range(40))
    program = f"{HEADER}qreg q[1];\ncreg c[1];\ngate g0 a {{ x a; }}\n{doubled}"
    ran, said = submit(f"{program}g40 q[0];\nmeasure q -> c;\n".encode())
    assert not ran
    assert "limit" in said
    assert "10000000" in said


@pytest.mark.timeout(600)
def test_two_thousand_qubits_that_nothing_holds(submit: Submit) -> None:
    ran, said = submit(dense(2000, 60).encode())
    assert not ran
    assert "limit" in said
    assert "entangled" in said


def test_wire_limits_are_named() -> None:
    with pytest.raises(QuantainerError) as refused:
        wire.encode({"v": 1, "id": 1, "op": "hello", "client": "x" * wire.MAX_MESSAGE})
    assert refused.value.code == "too_large"
    assert refused.value.limit == wire.MAX_MESSAGE


HOST = [sys.executable, "-m", "quantainer", "submit"]
CONTAINER = [sys.executable, "-m", "quantainer_client", "run"]


@pytest.mark.parametrize("program", [HOST, CONTAINER])
def test_a_file_that_never_ends(program: list[str], broker: Broker) -> None:
    done = _typed(broker, [*program, "/dev/zero"])
    assert done.returncode == 1
    assert all(word in done.stderr for word in ("/dev/zero", str(1 << 30), "Name a circuit file"))


@pytest.mark.parametrize("program", [HOST, CONTAINER])
def test_a_terminal_that_cannot_draw_bars(program: list[str], broker: Broker) -> None:
    done = _typed(broker, [*program, "-", "--shots", "7"], PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "??? 7" in " ".join(done.stdout.split())


def _typed(broker: Broker, words: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        input=FLIPPED,
        capture_output=True,
        text=True,
        timeout=100,
        env={**broker.environment, "QUANTAINER_SOCKET": str(broker.socket), **variables},
        check=False,
    )
