"""The life cycle under random orders, delays, duplicates, losses and crashes.

``World`` is a faithful driver without a container, a clock or a disk: it carries out instructions
at once, and holds back what it has to report until the test delivers it, in any order, twice, or
never. What may never get lost is replaced as a real driver would: a worker whose answer is lost is
dead.
"""

import itertools
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from quantainer.core import events as ev
from quantainer.core import instructions as do
from quantainer.core.capacity import Capacity
from quantainer.core.job import Job, JobState
from quantainer.core.jobs import STARTED
from quantainer.core.lease import Anchor, Lease, LeaseLimits, LeaseState
from quantainer.core.lifecycle import Lifecycle
from quantainer.core.transitions import STATE_OF, Phase
from quantainer_client.errors import QuantainerError

ERROR = {"code": "worker_died", "message": "it died"}
rarely = st.integers(0, 3).map(lambda number: number == 3)
CAPACITY = Capacity(qubits=40, memory_bytes=None, concurrent_jobs=None)


class Row:
    """A job's row: terminal states are final, a result is written once."""

    def __init__(self, job):
        self.job = job
        self.result_writes = 0

    def write(self, job):
        if not self.job.terminal:
            self.job = job


class World:
    def __init__(self):
        self.rows, self.lease_rows = {}, {}
        self.log = []
        self.at = 0.0
        self.disk_full = False
        self.boot()

    def boot(self):
        """Everything but the store is gone."""
        self.lifecycle = Lifecycle(CAPACITY)
        self.lazy, self.queue = {}, {}
        self.reserved, self.starts, self.releases = set(), Counter(), Counter()
        self.workers, self.timers, self.results = {}, {}, {}
        self.pending = []
        self.closed = []

    def tell(self, event):
        for instruction in self.lifecycle.handle(event):
            if isinstance(instruction, do.Record):
                self.log.append(instruction)
                continue
            getattr(self, type(instruction).__name__)(instruction)

    def now(self):
        self.at += 1.0
        return self.at

    # Instructions

    def SaveLease(self, i):  # noqa: N802
        self.lease_rows[i.lease.id] = i.lease

    def SaveJob(self, i):  # noqa: N802
        if i.lazy:
            self.lazy[i.job.id] = i.job
            return
        self.lazy.pop(i.job.id, None)
        self.rows.setdefault(i.job.id, Row(i.job)).write(i.job)

    def flush(self):
        for job in self.lazy.values():
            self.rows[job.id].write(job)
        self.lazy.clear()

    def Keep(self, i):  # noqa: N802
        row = self.rows[i.job.id]
        row.result_writes += 1
        row.write(i.job)
        self.lazy.pop(i.job.id, None)

    def Commit(self, i):  # noqa: N802
        row = self.rows[i.job.id]
        assert not row.job.terminal, "committed after its end"
        assert i.job.state is JobState.DONE
        if self.disk_full and not i.kept:
            event = ev.CommitFailed(i.job.id, i.job.attempt, ERROR, at=self.now())
        else:
            assert row.result_writes == (1 if i.kept else 0), "written twice, or not at all"
            row.result_writes = 1
            row.write(i.job)
            self.lazy.pop(i.job.id, None)
            event = ev.ResultCommitted(i.job.id, i.job.attempt, at=self.now())
        self.pending.append(event)

    def Enqueue(self, i):  # noqa: N802
        assert i.job.id not in self.queue
        if i.job.id not in self.reserved:  # else its start is on its way
            self.queue[i.job.id] = i.job

    def Dequeue(self, i):  # noqa: N802
        self.queue.pop(i.job, None)  # it may be on its way from the queue to its start

    def Release(self, i):  # noqa: N802
        assert i.job in self.reserved, "returned what was not reserved"
        self.reserved.discard(i.job)
        self.releases[i.job] += 1

    def Start(self, i):  # noqa: N802
        assert i.job.id in self.reserved
        assert i.job.id not in self.workers
        self.workers[i.job.id] = {"attempt": i.job.attempt, "frozen": False, "dying": False}

    def worker(self, i):
        worker = self.workers.get(i.job)
        return worker if worker and worker["attempt"] == i.attempt else None

    def Freeze(self, i):  # noqa: N802
        if worker := self.worker(i):
            worker["frozen"] = True

    def Thaw(self, i):  # noqa: N802
        if worker := self.worker(i):
            worker["frozen"] = False

    def Abort(self, i):  # noqa: N802
        if worker := self.worker(i):
            worker["dying"] = True

    def StartTimer(self, i):  # noqa: N802
        self.timers[i.job] = "running"

    def HoldTimer(self, i):  # noqa: N802
        self.timers[i.job] = "held"

    def ResumeTimer(self, i):  # noqa: N802
        assert self.timers[i.job] == "held"
        self.timers[i.job] = "running"

    def StopTimer(self, i):  # noqa: N802
        self.timers.pop(i.job, None)

    def Notify(self, i):  # noqa: N802
        if i.job.terminal:
            assert self.rows[i.job.id].job == i.job, "told before it was durable"

    def CloseLease(self, i):  # noqa: N802
        self.closed.append(i.lease.id)
        assert not self.lifecycle.jobs_of(i.lease.id)


class Orders(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.world = World()
        self.serial = itertools.count()
        self.ends = {}

    @initialize()
    def two_busy_containers(self):
        for name in ("a", "b"):
            lease = Lease(name, "t", Anchor("cgroup", f"/{name}"))
            self.world.tell(ev.LeaseOpened(lease, at=self.world.now()))
            for index in range(2):
                job = Job(f"{name}{index}", name, "t", "qsim", 100, timeout=5.0)
                self.world.tell(ev.JobSubmitted(job, at=self.world.now()))

    def pick(self, data, things):
        return data.draw(st.sampled_from(sorted(things)))

    # Containers

    @rule(qubits=st.sampled_from([None, 8, 16]), place=st.integers(0, 5))
    def open_lease(self, qubits, place):
        lease = Lease(
            f"l{next(self.serial)}",
            "t",
            Anchor("cgroup", f"/{place}"),
            limits=LeaseLimits(qubits=qubits),
        )
        before = self.world.lifecycle.reserved
        try:
            self.world.tell(ev.LeaseOpened(lease, at=self.world.now()))
        except QuantainerError:
            assert lease.id not in self.world.lifecycle.leases
            assert self.world.lifecycle.reserved == before

    @precondition(lambda self: self.world.lease_rows)
    @rule(
        data=st.data(),
        kind=st.sampled_from([ev.ContainerStarted, ev.ContainerPaused, ev.ContainerUnpaused]),
    )
    def container(self, data, kind):
        """Any news of any container, old or new, in any order."""
        self.world.tell(kind(self.pick(data, self.world.lease_rows), at=self.world.now()))

    @precondition(lambda self: self.world.lease_rows)
    @rule(
        data=st.data(),
        kind=st.sampled_from([ev.ContainerStopping, ev.ContainerStopped, ev.LeaseExpired]),
    )
    def container_ends(self, data, kind):
        if data.draw(rarely):
            self.world.tell(kind(self.pick(data, self.world.lease_rows), at=self.world.now()))

    # Jobs

    @precondition(lambda self: self.world.lifecycle.leases)
    @rule(data=st.data(), timeout=st.sampled_from([None, 5.0]))
    def submit(self, data, timeout):
        lease = self.pick(data, self.world.lifecycle.leases)
        if self.world.lifecycle.leases[lease].state is LeaseState.STOPPING:
            return
        job = Job(f"j{next(self.serial)}", lease, "t", "qsim", 100, timeout=timeout)
        self.world.tell(ev.JobSubmitted(job, at=self.world.now()))
        assert job.id in self.world.rows, "durable before it is acknowledged"

    @precondition(lambda self: self.world.queue)
    @rule(data=st.data(), late=st.booleans())
    def schedule(self, data, late):
        """The scheduler takes a job; sometimes its report comes a little late."""
        job = self.pick(data, self.world.queue)
        del self.world.queue[job]
        self.world.reserved.add(job)
        self.world.starts[job] += 1
        event = ev.JobStarted(job, at=self.world.now())
        if late:
            self.world.pending.append(event)
        else:
            self.world.tell(event)

    @precondition(lambda self: self.world.workers)
    @rule(
        data=st.data(),
        what=st.sampled_from(["result", "result", "chunk", "error", "death", "abort"]),
    )
    def work(self, data, what):
        """A worker does something; a frozen one can only die, or have been done already."""
        world = self.world
        job = self.pick(data, world.workers)
        worker = world.workers[job]
        attempt, at = worker["attempt"], world.now()
        if what == "chunk":
            world.pending.append(ev.ShotsDone(job, attempt, data.draw(st.integers(1, 100)), at=at))
            return
        if what == "abort" and not worker["dying"]:
            return
        del world.workers[job]
        world.pending.append(
            {
                "result": ev.ResultReady(job, attempt, at=at),
                "error": ev.JobErred(job, attempt, ERROR, at=at),
                "death": ev.WorkerDied(job, attempt, ERROR, at=at),
                "abort": ev.Aborted(job, attempt, at=at),
            }[what]
        )

    @precondition(lambda self: self.world.rows)
    @rule(data=st.data(), kind=st.sampled_from([ev.CancelRequested, ev.DeadlineReached]))
    def end(self, data, kind):
        if data.draw(rarely):
            self.world.tell(kind(self.pick(data, self.world.rows), at=self.world.now()))

    # The channel

    @precondition(lambda self: self.world.pending)
    @rule(data=st.data(), twice=st.booleans())
    def deliver(self, data, twice):
        index = data.draw(st.integers(0, len(self.world.pending) - 1))
        event = self.world.pending.pop(index)
        self.world.tell(event)
        if twice and not isinstance(event, ev.JobStarted):
            self.world.tell(event)

    @precondition(lambda self: self.world.pending)
    @rule(data=st.data())
    def lose(self, data):
        """An answer is lost; the driver finds the worker dead, or the write to be done again."""
        world = self.world
        index = data.draw(st.integers(0, len(world.pending) - 1))
        event = world.pending[index]
        if isinstance(event, ev.ResultReady | ev.JobErred | ev.Aborted):
            world.pending[index] = ev.WorkerDied(event.job, event.attempt, ERROR, at=world.now())
        elif isinstance(event, ev.ShotsDone):
            world.pending.pop(index)

    @rule(full=st.booleans())
    def disk(self, full):
        self.world.disk_full = full

    @rule()
    def flush(self):
        self.world.flush()

    @rule(data=st.data())
    def kill_the_broker(self, data):
        """Workers, queue, timers and rows not yet written are gone."""
        if not data.draw(rarely):
            return
        world = self.world
        if data.draw(st.booleans()):
            world.flush()
        world.boot()
        self.restart()

    def restart(self):
        world = self.world
        leases = tuple(row for row in world.lease_rows.values() if row.state != "ENDED")
        jobs = tuple(row.job for row in world.rows.values() if not row.job.terminal)
        world.tell(ev.BrokerRestarted(leases=leases, jobs=jobs, at=world.now()))

    # What must hold after every step

    @invariant()
    def no_job_is_lost(self):
        for job_id, row in self.world.rows.items():
            live = self.world.lifecycle.job(job_id)
            assert row.job.terminal or live is not None

    @invariant()
    def ends_are_final(self):
        for job_id, row in self.world.rows.items():
            if row.job.terminal:
                assert self.ends.setdefault(job_id, row.job) == row.job

    @invariant()
    def a_result_is_committed_once_and_only_with_done(self):
        for row in self.world.rows.values():
            assert row.result_writes <= 1
            if row.job.state is JobState.DONE:
                assert row.result_writes == 1

    @invariant()
    def nothing_runs_for_a_paused_or_stopped_container(self):
        for job_id, worker in self.world.workers.items():
            if worker["frozen"] or worker["dying"]:
                continue
            job = self.world.lifecycle.job(job_id)
            assert job is not None
            assert self.world.lifecycle.leases[job.lease].state is not LeaseState.PAUSED

    @invariant()
    def the_queue_holds_what_is_queued(self):
        world = self.world
        on_the_way = {e.job for e in world.pending if isinstance(e, ev.JobStarted)}
        queued = {
            job.id for job in world.lifecycle.jobs() if world.lifecycle.phase(job.id) == "QUEUED"
        }
        assert set(world.queue) == queued - on_the_way

    @invariant()
    def reservations_are_those_of_started_jobs(self):
        world = self.world
        on_the_way = {e.job for e in world.pending if isinstance(e, ev.JobStarted)}
        started = {
            job.id for job in world.lifecycle.jobs() if world.lifecycle.phase(job.id) in STARTED
        }
        assert world.reserved - on_the_way <= started
        assert started <= world.reserved
        for job in world.starts:
            held = 1 if job in world.reserved else 0
            assert world.starts[job] == world.releases[job] + held

    @invariant()
    def clocks_stand_while_paused(self):
        for job in self.world.lifecycle.jobs():
            phase = self.world.lifecycle.phase(job.id)
            if job.timeout is not None and phase in (Phase.HELD, Phase.FROZEN):
                assert self.world.timers[job.id] == "held"
            if job.timeout is not None and phase in (Phase.QUEUED, Phase.RUNNING):
                assert self.world.timers[job.id] == "running"

    @invariant()
    def phases_show_as_states(self):
        for job in self.world.lifecycle.jobs():
            assert job.state is STATE_OF[self.world.lifecycle.phase(job.id)]

    @invariant()
    def leases_hold_their_reservations_and_no_more(self):
        leases = self.world.lifecycle.leases.values()
        qubits = sum(lease.limits.qubits or 0 for lease in leases)
        assert self.world.lifecycle.reserved.qubits <= qubits

    def teardown(self):
        """However it went: when all containers stop, everything ends and is returned."""
        world = self.world
        for lease in list(world.lifecycle.leases):
            world.tell(ev.ContainerStopped(lease, at=world.now()))
        for _ in range(4 * (len(world.rows) + 1)):
            for event in world.pending[:]:
                world.pending.remove(event)
                world.tell(event)
            for job, worker in list(world.workers.items()):
                del world.workers[job]
                world.tell(ev.WorkerDied(job, worker["attempt"], ERROR, at=world.now()))
        self.no_job_is_lost()
        self.ends_are_final()
        assert all(row.job.terminal for row in world.rows.values())
        assert all(row.state is LeaseState.ENDED for row in world.lease_rows.values())
        assert not world.lifecycle.leases
        assert not world.lifecycle.jobs()
        assert not world.reserved
        assert not world.queue
        assert not world.timers
        assert world.lifecycle.reserved == Capacity(0, 0, 0)
        assert not world.lifecycle._jobs._of
        assert not world.lifecycle._anchors


TestOrders = Orders.TestCase
TestOrders.settings = settings(max_examples=400, stateful_step_count=60, deadline=None)
