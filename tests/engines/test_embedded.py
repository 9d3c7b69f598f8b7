"""The embedded engine: a real bubblewrap container, as root and as an ordinary user."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import broker as brokers
from engine.broker import QUANTAINER, Broker
from engine.host import UnavailableError, need_tools
from quantainer.engines.embedded import sandbox

pytestmark = pytest.mark.engine

GHZ = """
from quantainer_client import Circuit, run
circuit = Circuit(3).h(0)
circuit = circuit.cx(0, 1).cx(1, 2)
print(sorted(run(circuit.measure_all(), shots=200).counts()))
"""
DEVICE = ("--device", "/dev/qsim")


@pytest.fixture(scope="session")
def bubblewrap() -> None:
    try:
        need_tools("bubblewrap") if shutil.which("bwrap") is None else None
    except UnavailableError as reason:
        pytest.skip(str(reason))
    if why := sandbox.unusable():
        pytest.skip(why)


@pytest.fixture(scope="module")
def broker(bubblewrap: None) -> Iterator[Broker]:
    running = brokers.make()
    try:
        running.start()
        yield running
    finally:
        brokers.remove(running)


def run(broker: Broker, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return broker("run", "--engine", "embedded", *words, check=check)


def test_host_runs_a_circuit(broker: Broker) -> None:
    done = run(broker, "--rm", *DEVICE, "host", "python", "-c", GHZ)
    assert done.stdout.strip() == "['000', '111']"
    assert done.stderr == ""


def test_line_of_the_paper_runs_on_the_hosts_python(broker: Broker) -> None:
    code = "import qiskit, quantainer_client; print(qiskit.__version__)"
    options = ("--rm", "-it", *DEVICE, "--security-opt", "quantum.mode=hybrid")
    done = run(broker, *options, "python:3.11-quantum-sim", "python", "-c", code)
    assert int(done.stdout.split(".")[0]) >= 2
    assert "this host's Python" in done.stderr


def test_lease_lasts_as_long_as_the_container(broker: Broker) -> None:
    process = subprocess.Popen(
        [QUANTAINER, "run", "--engine", "embedded", *DEVICE, "host", "sleep", "60"],
        env=broker.environment,
    )
    try:
        deadline = time.monotonic() + 30
        while not broker.leases() and time.monotonic() < deadline:
            time.sleep(0.05)
        (lease,) = broker.leases()
        kind = "cgroup:/quantainer/embedded-" if os.geteuid() == 0 else "pidns:"
        assert lease["anchor"].startswith(kind)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.wait()
    assert broker.leases() == []
    assert not list(Path("/sys/fs/cgroup").glob(f"*{lease['anchor'].removeprefix('cgroup:')}"))


def test_container_sees_no_network_and_nothing_of_the_hosts_accounts(broker: Broker) -> None:
    code = (
        "import json, os, socket;"
        "print(json.dumps({'net': socket.if_nameindex(), 'etc': sorted(os.listdir('/etc')),"
        " 'run': os.listdir('/run'), 'pids': [p for p in os.listdir('/proc') if p.isdigit()],"
        " 'home': os.path.exists('/home'), 'write': os.access('/usr', os.W_OK)}))"
    )
    found = json.loads(run(broker, *DEVICE, "host", "python", "-c", code).stdout)
    assert [name for _, name in found["net"]] == ["lo"]
    assert "shadow" not in found["etc"]
    assert found["run"] == []
    assert len(found["pids"]) <= 3
    assert found["home"] is False
    assert found["write"] is False


def test_environment_of_the_host_stays_outside(broker: Broker) -> None:
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    done = broker(
        *("run", "--engine", "embedded", *DEVICE, "-e", "MINE=1", "host", "python", "-c", code),
        env={"QISKIT_IBM_TOKEN": "secret"},
    )
    found = json.loads(done.stdout)
    assert found["MINE"] == "1"
    assert "QISKIT_IBM_TOKEN" not in found


def test_folder_with_a_root_file_system(broker: Broker, tmp_path: Path) -> None:
    """What ``docker export`` gives: here the few files a shell needs."""
    root = tmp_path / "rootfs"
    for folder in ("bin", "opt/own", "etc"):
        (root / folder).mkdir(parents=True)
    shutil.copy("/bin/sh", root / "bin" / "sh")
    for line in subprocess.check_output(["ldd", "/bin/sh"], text=True).splitlines():
        for word in line.split():
            if word.startswith("/"):
                (root / word[1:]).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(word, root / word[1:])
    (root / "opt" / "own" / "file").write_text("kept")
    command = "read text < /opt/own/file; echo $text; test -S /dev/quantum/qvm.sock && echo socket"
    done = run(broker, *DEVICE, str(root), "sh", "-c", command)
    assert done.stdout.split() == ["kept", "socket"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("python:3.11", "python"), "has no images"),
        (("./nowhere",), "no folder"),
        (("/etc",), "no root file system"),
        (("-p", "80:80", "host"), "-p"),
        (("--network", "host", "host"), "--network host"),
        (("-d", "host"), "-d"),
        (("--bogus", "host", "true"), "does not have --bogus"),
        (("--device", "/dev/fake_lime", "host"), "Did you mean 'fake_lima'?"),
        (("--device", "/dev/nope", "host"), "no quantum device 'nope'"),
        (("-v", "named:/x", "host"), "named volumes"),
        (("-v", "/nonexistent:/x", "host"), "does not exist"),
        (("--user", "alice", "host"), "numeric"),
        (("--user", "²", "host"), "numeric"),
        (("--memory", "lots", "host"), "lots"),
        (("--memory", "99999999999g", "host"), "between"),
        (("--cpus", "nan", "host"), "between"),
        (("--cpus", "inf", "host"), "between"),
        (("--cpus", "-1", "host"), "between"),
        (("--pids-limit", "99999999999", "host"), "between"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(
    broker: Broker, words: tuple[str, ...], said: str
) -> None:
    done = run(broker, *words, check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert broker.leases() == []


def test_a_device_after_the_image_is_said_to_be_the_commands(broker: Broker) -> None:
    done = run(broker, "host", "--device", "/dev/qsim", check=False)
    assert done.returncode == 127
    assert "options go before the image" in done.stderr


def test_unknown_backend_refuses_the_container(broker: Broker) -> None:
    device = ("--device", "/dev/quantum/nonsense")
    done = run(broker, *device, "host", "echo", "started", check=False)
    assert done.returncode == 125
    assert done.stdout == ""
    assert "no backend 'nonsense'" in done.stderr
    assert "It has: qsim, " in done.stderr
    assert broker.leases() == []


def test_without_a_broker_nothing_is_started(bubblewrap: None) -> None:
    absent = brokers.make()
    try:
        done = run(absent, *DEVICE, "host", "echo", "started", check=False)
    finally:
        brokers.remove(absent)
    assert done.returncode == 125
    assert "started" not in done.stdout
    assert "quantainer up" in done.stderr


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["no-such-command"], 127),
        (["/no/such/command"], 127),
        (["./no-such-command"], 127),
        (["/w/plain"], 126),
        (["./plain"], 126),
        (["/usr"], 126),
        (["sh", "-c", "exit 1"], 1),
        (["sh", "-c", "exit 127"], 127),
    ],
)
def test_command_that_cannot_be_started_has_dockers_exit_code(
    broker: Broker, tmp_path: Path, command: list[str], code: int
) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\nexit 0\n")
    options = ("-v", f"{tmp_path}:/w", "-w", "/w", *DEVICE)
    done = run(broker, *options, "host", *command, check=False)
    assert done.returncode == code
    assert broker.leases() == []


@pytest.mark.parametrize(("command", "code"), [("exit 7", 7), ("kill -9 $$", 137)])
def test_exit_code_is_the_commands(broker: Broker, command: str, code: int) -> None:
    assert run(broker, *DEVICE, "host", "sh", "-c", command, check=False).returncode == code


def waits_at_its_gate(pid: int) -> bool:
    """Tell whether a child is the bubblewrap that makes the container, not the one that tries."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):
            if b"--block-fd" in Path(f"/proc/{child}/cmdline").read_bytes():
                return True
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_the_lease_is_opened_keeps_the_command_from_starting(
    broker: Broker, number: signal.Signals
) -> None:
    assert broker.process is not None
    words = [QUANTAINER, "run", "--engine", "embedded", *DEVICE, "host", "echo", "started"]
    broker.process.send_signal(signal.SIGSTOP)
    try:
        with subprocess.Popen(words, env=broker.environment, stdout=subprocess.PIPE) as run:
            while not waits_at_its_gate(run.pid):
                time.sleep(0.01)
            time.sleep(0.5)
            run.send_signal(number)
            said, _ = run.communicate(timeout=5)
    finally:
        broker.process.send_signal(signal.SIGCONT)
    assert (run.returncode, said) == (128 + number, b"")
    assert broker.leases() == []


def test_standard_input_is_read_only_when_asked(broker: Broker) -> None:
    words = ("run", "--engine", "embedded", *DEVICE)
    assert broker(*words, "-i", "host", "cat", input="typed").stdout == "typed"
    assert broker(*words, "host", "cat", input="typed").stdout == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make control groups")
def test_limits_hold(broker: Broker) -> None:
    code = "import ctypes; x = bytearray(300 << 20); print(len(x))"
    done = run(broker, "-m", "100m", *DEVICE, "host", "python", "-c", code, check=False)
    assert done.returncode == 137 or "MemoryError" in done.stderr
    assert run(broker, "-m", "900m", *DEVICE, "host", "python", "-c", code).stdout
    run(broker, "-m", "1.5g", "--pids-limit", "-1", "--cpus", "0.5", *DEVICE, "host", "true")
    run(broker, "-m", "0", "--pids-limit", "0", "--cpus", "0", *DEVICE, "host", "true")


@pytest.mark.report(21)
def test_user_and_read_only_root(broker: Broker) -> None:
    code = (
        "import os\n"
        "print(os.getuid(), os.getgid())\n"
        "try: open('/tmp/x', 'w')\n"
        "except OSError as error: print(error.strerror)\n" + GHZ
    )
    options = ("--read-only", "--user", "12345:12345", *DEVICE)
    done = run(broker, *options, "host", "env", "-u", "HOME", "python", "-c", code)
    assert done.stdout.splitlines() == ["12345 12345", "Read-only file system", "['000', '111']"]


def test_terminal_is_the_containers_own(broker: Broker) -> None:
    code = (
        "import pty, sys\n"
        f"status = pty.spawn([{QUANTAINER!r}, 'run', '--engine', 'embedded', '-it',"
        " '--device', '/dev/qsim', 'host', 'sh', '-c', 'test -t 0 && tty && stty size; exit 3'])\n"
        "sys.exit(status >> 8)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=broker.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert "/dev/" in done.stdout or "not a tty" in done.stdout


# --- A node as the README installs it ----------------------------------------------------------


@pytest.fixture
def installed_broker(bubblewrap: None) -> Iterator[Broker]:
    """A broker of the Python of these tests, seen where the README and containers have theirs."""
    if sys.base_prefix.startswith("/opt/") or os.geteuid() != 0:
        pytest.skip("a mount namespace in which /opt is another folder cannot be made here")
    place = "mkdir /opt/quantainer && mount --bind $0 /opt/quantainer"
    hold = f"mount -t tmpfs none /opt && {place} && echo ready && exec sleep infinity"
    holder = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", hold, sys.prefix], stdout=subprocess.PIPE, text=True
    )
    running = brokers.make()
    try:
        assert holder.stdout is not None
        if holder.stdout.readline().strip() != "ready":
            pytest.skip("a mount namespace cannot be made here")
        within = ("nsenter", f"--mount=/proc/{holder.pid}/ns/mnt")
        running.program = (*within, "/opt/quantainer/bin/python", "-m", "quantainer")
        running.start()
        yield running
    finally:
        brokers.remove(running)
        holder.kill()
        holder.communicate()


@pytest.mark.parametrize("image", ["host", "python:3.11-quantum-sim"])
def test_python_installed_where_containers_have_the_client(
    installed_broker: Broker, image: str
) -> None:
    code = (
        "import sys, qiskit, quantainer_client\n"
        "print(sys.prefix, qiskit.__file__, '/mine' in sys.path)\n"
        "print(quantainer_client.__file__)\n" + GHZ
    )
    options = ("--rm", *DEVICE, "-e", "PYTHONPATH=/mine")
    done = run(installed_broker, *options, image, "python3", "-c", code)
    prefix, client, counts = done.stdout.splitlines()
    assert prefix.startswith("/opt/quantainer /opt/quantainer/lib")
    assert prefix.endswith(" True")
    assert client.startswith("/run/quantainer/client/")
    assert counts == "['000', '111']"


# --- An ordinary user --------------------------------------------------------------------------


def test_ordinary_user_runs_a_circuit(bubblewrap: None, user_broker: Broker) -> None:
    done = run(user_broker, *DEVICE, "host", "python3", "-c", GHZ)
    assert done.stdout.strip() == "['000', '111']"
    assert user_broker.leases() == []


def test_two_containers_of_an_ordinary_user_are_two_tenants(
    bubblewrap: None, user_broker: Broker
) -> None:
    code = "from quantainer_client import connect; print(connect().hello()['lease']['tenant'])"
    tenants = {
        run(user_broker, *DEVICE, "host", "python3", "-c", code).stdout.strip() for _ in range(2)
    }
    assert len(tenants) == 2
