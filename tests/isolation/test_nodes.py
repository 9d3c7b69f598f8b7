"""Device nodes: only what was granted opens, with the same answer under every runtime."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import base_image
from engine import broker as brokers
from engine.broker import Broker
from engine.container import OPEN
from engine.docker import Docker
from engine.host import UnavailableError, need_tools
from engines.test_podman import LIMITS, SYSTEM_CDI
from isolation.conftest import granted
from quantainer.device import cdi, cdi_rules, nodes
from quantainer_client.errors import QuantainerError

Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]
Attempts = list[list[Any]]
KIND = f"nodes-{os.getpid()}.quantainer.dev/qpu"


# --- The configuration -------------------------------------------------------------------------


@pytest.mark.ordinary
@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("/dev/qpu0", ("/dev/qpu0", "/dev/qpu0", "rw")),
        ("/dev/qpu0:r", ("/dev/qpu0", "/dev/qpu0", "r")),
        ("/dev/a/b:/dev/qpu", ("/dev/a/b", "/dev/qpu", "rw")),
        ("/dev/a:/dev/b:mwr", ("/dev/a", "/dev/b", "rwm")),
    ],
)
def test_nodes_are_written_as_for_docker(text: str, node: tuple[str, str, str]) -> None:
    assert nodes.Node.parse(text) == nodes.Node(*node)


@pytest.mark.ordinary
@pytest.mark.parametrize(
    "text",
    [
        "",
        "qpu0",
        "/etc/passwd",
        "/dev",
        "/dev/",
        "/dev/../etc/passwd",
        "/dev//qpu0",
        "/dev/qpu0:",
        "/dev/qpu0:x",
        "/dev/qpu0:/etc/cron.d/x",
        "/dev/qpu0:/dev/quantum",
        "/dev/qpu0:/dev/quantum/qvm.sock",
        "/dev/a:/dev/b:/dev/c",
        "/dev/a:/dev/b:r:w",
    ],
)
def test_what_is_no_node_is_refused(text: str) -> None:
    with pytest.raises(QuantainerError) as caught:
        nodes.Node.parse(text)
    assert caught.value.code == "invalid_option"
    assert "'nodes'" in caught.value.message


@pytest.mark.ordinary
def test_configured_nodes_become_deviceNodes_of_their_backend(tmp_path: Path) -> None:  # noqa: N802
    places = cdi.Places(tmp_path, tmp_path, "/usr/bin/python3")
    granted = {"a": ["/dev/null:/dev/qpu0:r"], "b": ["/dev/zero"]}
    spec = cdi.specification(["qsim", "a", "b"], places, granted)
    found = {each["name"]: each["containerEdits"].get("deviceNodes") for each in spec["devices"]}
    first = {"path": "/dev/qpu0", "hostPath": "/dev/null", "type": "c", "permissions": "r"}
    second = {"path": "/dev/zero", "type": "c", "permissions": "rw"}
    assert found == {"qsim": None, "a": [first], "b": [second], "all": [first, second]}
    assert cdi_rules.problems(spec) == []
    assert spec["cdiVersion"] == "0.5.0"  # the lowest that has hostPath


@pytest.mark.ordinary
def test_disks_folders_and_unknown_backends_are_refused(tmp_path: Path) -> None:
    with pytest.raises(QuantainerError, match="no backend of this node"):
        nodes.check({"qpu7": ["/dev/null"]}, ["qsim"])
    with pytest.raises(QuantainerError, match="no character device"):
        nodes.check({"qsim": ["/dev/shm"]}, ["qsim"])
    for disk in (path for path in Path("/dev").iterdir() if path.is_block_device()):
        with pytest.raises(QuantainerError, match="no character device"):
            nodes.check({"qsim": [str(disk)]}, ["qsim"])
        break
    assert nodes.check({"qsim": ["/dev/null"]}, ["qsim"]) == []
    (warning,) = nodes.check({"qsim": ["/dev/none-such"]}, ["qsim"])
    assert "/dev/none-such" in warning


@pytest.mark.ordinary
@pytest.mark.parametrize("text", ['{"qpu7": ["/dev/null"]}', '{"qsim": ["/etc/passwd"]}', "{", "7"])
def test_a_broker_with_wrong_nodes_does_not_start(text: str) -> None:
    broker = brokers.make(nodes=text, workers="1")
    try:
        done = broker("up", "--foreground", check=False)
        assert done.returncode == 1
        assert "'nodes'" in done.stderr
        assert "Traceback" not in done.stderr
    finally:
        brokers.remove(broker)


# --- Real containers ---------------------------------------------------------------------------


def opened(container: Run, device: str | None, attempts: Attempts) -> dict[str, str]:
    done = container(device, "python3", "-c", OPEN, json.dumps(attempts))
    found: dict[str, str] = json.loads(done.stdout)
    return found


class _Granted:
    """What holds under every engine and runtime."""

    def test_only_what_was_granted_opens(self, container: Run, misc: list[int]) -> None:
        control, other = [10, misc[0]], [10, misc[1]]
        attempts: Attempts = [
            ["read", "/dev/qpu-control", None, "O_RDONLY"],
            ["write", "/dev/qpu-control", None, "O_WRONLY"],
            ["full", "/dev/qpu0", None, "O_RDWR"],
            ["same numbers", "/tmp/same", control, "O_RDONLY"],
            ["other numbers", "/tmp/other", other, "O_RDONLY"],
            ["disk of the host", "/tmp/memory", [1, 1], "O_RDONLY"],
        ]
        granted = {
            "read": "opened",
            "write": "EPERM",  # only reading was granted
            "full": "ENOSPC",  # the driver itself answers
            "other numbers": "EPERM",
            "disk of the host": "EPERM",
        }
        found = opened(container, "qsim", attempts)
        assert found.pop("same numbers") in ("opened", "EPERM")  # making it may be refused already
        assert found == granted

    def test_without_the_device_nothing_opens(self, container: Run, misc: list[int]) -> None:
        attempts: Attempts = [
            ["named", "/dev/qpu-control", None, "O_RDONLY"],
            ["named qpu0", "/dev/qpu0", None, "O_RDONLY"],
            ["made", "/tmp/made", [10, misc[0]], "O_RDONLY"],
        ]
        assert opened(container, None, attempts) == {
            "named": "ENOENT",
            "named qpu0": "ENOENT",
            "made": "EPERM",
        }

    def test_a_node_that_is_gone_refuses_its_containers_by_name(
        self, container: Run, nodes: dict[str, str], node_broker: Broker
    ) -> None:
        done = container("fake_sherbrooke", "true", check=False)
        assert done.returncode != 0
        assert nodes["gone"] in done.stderr
        assert nodes["gone"] in node_broker.log()
        assert node_broker.leases() == []


@pytest.mark.engine
class TestDocker(_Granted):
    """Docker with runc."""

    @pytest.fixture
    def node_broker(self, engine_broker: Broker) -> Broker:
        return engine_broker

    @pytest.fixture
    def container(self, docker: Docker, base: str, engine_broker: Broker) -> Run:
        def run(name: str | None, *words: str, check: bool = True) -> Done:
            device = () if name is None else ("--device", f"quantainer.dev/qpu={name}")
            options = ("--rm", "--network=none", "--cap-add=MKNOD", *device)
            return docker("run", *options, base, *words, check=check)

        return run


@pytest.fixture(scope="module", params=["runc", "crun"])
def podman(
    request: pytest.FixtureRequest,
    nodes: dict[str, str],
    without_v2: tuple[str, ...],
) -> Iterator[tuple[Run, Broker]]:
    """Podman with a store, an OCI runtime and a broker of its own."""
    runtime = request.param
    try:
        need_tools("podman", runtime, "debootstrap")
    except UnavailableError as reason:
        pytest.skip(str(reason))
    enter = without_v2 if runtime == "crun" else ()
    home = Path(tempfile.mkdtemp(prefix="quantainer-nodes-"))
    own = (f"--root={home}/root", f"--runroot={home}/run", "--cgroup-manager=cgroupfs")
    file = SYSTEM_CDI / f"quantainer-nodes-{os.getpid()}.json"
    broker = brokers.make(workers="1", nodes=granted(nodes))
    broker.program = (*enter, *broker.program)

    def call(*words: str, check: bool = True) -> Done:
        command = [*enter, "podman", *own, f"--runtime={runtime}", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done

    try:
        call("import", str(base_image.tarball()), base_image.NAME)
        probe = call("run", "--rm", *LIMITS, base_image.NAME, "true", check=False)
        if probe.returncode:
            pytest.skip(f"Podman with {runtime} runs nothing on this host: {probe.stderr}")
        broker.start()
        spec = json.loads(broker("cdi", "generate", "-o", "-", "--format", "json").stdout)
        SYSTEM_CDI.mkdir(exist_ok=True)
        file.write_text(json.dumps(spec | {"kind": KIND}))
        yield call, broker
    finally:
        brokers.remove(broker)
        file.unlink(missing_ok=True)
        call("rmi", "-af", check=False)
        for mount in (home / "root" / "overlay", home / "root"):
            subprocess.run([*enter, "umount", mount], capture_output=True, check=False)
        shutil.rmtree(home, ignore_errors=True)


@pytest.mark.engine
class TestPodman(_Granted):
    """Podman with runc and with crun."""

    @pytest.fixture
    def node_broker(self, podman: tuple[Run, Broker]) -> Broker:
        return podman[1]

    @pytest.fixture
    def container(self, podman: tuple[Run, Broker]) -> Run:
        def run(name: str | None, *words: str, check: bool = True) -> Done:
            device = () if name is None else ("--device", f"{KIND}={name}")
            options = ("--rm", *LIMITS, "--cap-add=MKNOD", *device)
            return podman[0]("run", *options, base_image.NAME, *words, check=check)

        return run
