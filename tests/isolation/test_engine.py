"""Attempts that only a real engine shows: planted images, hostile options, shared namespaces."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from engine.broker import Broker
from engine.docker import Docker
from engines.conftest import DEVICE
from isolation.box import TOOLS, descriptors

pytestmark = pytest.mark.engine

PATH = ("-e", "PYTHONPATH=/opt/quantainer", "-e", "QUANTAINER_PYTHONPATH=")
SOCKETS = "DEVICE, HOST = '/dev/quantum/qvm.sock', '/run/host.sock'\n"
HELLO = "code_of(ask(dial(DEVICE), {'op': 'hello'}))"


@pytest.fixture
def start(docker: Docker, base: str, engine_broker: Broker) -> Iterator[Callable[..., str]]:
    """Start containers that wait."""
    made: list[str] = []

    def run(*options: str, image: str = base) -> str:
        words = ("run", "-d", "--network", "none", *DEVICE, *options, image, "sleep", "120")
        made.append(docker(*words).stdout.strip())
        return made[-1]

    yield run
    docker("rm", "-f", *made, check=False)


def python(docker: Docker, container: str, code: str, *options: str) -> str:
    """Run code in a container; return what it printed."""
    program = TOOLS + SOCKETS + code
    return docker("exec", *PATH, *options, container, "python3", "-c", program).stdout.strip()


def say(docker: Docker, container: str, expression: str, *options: str) -> str:
    code = (
        "try:\n"
        f"    print({expression})\n"
        "except (OSError, QuantainerError) as error:\n"
        "    print(getattr(error, 'code', None) or type(error).__name__)\n"
    )
    return python(docker, container, code, *options)


# Images


def test_variables_of_the_image_do_not_reach_hooks(
    docker: Docker, engine_broker: Broker, build: Callable[..., str], tmp_path: Path
) -> None:
    """The hook of the real specification, with a program in its place that shows what it gets."""
    planted = build(
        "planted-variables",
        "ENV LD_PRELOAD=/planted.so LD_LIBRARY_PATH=/planted PYTHONPATH=/planted",
        "ENV PYTHONSTARTUP=/planted.py PYTHONHOME=/planted PATH=/planted:/usr/bin:/bin",
        "WORKDIR /planted",
    )
    spec = yaml.safe_load((docker.cdi / "quantainer.yaml").read_text())
    (hook,) = spec["devices"][0]["containerEdits"]["hooks"]
    seen = tmp_path / "seen"
    probe = {
        **hook,
        "path": "/bin/sh",
        "args": ["sh", "-c", f"/usr/bin/env > {seen}; pwd >> {seen}"],
    }
    edits = {"hooks": [probe]}
    device = {"name": "probe", "containerEdits": edits}
    kind = f"probe-{os.getpid()}.quantainer.dev/qpu"
    file = docker.cdi / "probe.json"
    file.write_text(json.dumps({"cdiVersion": "0.3.0", "kind": kind, "devices": [device]}))
    try:
        docker("run", "--rm", "--device", f"{kind}=probe", "-e", "LD_PRELOAD=", planted, "true")
    finally:
        file.unlink()
    text = seen.read_text()
    assert "planted" not in text.replace("quantainer-test/planted", "")
    variables = {line.split("=")[0] for line in text.splitlines() if "=" in line}
    assert variables <= {"PATH", "LC_ALL", "PWD", "OLDPWD", "SHLVL", "_"}


def test_a_library_planted_for_the_hook_is_not_loaded(
    docker: Docker, engine_broker: Broker, build: Callable[..., str]
) -> None:
    """The loader would complain of one that it cannot load, in what Docker shows."""
    planted = build("planted-library", "ENV LD_PRELOAD=/planted.so")
    refusal = ("--annotation", "quantum.mode=nonsense")
    done = docker("run", "--rm", *DEVICE, *refusal, planted, "true", check=False)
    assert "is unknown; use local, hybrid, qpu" in done.stderr
    assert "planted" not in done.stderr.replace("quantainer-test/planted-library", "")


@pytest.mark.parametrize("target", ["/opt/quantainer", "/dev/quantum"])
def test_links_planted_in_the_image_lead_nowhere(
    docker: Docker, engine_broker: Broker, build: Callable[..., str], tmp_path: Path, target: str
) -> None:
    """Where the device's mounts go, the image has a link out: nothing of the host is written."""
    victim = tmp_path / "victim"
    victim.mkdir()
    command = f"mkdir -p $(dirname {target}); rm -rf {target}; ln -s /../../../..{victim} {target}"
    planted = build(f"planted-link-{target.count('o')}", command=command)
    code = "from quantainer_client import connect; print(connect().hello()['protocol'])"
    done = docker("run", "--rm", *DEVICE, planted, "python3", "-c", code, check=False)
    assert done.returncode != 0 or done.stdout.strip() == "1"
    assert list(victim.iterdir()) == []
    assert sorted(path.name for path in (engine_broker.home / "run" / "dev").iterdir()) == [
        "devices.json",
        "qvm.sock",
    ]


def test_a_mount_over_the_device_changes_nobody_else(
    docker: Docker, base: str, engine_broker: Broker, start: Callable[..., str], tmp_path: Path
) -> None:
    """A user's own folder at /dev/quantum fools only the user; other containers keep theirs."""
    other = start()
    mount = ("-v", f"{tmp_path}:/dev/quantum")
    docker("run", "--rm", *mount, *DEVICE, base, "touch", "/dev/quantum/x", check=False)
    assert say(docker, other, HELLO) == "ok"
    assert not (engine_broker.home / "run" / "dev" / "x").exists()


@pytest.mark.parametrize(
    "value",
    ["\x1b[31mred", "a\nb", "'; reboot; '", "$(reboot)", "../../etc", "\u202e", "x" * 5000],
    ids=["escape", "newline", "quote", "shell", "path", "bidi", "long"],
)
def test_annotations_with_hostile_values_are_words(
    docker: Docker, base: str, engine_broker: Broker, value: str
) -> None:
    for name in ("quantum.mode", "quantum.note", f"quantum.{value[:20]}"):
        annotation = ("--annotation", f"{name}={value}")
        done = docker("run", "--rm", *DEVICE, *annotation, base, "true", check=False)
        assert done.returncode in (0, 125, 126, 127)
        assert "\x1b" not in done.stderr
        assert "Traceback" not in done.stderr
    assert engine_broker.leases() == []


# Shared namespaces


def test_pid_host_shows_the_broker_and_gives_nothing_of_it(
    docker: Docker, engine_broker: Broker, start: Callable[..., str]
) -> None:
    """``/proc`` of the broker is closed to root without CAP_SYS_PTRACE, and to other users."""
    container = start("--pid", "host", "-v", f"{engine_broker.socket}:/run/host.sock")
    assert engine_broker.process is not None
    broker = engine_broker.process.pid
    assert say(docker, container, HELLO) == "ok"
    attempts = [f"os.listdir('/proc/{broker}/{name}')" for name in ("root", "cwd", "map_files")]
    attempts += [
        f"open('/proc/{broker}/{name}', 'rb').read()" for name in ("environ", "mem", "fd/0")
    ]
    attempts.append(f"ctypes.CDLL(None).syscall(438, os.pidfd_open({broker}), 0, 0) < 0 and 'no'")
    for options in ((), ("--user", "12345")):
        for attempt in attempts:
            answer = say(docker, container, attempt, *options)
            assert answer in ("PermissionError", "no"), (attempt, options)
    kill = f"os.kill({broker}, signal.SIGTERM)"
    assert say(docker, container, kill, "--user", "12345") == "PermissionError"
    assert say(docker, container, "code_of(ask(dial(HOST), {'op': 'shutdown'}))") == "forbidden"


def test_two_containers_in_the_hosts_pid_namespace_are_two_tenants(
    docker: Docker, start: Callable[..., str]
) -> None:
    first, second = start("--pid", "host"), start("--pid", "host")
    job = say(docker, first, "Connection(DEVICE).submit(BELL, shots=3).id")
    assert say(docker, second, f"Connection(DEVICE).result({job!r})") == "unknown_job"
    assert say(docker, first, f"sum(Connection(DEVICE).result({job!r}).counts().values())") == "3"


def test_a_shared_pid_namespace_shares_no_lease(
    docker: Docker, base: str, start: Callable[..., str], engine_broker: Broker
) -> None:
    """``--pid container:…`` without a device: the neighbour's processes, not its device."""
    owner = start()
    options = ("--pid", f"container:{owner}", "-v", f"{engine_broker.home}/run/dev:/dev/quantum")
    client = next((engine_broker.home / "run" / "client").iterdir())
    mount = ("-v", f"{client}:/opt/quantainer:ro")
    code = TOOLS + SOCKETS + f"print({HELLO})"
    done = docker("run", "--rm", *options, *mount, *PATH, base, "python3", "-c", code)
    assert done.stdout.strip() == "no_lease"


def test_network_host_is_no_way_around(docker: Docker, base: str, engine_broker: Broker) -> None:
    """The broker listens on no port and no abstract address; who asks is told by other means."""
    code = TOOLS + SOCKETS + f"print({HELLO}); print(open('/proc/net/unix').read())"
    done = docker("run", "--rm", "--network", "host", *DEVICE, base, "python3", "-c", code)
    answer, sockets = done.stdout.split("\n", 1)
    assert answer == "ok"
    assert "@quantainer" not in sockets
    assert engine_broker.process is not None
    held = {
        link.readlink().name
        for link in Path(f"/proc/{engine_broker.process.pid}/fd").iterdir()
        if link.is_symlink()
    }
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            assert f"socket:[{line.split()[9]}]" not in held


def test_a_privileged_container_that_moves_itself_gets_no_other_lease(
    docker: Docker, start: Callable[..., str]
) -> None:
    """Such a container is the root of the host; this way is closed all the same."""
    victim = start()
    mover = start("--privileged", "--cgroupns", "host", "-v", "/sys/fs/cgroup:/cg")
    code = (
        "import glob, subprocess\n"
        f"files = glob.glob('/cg/**/{victim}/cgroup.procs', recursive=True)\n"
        f"files += glob.glob('/cg/**/docker-{victim}.scope/cgroup.procs', recursive=True)\n"
        "assert files\n"
        "for file in files: open(file, 'w').write(str(os.getpid()))\n"
        f"print({HELLO})"
    )
    assert say(docker, mover, HELLO) == "ok"
    assert python(docker, mover, code) == "no_lease"
    assert say(docker, victim, HELLO) == "ok"


def test_nested_containers_are_their_outer_containers_lease(
    docker: Docker, start: Callable[..., str]
) -> None:
    outer = start("--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined")
    code = (
        "import subprocess\n"
        "code = 'from quantainer_client import connect;"
        'print(connect().hello()["lease"]["tenant"])\'\n'
        "words = ['unshare', '--pid', '--fork', '--mount', 'python3', '-c', code]\n"
        "print(subprocess.run(words, capture_output=True, text=True, check=True).stdout)"
    )
    assert python(docker, outer, code) == outer


def test_other_users_in_the_container_are_the_container(
    docker: Docker, start: Callable[..., str]
) -> None:
    container = start("--user", "4711")
    tenant = "Connection(DEVICE).hello()['lease']['tenant']"
    for user in ("0", "4711", "65534"):
        assert say(docker, container, tenant, "--user", user) == container


# Exhaustion


def test_a_fork_bomb_stays_in_its_container(
    docker: Docker, base: str, engine_broker: Broker, start: Callable[..., str]
) -> None:
    """Every process of it connects and sends; the limit of processes is the engine's."""
    bomb, other = start("--pids-limit", "60"), start()
    before = descriptors(engine_broker)
    code = (
        "end = time.monotonic() + 8\n"
        "while time.monotonic() < end:\n"
        "    try:\n"
        '        os.fork(); sock = dial(DEVICE); sock.send(b\'{"v":1,"id":1,"op":"hello"}\')\n'
        "    except OSError: time.sleep(0.01)\n"
    )
    docker("exec", "-d", *PATH, bomb, "python3", "-c", TOOLS + SOCKETS + code)
    time.sleep(2)
    assert descriptors(engine_broker) < before + 1500
    assert say(docker, other, "sum(Connection(DEVICE).run(BELL, shots=9).counts().values())") == "9"
    docker("rm", "-f", bomb)
    deadline = time.monotonic() + 20
    while descriptors(engine_broker) > before + 20 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert descriptors(engine_broker) <= before + 20
    assert [lease["container"] for lease in engine_broker.leases()] == [other]
