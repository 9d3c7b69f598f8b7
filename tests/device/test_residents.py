"""Who lives in a container, as the kernel lists it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from descriptors import no_descriptor_left
from quantainer.core.lease import Anchor
from quantainer.device.identity import anchors_of
from quantainer.device.residents import birth, inspect, resident_of_group, residents
from quantainer_client.errors import QuantainerError

TREES = [Path("/sys/fs/cgroup", name) for name in ("unified", "devices", "freezer")]


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen(["sleep", "60"])
    yield started
    started.kill()
    started.wait()


@pytest.fixture
def group() -> Iterator[str]:
    """The path of a control group, in the trees that there are."""
    if os.geteuid() != 0:
        pytest.skip("control groups are made by root only")
    path = f"quantainer-test-residents-{os.getpid()}"
    trees = [tree for tree in TREES if (tree / "cgroup.procs").exists()]
    trees = trees or [Path("/sys/fs/cgroup")]
    try:
        for tree in trees:
            (tree / path / "inner").mkdir(parents=True)
    except OSError as error:
        pytest.skip(f"control groups cannot be made here: {error}")
    yield f"/{path}"
    for tree in trees:
        (tree / path / "inner").rmdir()
        (tree / path).rmdir()


def enter(process: subprocess.Popen[bytes], group: str) -> None:
    for tree in (*TREES, Path("/sys/fs/cgroup")):
        if (tree / group[1:]).is_dir():
            (tree / group[1:] / "cgroup.procs").write_text(str(process.pid))


@pytest.mark.parametrize("below", ["", "/inner"])
def test_a_group_lists_its_processes_until_they_end(
    process: subprocess.Popen[bytes], group: str, below: str
) -> None:
    anchor = Anchor("cgroup", group)
    assert resident_of_group(anchor) is None
    enter(process, group + below)
    assert resident_of_group(anchor) == process.pid
    assert residents()[anchor] == process.pid
    process.kill()
    process.wait()
    assert resident_of_group(anchor) is None
    assert anchor not in residents()


def test_a_group_that_is_not_there_has_nobody() -> None:
    assert resident_of_group(Anchor("cgroup", "/quantainer-test-nowhere")) is None


def test_a_process_is_found_by_each_of_its_anchors(process: subprocess.Popen[bytes]) -> None:
    found = residents()
    assert all(anchor in found for anchor in anchors_of(inspect(process.pid)))


def test_a_process_that_ended_is_named(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    with pytest.raises(QuantainerError) as caught:
        inspect(process.pid)
    assert caught.value.code == "bad_request"


@pytest.mark.parametrize("look", ["inspect", "residents", "resident_of_group", "birth"])
def test_nobody_is_taken_for_gone_when_no_descriptor_is_to_be_had(
    process: subprocess.Popen[bytes], group: str, look: str
) -> None:
    enter(process, group)
    looks = {
        "inspect": lambda: inspect(process.pid),
        "residents": residents,
        "resident_of_group": lambda: resident_of_group(Anchor("cgroup", group)),
        "birth": lambda: birth(process.pid),
    }
    with no_descriptor_left(), pytest.raises(QuantainerError) as caught:
        looks[look]()
    assert caught.value.code == "queue_full"
    looks[look]()
    process.kill()
    process.wait()
