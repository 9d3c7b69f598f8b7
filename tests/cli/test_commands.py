"""The broker's commands as a user types them."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.broker import QUANTAINER, Broker
from programs import BELL, FLIPPED, ghz
from quantainer.cli.host import duration

COMMANDS = ["up", "down", "status", "devices", "submit", "jobs", "top"]


@pytest.fixture
def flipped(tmp_path: Path) -> Path:
    file = tmp_path / "flipped.qasm"
    file.write_text(FLIPPED)
    return file


def test_submit_prints_the_documented_json(broker: Broker, flipped: Path) -> None:
    done = broker("submit", flipped, "--shots", 100, "--seed", 7, "--json")
    result = json.loads(done.stdout)
    assert set(result) == {
        "job", "backend", "method", "shots", "counts", "registers", "metadata"
    }  # fmt: skip
    assert result["counts"] == {"01": 100}
    assert (result["backend"], result["shots"]) == ("qsim", 100)
    assert result["registers"] == [{"name": "c", "bits": 2, "counts": {"01": 100}}]
    assert result["metadata"]["seed"] == 7


def test_each_register_has_its_counts_too(broker: Broker, tmp_path: Path) -> None:
    """A scalar ``bit`` is a register of one bit: it is measured, so it is told, by its name."""
    file = tmp_path / "scalar.qasm"
    file.write_text(
        'OPENQASM 3; include "stdgates.inc"; qubit q; qubit[2] q2; bit c; bit[2] c2;'
        "x q; x q2[1]; c2 = measure q2; c = measure q;"
    )
    result = json.loads(broker("submit", file, "--shots", 9, "--json").stdout)
    assert result["counts"] == {"10 1": 9}
    assert result["registers"] == [
        {"name": "c", "bits": 1, "counts": {"1": 9}},
        {"name": "c2", "bits": 2, "counts": {"10": 9}},
    ]
    assert "bits of c2, c\n" in broker("submit", file, "--shots", 9).stdout


def test_submit_draws_a_histogram(broker: Broker, tmp_path: Path) -> None:
    file = tmp_path / "ghz.qasm"
    file.write_text(ghz(60))
    done = broker("submit", file, "--shots", 1000)
    assert "1000 shots on qsim" in done.stdout
    assert "█" in done.stdout
    assert "…" in done.stdout
    assert "%" in done.stdout


def test_submit_reads_standard_input(broker: Broker) -> None:
    done = broker("submit", "-", "--shots", 5, "--json", input=FLIPPED)
    assert json.loads(done.stdout)["counts"] == {"01": 5}


@pytest.mark.report(13)
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--shots", "0"], "shots"),
        (["--shots", "-1"], "shots"),
        (["--shots", "1000000000000"], "shots"),
        (["--shots", "many"], "shots"),
        (["--seed", "42.4"], "seed"),
        (["--seed", "-1"], "seed"),
        (["--seed", "9223372036854775808"], "seed"),
        (["--backend", "nope"], "nope"),
        (["--method", "magic"], "magic"),
    ],
)
def test_wrong_options_exit_1_and_say_why(
    broker: Broker, flipped: Path, options: list[str], said: str
) -> None:
    done = broker("submit", flipped, *options, check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_wrong_usage_exits_2(broker: Broker) -> None:
    assert broker("submit", check=False).returncode == 2
    assert broker("submit", "x", "--nonsense", check=False).returncode == 2


def test_a_missing_file_is_named(broker: Broker, tmp_path: Path) -> None:
    done = broker("submit", tmp_path / "absent.qasm", check=False)
    assert (done.returncode, "absent.qasm" in done.stderr) == (1, True)


def test_an_error_in_a_file_is_located(broker: Broker, tmp_path: Path) -> None:
    file = tmp_path / "wrong.qasm"
    file.write_text(BELL.replace("cx", "cy7"))
    done = broker("submit", file, check=False)
    assert done.returncode == 1
    assert "wrong.qasm:6" in done.stderr


def test_devices(broker: Broker) -> None:
    devices = json.loads(broker("devices", "--json").stdout)["devices"]
    qsim = next(device for device in devices if device["name"] == "qsim")
    assert qsim["kind"] == "simulator"
    assert 20 < qsim["qubits"] < 60
    assert qsim["clifford_qubits"] >= 1000
    assert "qsim" in broker("devices").stdout
    assert json.loads(broker("devices", "qsim").stdout)["name"] == "qsim"
    refused = broker("devices", "nope", check=False)
    assert refused.returncode == 1
    assert "qsim, " in refused.stderr
    assert "more" in refused.stderr


def test_devices_are_described_beside_the_socket(broker: Broker) -> None:
    file = broker.home / "run" / "dev" / "devices.json"
    assert file.stat().st_mode & 0o777 == 0o644
    assert file.parent.stat().st_mode & 0o777 == 0o755
    devices = json.loads(file.read_text())["devices"]
    assert "qsim" in [device["name"] for device in devices]


def test_the_specification_is_written_where_programs_are_told(
    broker: Broker, tmp_path: Path
) -> None:
    file = tmp_path / "q.yaml"
    words = ("cdi", "generate", "--backend", "qsim", "--output", file, "--json")
    written = json.loads(broker(*words).stdout)
    assert written["path"] == str(file)
    assert written["devices"] == ["quantainer.dev/qpu=qsim", "quantainer.dev/qpu=all"]
    assert file.is_file()


def test_status_shows_values_and_sources(broker: Broker) -> None:
    facts = json.loads(broker("status", "--json").stdout)
    assert facts["settings"]["workers"] == {
        "value": 2,
        "source": "environment QUANTAINER_WORKERS",
    }
    assert facts["settings"]["shots_max"]["source"] == "default"
    assert facts["cpu"]["threads"] >= 1
    assert facts["memory"]["limit_bytes"] > 0
    assert "broker" in broker("status").stdout
    assert "shots_max" in broker("status", "--settings").stdout


def test_jobs(broker: Broker, flipped: Path) -> None:
    job = json.loads(broker("submit", flipped, "--shots", 3, "--json").stdout)["job"]
    listed = json.loads(broker("jobs", "list", "--json").stdout)["jobs"]
    assert listed[0]["job"] == job
    assert job in broker("jobs", "list").stdout
    assert json.loads(broker("jobs", "show", job, "--json").stdout)["state"] == "DONE"
    assert "DONE" in broker("jobs", "show", job).stdout
    assert json.loads(broker("jobs", "result", job, "--json").stdout)["counts"] == {"01": 3}
    cancelled = json.loads(broker("jobs", "cancel", job, "--json").stdout)
    assert cancelled == {"job": job, "state": "DONE", "effect": "none"}
    assert "had ended before (DONE)" in broker("jobs", "cancel", job).stdout
    refused = broker("jobs", "show", "0" * 24, check=False)
    assert (refused.returncode, "no job" in refused.stderr) == (1, True)


def test_top_once(broker: Broker) -> None:
    assert "workers" in broker("top", "--once").stdout


def test_top_for_programs(broker: Broker) -> None:
    seen = json.loads(broker("top", "--json").stdout)
    assert set(seen) == {"version", "queue", "workers", "leases", "jobs", "latest"}


@pytest.mark.parametrize("command", ["submit", "inspect", "compile"])
def test_a_misspelt_backend_is_guessed(broker: Broker, flipped: Path, command: str) -> None:
    refused = broker(command, flipped, "--backend", "fake_limma", check=False)
    assert refused.returncode == 1
    assert "Did you mean 'fake_lima'?" in refused.stderr


def test_up_and_down(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(workers="1")
    broker("down")
    assert broker.process is not None
    assert broker.process.wait(30) == 0
    assert not broker.socket.exists()
    assert "No broker" in broker("down").stdout
    assert json.loads(broker("down", "--json").stdout) == {
        "stopped": False,
        "socket": str(broker.socket),
    }
    gone = broker("status", check=False)
    assert gone.returncode == 1
    assert "quantainer up" in gone.stderr
    broker.socket.touch()  # what a crash leaves behind is no broker
    assert "No broker" in broker("down").stdout
    broker.socket.unlink()
    started = json.loads(broker("up", "--shots-max", 50, "--json").stdout)
    assert started["socket"] == str(broker.socket)
    assert Path(started["log"]).is_file()
    os.kill(started["pid"], 0)
    settings = json.loads(broker("status", "--json").stdout)["settings"]
    assert settings["shots_max"] == {"value": 50, "source": "flag"}
    assert json.loads(broker("down", "--json").stdout)["stopped"] is True
    assert str(broker.socket) in broker("up", "--memory-limit", "2GiB").stdout
    broker("down")
    assert not broker.socket.exists()


def test_up_says_why_it_did_not_start(broker: Broker, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("shot_max = 3\n")
    unknown = broker("up", check=False, env={"QUANTAINER_CONFIG": str(config)})
    assert unknown.returncode == 1
    assert "'shot_max'" in unknown.stderr
    assert "'shots_max'" in unknown.stderr
    file = tmp_path / "file"
    file.write_text("")
    fresh = ["--runtime-dir", tmp_path / "run"]
    blocked = broker("up", *fresh, "--state-dir", file / "state", check=False)
    assert blocked.returncode == 1
    assert str(file) in blocked.stderr
    instead = broker("up", "--runtime-dir", file, "--state-dir", tmp_path / "other", check=False)
    assert instead.returncode == 1
    assert f"{file} is no folder.\n  Set runtime_dir to one.\n  Its log is" in instead.stderr
    group = ["--state-dir", tmp_path / "state", "--socket-group", "no-such-group"]
    nobody = broker("up", *fresh, *group, check=False)
    assert nobody.returncode == 1
    assert "no-such-group" in nobody.stderr


@pytest.mark.parametrize("ending", ["| true", "| head -c 1", ">&-", "<&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    "words",
    [
        *("status", "jobs list --all", "devices", "cdi generate -o -", "top --once"),
        *("submit FILE", "inspect FILE", "compile FILE --backend fake_lima"),
    ],
)
def test_a_reader_that_has_gone_is_no_error(
    broker: Broker, flipped: Path, words: str, ending: str
) -> None:
    command = f"{QUANTAINER} {words.replace('FILE', str(flipped))} {ending}"
    done = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        env=broker.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "quantainer:" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_top_gives_the_screen_back(broker: Broker, number: signal.Signals) -> None:
    child, screen = pty.fork()
    if child == 0:
        os.execve(QUANTAINER, [QUANTAINER, "top"], {**broker.environment, "TERM": "xterm"})
    seen = b""
    with open(screen, "rb", buffering=0) as shown:  # noqa: PTH123 - by its number
        while b"free" not in seen:
            seen += shown.read(4096)
        os.kill(child, number)
        with contextlib.suppress(OSError):  # of a terminal that nobody has open any more
            while more := shown.read(4096):
                seen += more
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + number
    assert seen.endswith(b"\x1b[?25h\x1b[?1049l")


@pytest.fixture
def unprivileged() -> tuple[str, ...]:
    """What runs a command so that folders can be closed to it, as root too."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv takes root's rights to files, and is not there")
    rights = "-dac_override,-dac_read_search"
    return ("setpriv", f"--inh-caps={rights}", f"--bounding-set={rights}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("cdi list", "CLOSED/in  (closed to this user)"),
        ("cdi generate --backend qsim -o CLOSED/in/own.yaml", "CLOSED/in/own.yaml: Permission"),
        ("up --runtime-dir CLOSED/in", "CLOSED/in/broker.sock: Permission denied."),
        ("run --engine embedded CLOSED/in true", "CLOSED/in: Permission denied."),
        ("run --engine embedded -v CLOSED/in:/w host true", "CLOSED/in: Permission denied."),
    ],
)
def test_a_closed_folder_is_named(
    broker: Broker, tmp_path: Path, unprivileged: tuple[str, ...], words: str, said: str
) -> None:
    closed = tmp_path / "closed"
    (closed / "in").mkdir(parents=True)
    closed.chmod(0)
    if "embedded" in words and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not there")
    command = [*unprivileged, QUANTAINER, *words.replace("CLOSED", str(closed)).split()]
    environment = broker.environment | {"QUANTAINER_CDI_DIR": str(closed / "in")}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    closed.chmod(0o700)
    assert said.replace("CLOSED", str(closed)) in done.stdout + done.stderr
    assert "internal error" not in done.stderr


def test_the_specification_that_cannot_be_written_is_named(
    broker: Broker, tmp_path: Path, unprivileged: tuple[str, ...]
) -> None:
    """By its own name, not by that of the file that was to replace it."""
    folder = tmp_path / "others"
    folder.mkdir(mode=0o555)
    own = folder / "own.yaml"
    command = [*unprivileged, QUANTAINER, *f"cdi generate --backend qsim -o {own}".split()]
    done = subprocess.run(
        command, env=broker.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert f"{own} cannot be written: Permission denied." in done.stderr


def test_relative_folders_are_those_of_whoever_types(broker: Broker, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("shots_max = 77\n")
    own = {"QUANTAINER_CDI_DIR": str(tmp_path / "cdi"), "QUANTAINER_CONFIG": "own.toml"}
    flags = ("--runtime-dir", "run", "--state-dir", "./state")
    there = own | {"QUANTAINER_RUNTIME_DIR": str(tmp_path / "run")}
    try:
        started = json.loads(broker("up", *flags, "--json", env=own, cwd=tmp_path).stdout)
        assert started["socket"] == str(tmp_path / "run" / "broker.sock")
        status = json.loads(broker("status", "--json", env=there, cwd=tmp_path).stdout)
        assert status["settings"]["state_dir"]["value"] == str(tmp_path / "state")
        assert status["settings"]["shots_max"]["value"] == 77
    finally:
        broker("down", env=there, cwd=tmp_path)


def test_a_planted_runtime_directory_is_refused(broker: Broker, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir()
    link = tmp_path / "run"
    link.symlink_to(target)
    done = broker("up", "-f", "--runtime-dir", link, "--state-dir", tmp_path / "state", check=False)
    assert done.returncode == 1
    assert "belongs to another" in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_there_and_light(broker: Broker, command: str) -> None:
    done = broker(command, "--help")
    assert "Usage" in done.stdout
    code = (
        f"import sys; sys.argv = ['quantainer', {command!r}, '--help']\n"
        "from quantainer.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'qiskit', 'numpy', 'sqlalchemy', 'asyncio', 'stim'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_long_limits_are_shortened(broker: Broker, flipped: Path) -> None:
    done = broker("inspect", flipped, "--backend", "nope", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert " more" in done.stderr
    assert "None" not in done.stderr
    assert max(map(len, done.stderr.splitlines())) < 400


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "0 s"), (75, "1 min 15 s"), (3_700, "1 h 1 min"), (90_000, "1 d 1 h")],
)
def test_durations_for_people(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_reader_that_has_seen_enough_is_no_error(broker: Broker) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "quantainer", "devices", "--json"],
        env={**os.environ, "QUANTAINER_SOCKET": str(broker.socket)},
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
