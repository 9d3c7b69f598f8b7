"""The same device on Podman, under runc and crun, as far as this host can run them."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine import base_image
from engine import broker as brokers
from engine.broker import Broker
from engine.host import UnavailableError, need_root, need_tools

pytestmark = pytest.mark.engine

# Podman before 5 reads only the system's folders; a kind of its own keeps our file from others.
SYSTEM_CDI = Path("/etc/cdi")
KIND = f"test-{os.getpid()}.quantainer.dev/qpu"
GHZ = """
from quantainer_client import Circuit, run
circuit = Circuit(3).h(0).cx(0, 1).cx(1, 2)
print(sorted(run(circuit.measure_all(), shots=200).counts()))
"""
DEVICE = ("--device", f"{KIND}=qsim")
Podman = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module", params=["runc", "crun"])
def runtime(request: pytest.FixtureRequest) -> str:
    """An OCI runtime."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def enter(runtime: str, without_v2: tuple[str, ...]) -> tuple[str, ...]:
    """Words in front of commands: how this host is shown to the runtime."""
    return without_v2 if runtime == "crun" else ()


@pytest.fixture(scope="module")
def broker(enter: tuple[str, ...]) -> Iterator[Broker]:
    try:
        need_root()
    except UnavailableError as reason:
        pytest.skip(str(reason))
    running = brokers.make()
    running.program = (*enter, *running.program)
    file = SYSTEM_CDI / f"quantainer-test-{os.getpid()}.json"
    made = not SYSTEM_CDI.exists()
    try:
        running.start()
        spec = json.loads(running("cdi", "generate", "-o", "-", "--format", "json").stdout)
        SYSTEM_CDI.mkdir(exist_ok=True)
        file.write_text(json.dumps(spec | {"kind": KIND}))
        yield running
    finally:
        brokers.remove(running)
        file.unlink(missing_ok=True)
        if made:
            with contextlib.suppress(OSError):
                SYSTEM_CDI.rmdir()


@pytest.fixture(scope="module")
def podman(runtime: str, enter: tuple[str, ...]) -> Iterator[Podman]:
    """Podman with a store of its own and one OCI runtime."""
    try:
        need_tools("podman", runtime, "debootstrap")
    except UnavailableError as reason:
        pytest.skip(str(reason))
    home = Path(tempfile.mkdtemp(prefix="quantainer-podman-"))
    own = (f"--root={home}/root", f"--runroot={home}/run", "--cgroup-manager=cgroupfs")

    def call(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*enter, "podman", *own, f"--runtime={runtime}", *words],
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"podman {words[0]}: {done.returncode}: {done.stderr}")
        return done

    try:
        call("import", str(base_image.tarball()), base_image.NAME)
        probe = call("run", "--rm", *LIMITS, base_image.NAME, "true", check=False)
        if probe.returncode:
            said = probe.stderr.strip().splitlines()[-1]
            pytest.skip(f"Podman with {runtime} cannot run a container on this host: {said}")
        yield call
    finally:
        call("rm", "-af", check=False)
        call("rmi", "-af", check=False)
        for mount in (home / "root" / "overlay", home / "root"):
            subprocess.run([*enter, "umount", mount], capture_output=True, check=False)
        shutil.rmtree(home, ignore_errors=True)


# Podman asks for more open files than a host without CAP_SYS_RESOURCE may give.
LIMITS = ("--network=none", "--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096")


def test_container_runs_a_circuit(podman: Podman, broker: Broker) -> None:
    done = podman("run", "--rm", *LIMITS, *DEVICE, base_image.NAME, "python3", "-c", GHZ)
    assert done.stdout.strip() == "['000', '111']"


def test_lease_ends_with_the_container(podman: Podman, broker: Broker) -> None:
    code = (
        "from quantainer_client import connect; import json;"
        "print(json.dumps(connect().hello()['lease']))"
    )
    annotation = ("--annotation", "quantum.mode=qpu")
    words = (*LIMITS, *DEVICE, *annotation, base_image.NAME, "python3", "-c", code)
    lease = json.loads(podman("run", "--rm", *words).stdout)
    assert (lease["mode"], lease["backends"]) == ("qpu", ["qsim"])
    assert broker.leases() == []


def test_image_keeps_its_pythonpath(podman: Podman, broker: Broker) -> None:
    container = podman("create", base_image.NAME, "true").stdout.strip()
    podman("commit", "--change", "ENV PYTHONPATH=/app", container, "quantainer-test/path")
    code = "import sys, quantainer_client; print('/app' in sys.path)"
    done = podman("run", "--rm", *LIMITS, *DEVICE, "quantainer-test/path", "python3", "-c", code)
    assert done.stdout.strip() == "True"


def test_ended_broker_refuses_the_start(podman: Podman, broker: Broker, runtime: str) -> None:
    broker.stop()
    try:
        done = podman("run", "--rm", *LIMITS, *DEVICE, base_image.NAME, "true", check=False)
    finally:
        broker.start()
    assert done.returncode != 0
    # crun names the hook that refused and leaves its words to its annotation run.oci.hooks.stderr.
    assert ("quantainer up" if runtime == "runc" else "error executing hook") in done.stderr


# --- Rootless ----------------------------------------------------------------------------------


@pytest.fixture
def rootless(user_broker: Broker) -> Iterator[Podman]:
    """Podman of an ordinary user, with that user's broker."""
    kind = f"rootless-{KIND}"
    home = Path(tempfile.mkdtemp(prefix="quantainer-rootless-"))
    file = SYSTEM_CDI / f"quantainer-rootless-{os.getpid()}.json"
    made = not SYSTEM_CDI.exists()
    own = (
        *("--cgroup-manager=cgroupfs", "--storage-driver=vfs", "--runtime=runc"),
        # A user without subordinate ids has one id only.
        "--storage-opt=vfs.ignore_chown_errors=true",
    )

    def call(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["podman", *own, *words],
            capture_output=True,
            text=True,
            timeout=200,
            user=user_broker.user,
            env={
                "HOME": f"{home}/home",
                "XDG_RUNTIME_DIR": f"{home}/run",
                "PATH": os.environ["PATH"],
            },
            cwd="/",
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"podman {words[0]}: {done.returncode}: {done.stderr}")
        return done

    try:
        need_tools("podman", "runc", "debootstrap")
        uid = pwd.getpwnam(str(user_broker.user)).pw_uid
        for folder in (home, home / "home", home / "run"):
            folder.mkdir(exist_ok=True)
            os.chown(folder, uid, -1)
        shutil.copyfile(base_image.tarball(), home / "base.tar")
        (home / "base.tar").chmod(0o644)
        spec = json.loads(user_broker("cdi", "generate", "-o", "-", "--format", "json").stdout)
        SYSTEM_CDI.mkdir(exist_ok=True)
        file.write_text(json.dumps(spec | {"kind": kind}))
        call("import", f"{home}/base.tar", base_image.NAME)
        probe = call("run", "--rm", *LIMITS, base_image.NAME, "true", check=False)
        if probe.returncode:
            pytest.skip(f"rootless Podman cannot run a container here: {probe.stderr.strip()}")
        yield lambda *words, **options: call(
            *(word.replace(KIND, kind) for word in words), **options
        )
    except UnavailableError as reason:
        pytest.skip(str(reason))
    finally:
        call("unshare", "rm", "-rf", f"{home}/home/.local", check=False)
        shutil.rmtree(home, ignore_errors=True)
        file.unlink(missing_ok=True)
        if made:
            with contextlib.suppress(OSError):
                SYSTEM_CDI.rmdir()


def test_rootless_container_runs_a_circuit(rootless: Podman, user_broker: Broker) -> None:
    done = rootless("run", "--rm", *LIMITS, *DEVICE, base_image.NAME, "python3", "-c", GHZ)
    assert done.stdout.strip() == "['000', '111']"
    assert user_broker.leases() == []
