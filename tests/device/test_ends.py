"""Ends of containers that are seen twice, at once, or while the lease is being written."""

from __future__ import annotations

import asyncio
import os
import subprocess
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.inside import running
from isolation.box import remove_group

ROOT = Path("/sys/fs/cgroup")
TREES = ("devices", "freezer")

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not (ROOT / "freezer/cgroup.procs").exists(),
    reason="makes control groups of a v1 hierarchy: root, and a machine that has one",
)


class Box:
    """A sleeping process in control groups of its own."""

    def __init__(self) -> None:
        self.name = f"quantainer-test-{uuid.uuid4().hex[:8]}"
        self.groups = [ROOT / tree / self.name for tree in TREES]
        self.process = subprocess.Popen(["sleep", "600"])
        for group in self.groups:
            group.mkdir()
            (group / "cgroup.procs").write_text(str(self.process.pid))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def remove(self) -> None:
        self.kill()
        for group in self.groups:
            remove_group(group)


@pytest.fixture
def box() -> Iterator[Callable[[], Box]]:
    made: list[Box] = []

    def make() -> Box:
        made.append(Box())
        return made[-1]

    yield make
    for each in made:
        each.remove()


async def contained(ask: Callable[..., Awaitable[Any]]) -> list[dict[str, Any]]:
    return [lease for lease in (await ask("status"))["leases"] if lease["container"]]


def test_an_end_that_is_seen_twice_at_once_leaves_nothing_waiting(
    tmp_path: Path, box: Callable[[], Box]
) -> None:
    async def story() -> None:
        async with running(tmp_path) as (_, ask):
            await ask("hello")
            before = len(asyncio.all_tasks())
            for _ in range(5):
                container = box()
                await ask("lease.open", container=container.name, pid=container.process.pid)
                container.remove()  # the loop sees process and group gone in the same turn
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.5)
            assert await contained(ask) == []
            assert len(asyncio.all_tasks()) == before

    asyncio.run(asyncio.wait_for(story(), 120))


def test_a_container_that_ends_while_its_lease_is_written_keeps_none(
    tmp_path: Path, box: Callable[[], Box], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with running(tmp_path) as (daemon, ask):
            container = box()
            grant = daemon.broker.open_lease

            def grant_and_kill(lease: Any) -> None:
                grant(lease)
                container.kill()

            monkeypatch.setattr(daemon.broker, "open_lease", grant_and_kill)
            await ask("lease.open", container=container.name, pid=container.process.pid)
            await asyncio.sleep(0.2)
            assert await contained(ask) == []

    asyncio.run(asyncio.wait_for(story(), 120))
