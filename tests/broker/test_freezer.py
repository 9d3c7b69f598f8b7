"""Pauses and ends of containers as the kernel tells them, with real control groups."""

import asyncio
import errno
import os
import random
import shutil
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from descriptors import no_descriptor_left
from quantainer.broker.freezer import CgroupState, Freezer
from quantainer_client.errors import QuantainerError

ROOT = Path("/sys/fs/cgroup")
LIMIT = 1.2  # seconds within which container and circuit must agree


class Layout:
    """How one kind of hierarchy makes, freezes and removes a group."""

    def __init__(self, tree, state_file, freeze, thaw):
        self.tree, self.state_file, self.freeze_text, self.thaw_text = (
            tree,
            state_file,
            freeze,
            thaw,
        )

    def make(self, path):
        group = self.tree / path.lstrip("/")
        group.mkdir(parents=True)
        return group

    def put(self, group, pid):
        (group / "cgroup.procs").write_text(str(pid))

    def freeze(self, group):
        (group / self.state_file).write_text(self.freeze_text)

    def thaw(self, group):
        (group / self.state_file).write_text(self.thaw_text)


def unified():
    for tree in (ROOT, ROOT / "unified"):
        if (tree / "cgroup.controllers").exists():
            return tree
    return None


@pytest.fixture(params=["v1", "v2"])
def layout(request):
    if os.geteuid() != 0:
        pytest.skip("control groups are made by root only")
    if request.param == "v1":
        if not (ROOT / "freezer" / "cgroup.procs").exists():
            pytest.skip("this machine has no v1 freezer hierarchy")
        return Layout(ROOT / "freezer", "freezer.state", "FROZEN", "THAWED")
    tree = unified()
    if tree is None:
        pytest.skip("this machine has no unified hierarchy")
    return Layout(tree, "cgroup.freeze", "1", "0")


@pytest.fixture
def groups(layout):
    """A maker of groups with a sleeping process in each, all of them removed at the end."""
    prefix = f"/quantainer-test-{uuid.uuid4().hex[:8]}"
    made = []

    def make(name="box"):
        path = f"{prefix}/{name}"
        group = layout.make(path)
        process = subprocess.Popen(["sleep", "600"])
        layout.put(group, process.pid)
        made.append((group, process))
        return path, group, process

    yield make
    for group, process in made:
        process.kill()
        if group.exists():
            layout.thaw(group)
        process.wait()
        if group.exists():
            _rmdir(group)
    parent = layout.tree / prefix.lstrip("/")
    if parent.exists():
        layout.thaw(parent)
        _rmdir(parent)


def _rmdir(group):
    for _ in range(200):
        try:
            group.rmdir()
        except OSError:
            time.sleep(0.01)
        else:
            return


class Watch:
    """A watched group, and when each change was told."""

    def __init__(self, freezer, path):
        self.news = asyncio.Queue()
        self.now = freezer.watch(
            path, lambda state: self.news.put_nowait((state, time.monotonic()))
        )

    async def next(self, seconds=LIMIT):
        return (await asyncio.wait_for(self.news.get(), seconds))[0]


@pytest.fixture(params=[0.5, 60.0], ids=["", "reports-alone"])
def freezer(request):
    """With and without the slow look: reports alone must be enough where the kernel sends any."""
    freezer = Freezer(poll_seconds=request.param)
    yield freezer
    freezer.close()


def run(story):
    asyncio.run(asyncio.wait_for(story, 60))


def test_pause_and_unpause_are_told(layout, groups, freezer):
    async def story():
        path, group, _ = groups()
        watch = Watch(freezer, path)
        assert watch.now is CgroupState.RUNNING
        for _ in range(3):
            layout.freeze(group)
            assert await watch.next() is CgroupState.FROZEN
            layout.thaw(group)
            assert await watch.next() is CgroupState.RUNNING
        freezer.close()
        assert watch.news.empty()

    run(story())


def test_a_group_that_is_paused_already_is_seen_so(layout, groups, freezer):
    async def story():
        path, group, _ = groups()
        layout.freeze(group)
        await asyncio.sleep(0.1)
        watch = Watch(freezer, path)
        assert watch.now is CgroupState.FROZEN
        layout.thaw(group)
        assert await watch.next() is CgroupState.RUNNING
        freezer.close()

    run(story())


def test_removal_is_told_once(layout, groups, freezer):
    async def story():
        path, group, process = groups()
        watch = Watch(freezer, path)
        process.kill()
        process.wait()
        _rmdir(group)
        assert await watch.next() is CgroupState.GONE
        layout.make(path)  # another container of the same name is another matter
        await asyncio.sleep(0.1)
        assert watch.news.empty()
        (layout.tree / path.lstrip("/")).rmdir()
        freezer.close()

    run(story())


def test_the_end_of_the_last_process_is_told_though_the_group_stays(layout, groups):
    async def story():
        freezer = Freezer(poll_seconds=0.2)
        path, group, process = groups()
        watch = Watch(freezer, path)
        process.kill()
        process.wait()
        assert await watch.next() is CgroupState.GONE
        assert group.exists()
        freezer.close()

    run(story())


def test_a_container_lives_on_when_no_descriptor_is_to_be_had(layout, groups):
    """It cannot be looked into then, which does not mean that nobody is there."""

    async def story():
        freezer = Freezer(poll_seconds=0.1)
        path, group, process = groups()
        watch = Watch(freezer, path)
        with no_descriptor_left():
            await asyncio.sleep(0.3)
        assert watch.news.empty()
        layout.freeze(group)
        assert await watch.next() is CgroupState.FROZEN
        layout.thaw(group)
        assert await watch.next() is CgroupState.RUNNING
        process.kill()
        process.wait()
        assert await watch.next() is CgroupState.GONE
        freezer.close()

    run(story())


def test_a_container_that_moves_into_a_group_of_its_own_lives_on(layout, groups):
    async def story():
        freezer = Freezer(poll_seconds=0.1)
        path, group, process = groups()
        watch = Watch(freezer, path)
        inner = layout.make(f"{path}/init.scope/inner")
        layout.put(inner, process.pid)
        await asyncio.sleep(0.4)
        assert watch.news.empty()
        layout.freeze(group)
        assert await watch.next() is CgroupState.FROZEN
        layout.thaw(group)
        assert await watch.next() is CgroupState.RUNNING
        process.kill()
        process.wait()
        assert await watch.next() is CgroupState.GONE
        _rmdir(inner)
        _rmdir(inner.parent)
        freezer.close()

    run(story())


def test_an_empty_group_waits_for_its_first_process(layout, groups):
    async def story():
        freezer = Freezer(poll_seconds=0.05)
        path, group, process = groups()
        (layout.tree / "cgroup.procs").write_text(str(process.pid))
        watch = Watch(freezer, path)
        assert watch.now is CgroupState.RUNNING
        await asyncio.sleep(0.2)
        layout.put(group, process.pid)
        await asyncio.sleep(0.2)
        assert watch.news.empty()
        process.kill()
        process.wait()
        assert await watch.next() is CgroupState.GONE
        freezer.close()

    run(story())


def test_a_pause_from_above_is_found(layout, groups):
    async def story():
        freezer = Freezer(poll_seconds=0.2)
        path, group, _ = groups()
        watch = Watch(freezer, path)
        layout.freeze(group.parent)
        assert await watch.next() is CgroupState.FROZEN
        layout.thaw(group.parent)
        assert await watch.next() is CgroupState.RUNNING
        freezer.close()

    run(story())


def test_what_is_not_there_is_unseen_not_gone():
    async def story():
        freezer = Freezer()
        watch = Watch(freezer, "/no/such/group")
        assert watch.now is CgroupState.UNSEEN
        await asyncio.sleep(0.1)
        assert watch.news.empty()
        freezer.close()

    run(story())


def test_an_unwatched_group_is_told_of_no_more(layout, groups, freezer):
    async def story():
        path, group, _ = groups()
        watch = Watch(freezer, path)
        freezer.unwatch(path)
        freezer.unwatch(path)
        layout.freeze(group)
        await asyncio.sleep(0.2)
        assert watch.news.empty()
        freezer.close()

    run(story())


def test_a_container_lives_on_when_its_state_cannot_be_read_now(layout, groups, monkeypatch):
    """Nor is it left alone when it cannot be opened once more."""

    def short(*_):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    async def story():
        freezer = Freezer(poll_seconds=0.1)
        path, _, process = groups()
        watch = Watch(freezer, path)
        with monkeypatch.context() as broken:
            broken.setattr(os, "pread", short)
            broken.setattr(os, "read", short)
            await asyncio.sleep(0.3)
            broken.setattr(os, "open", short)
            with pytest.raises(QuantainerError):
                freezer.watch(path, print)
        assert watch.news.empty()
        process.kill()
        process.wait()
        assert await watch.next() is CgroupState.GONE
        freezer.close()

    run(story())


def test_watching_leaks_no_descriptor(layout, groups):
    async def story():
        path, _, _ = groups()
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(50):
            freezer = Freezer()
            Watch(freezer, path)
            Watch(freezer, path)
            freezer.unwatch(path)
            Watch(freezer, path)
            freezer.close()
        assert len(list(Path("/proc/self/fd").iterdir())) == before

    run(story())


def test_without_inotify_the_slow_look_suffices(layout, groups, monkeypatch):
    async def story():
        def refuse():
            raise OSError(24, "Too many open files")

        monkeypatch.setattr("quantainer.broker.freezer.Inotify", refuse)
        freezer = Freezer(poll_seconds=0.1)
        path, group, _ = groups()
        watch = Watch(freezer, path)
        layout.freeze(group)
        assert await watch.next() is CgroupState.FROZEN
        freezer.close()

    run(story())


@pytest.mark.skipif(shutil.which("sleep") is None, reason="needs the sleep command")
def test_two_hundred_containers_agree_in_time(layout, groups, capsys):
    """State agreement at p99 over 200 containers, frozen and thawed in random order."""

    async def story():
        freezer = Freezer()
        rng = random.Random(7)
        boxes = []
        for index in range(200):
            path, group, _ = groups(f"box{index}")
            boxes.append((group, Watch(freezer, path)))
        delays = []
        for act, state in ((layout.freeze, CgroupState.FROZEN), (layout.thaw, "running")):
            rng.shuffle(boxes)
            acted = {}
            for group, _ in boxes:
                acted[group] = time.monotonic()
                act(group)
                if rng.random() < 0.2:
                    await asyncio.sleep(0.002)
            for group, watch in boxes:
                told, at = await asyncio.wait_for(watch.news.get(), 5)
                assert told == state
                delays.append(at - acted[group])
        cpu = time.process_time()
        await asyncio.sleep(2)
        idle = (time.process_time() - cpu) / 2
        freezer.close()
        delays.sort()
        return delays, idle

    delays, idle = asyncio.run(story())
    p50, p99 = delays[len(delays) // 2], delays[len(delays) * 99 // 100]
    with capsys.disabled():
        print(
            f"\n{layout.state_file}: agreement p50 {1000 * p50:.2f} ms, p99 {1000 * p99:.2f} ms, "
            f"max {1000 * delays[-1]:.2f} ms; watching 200 idle groups takes {100 * idle:.2f} % "
            f"of one core"
        )
    assert p99 < LIMIT
    assert idle < 0.05
