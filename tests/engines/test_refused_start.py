"""What `docker run` says when the broker does not grant a lease, and that nothing was started."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from engine import broker as brokers
from engine.broker import Broker
from engine.docker import Docker
from engines.conftest import DEVICE

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system: root only"),
]


@pytest.fixture
def full_broker(docker: Docker, broker: Broker) -> Iterator[Broker]:
    """A broker whose disk is full; its devices take the place of the other's meanwhile."""
    own = brokers.make(docker.cdi, workers="1")
    state = own.home / "state"
    state.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", state],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    try:
        own.start()
        own("cdi", "generate")
        yield own
    finally:
        own.stop()
        subprocess.run(["umount", "-l", state], check=False)
        brokers.remove(own)
        broker("cdi", "generate")


def test_a_lease_that_cannot_be_written_is_no_container(
    docker: Docker, base: str, full_broker: Broker
) -> None:
    run = ("run", "--rm", "--network=none", *DEVICE, base, "echo", "started")
    assert docker(*run).stdout.strip() == "started"
    subprocess.run(
        ["dd", "if=/dev/zero", f"of={full_broker.home}/state/ballast", "bs=512"],
        capture_output=True,
        check=False,
    )
    for _ in range(60):  # what room the log has already is used up first
        done = docker(*run, check=False)
        if done.returncode:
            break
    assert done.returncode != 0
    assert "started" not in done.stdout
    assert "quantainer.db: database or disk is full" in done.stderr
    assert "Free some space there, or set state_dir to a directory on another disk." in done.stderr
    assert full_broker.leases() == []
    (full_broker.home / "state" / "ballast").unlink()
    assert docker(*run).stdout.strip() == "started"
