"""Device rules, pauses and identity where control groups are of version 2 alone, and as on v1.

A guest under QEMU has what this machine's kernel lacks. In it containers are started with runc and
with crun, by Podman and without an engine, from what our CDI specification grants; those without an
engine on this machine too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

import engine
import quantainer
import quantainer_client
from engine import base_image
from engine.guest import LIBRARY, run_in_guest
from engine.host import UnavailableError, need_root, need_tools
from engine.initramfs import Initramfs
from quantainer.device import cdi

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(600)]

Answers = dict[str, Any]
RUNTIMES = ("runc", "crun")
MAKERS = [(kind, runtime) for kind in ("bundle", "podman") for runtime in RUNTIMES]
LIMIT_S = 1.2  # within which container and circuit must agree
GUEST_S = 240.0  # a minute on two idle cores
_ROOT = "/run/root"
_NODE = f"/dev/quantainer-probe-{os.getpid()}"
_MODULES = {
    Path(module.__file__ or "").parent for module in (quantainer, quantainer_client, engine)
}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the CDI device of a backend grants: one node for reading, one for both."""
    folder = tmp_path_factory.mktemp("places")
    places = cdi.Places(folder, folder, "/usr/bin/python3")
    configured = {"qsim": [f"{_NODE}-misc:/dev/qpu-control:r", f"{_NODE}-full:/dev/qpu0"]}
    spec = cdi.specification(["qsim"], places, configured)
    return json.dumps(spec["devices"][0]["containerEdits"]["deviceNodes"])


@pytest.fixture(scope="module")
def in_guest(nodes: str) -> dict[tuple[str, str], Answers]:
    """The probe's answers under cgroup v2 alone, by who made the containers."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the guest's Python is 3.11, and this one's compiled modules do not fit it")
    # Runtimes do not pivot to a root that is theirs already: containers get it by another path.
    steps = [f"mkdir {_ROOT}", f"mount --bind / {_ROOT}"]
    steps += [f"python3 -m engine.probe {' '.join(each)} {_ROOT} '{nodes}'" for each in MAKERS]
    try:
        done = run_in_guest("sh", "-c", " && ".join(steps), fill=_add_modules, timeout=GUEST_S)
    except UnavailableError as reason:
        pytest.skip(str(reason))
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(zip(MAKERS, map(json.loads, done.stdout.splitlines()), strict=True))


def _add_modules(image: Initramfs) -> None:
    for folder in _MODULES:
        image.add_tree(folder, f"{LIBRARY}/{folder.name}", ".py")
    folder = Path(msgspec.__file__).parent
    image.add_tree(folder, f"{LIBRARY}/{folder.name}", ".py", ".so")


@pytest.fixture(params=MAKERS, ids=" ".join)
def v2(request: pytest.FixtureRequest, in_guest: dict[tuple[str, str], Answers]) -> Answers:
    return in_guest[request.param]


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system for containers of this machine."""
    try:
        need_root()
        need_tools("debootstrap", *RUNTIMES)
        archive = base_image.tarball()
    except UnavailableError as reason:
        pytest.skip(str(reason))
    folder = tmp_path_factory.mktemp("root")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="fully_trusted")
    return folder


@pytest.fixture
def here(runtime: str, root: Path, nodes: str, without_v2: tuple[str, ...]) -> Answers:
    """The probe's answers on this machine."""
    enter = without_v2 if runtime == "crun" else ()
    words = [*enter, sys.executable, "-m", "engine.probe", "bundle", runtime, str(root), nodes]
    path = ":".join(str(folder.parent) for folder in _MODULES)
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    answers: Answers = json.loads(done.stdout)
    return answers


def test_the_guest_has_no_v1_hierarchy(v2: Answers) -> None:
    assert v2["membership"] == "0::/\n"


def test_only_what_was_granted_opens(v2: Answers) -> None:
    assert v2["granted"] == {
        "read": "opened",
        "write": "EPERM",  # only reading was granted
        "full": "ENOSPC",  # the driver itself answers
        "same numbers": "opened",  # it is the numbers that are granted
        "same numbers to write": "EPERM",
        "other numbers": "EPERM",
        "memory of the host": "EPERM",
        "null": "opened",  # runtimes always grant it: the rules do not refuse all
    }


def test_without_the_device_nothing_opens(v2: Answers) -> None:
    assert v2["not granted"] == {
        "read": "ENOENT",
        "write": "ENOENT",
        "full": "ENOENT",
        "same numbers": "EPERM",
        "same numbers to write": "EPERM",
        "other numbers": "EPERM",
        "memory of the host": "EPERM",
        "null": "opened",
    }


def test_answers_are_the_same_as_on_this_machine(
    runtime: str, in_guest: dict[tuple[str, str], Answers], here: Answers
) -> None:
    v2 = in_guest["bundle", runtime]
    for what in ("granted", "not granted"):
        assert here[what] == v2[what]
    common = [step for step in v2["freezer"] if "parent" not in step[0]]
    assert [step[:2] for step in here["freezer"][: len(common)]] == [step[:2] for step in common]


def test_the_kernel_tells_the_broker_of_pauses(v2: Answers) -> None:
    seen = v2["freezer"]
    assert [step[:2] for step in seen] == [
        ["start", "running"],
        ["pause", "frozen"],
        ["resume", "running"],
        ["freeze the parent", "frozen"],
        ["thaw the parent", "running"],
        ["delete", "gone"],
    ]
    assert max(step[2] for step in seen) < LIMIT_S


def test_a_process_is_told_by_its_v2_path(v2: Answers) -> None:
    known = v2["identity"]
    group = known["container"]
    above = group.rpartition("/")[0]
    assert known["cgroup"] == group
    assert known["same process"]
    assert known["on host"] == [False, True]
    assert known["own cgroup"] == "/"
    own, *_ = known["pid namespaces"]
    assert known["anchors"][:3] == [["cgroup", group], ["cgroup", above], ["pidns", own]]
    assert known["resident"]
    assert known["residents"]
    assert not known["shared"]
    assert known["nested"] == [f"{group}/inner", group, above]


def test_a_broker_takes_no_more_than_its_v2_limits(v2: Answers) -> None:
    threads, cpu_source, limit_bytes, memory_source = v2["grants"]
    assert threads == 1
    assert "cpu" in cpu_source
    assert 0 < limit_bytes < 512 * 1024**2  # the guest has twice that
    assert "memory" in memory_source
