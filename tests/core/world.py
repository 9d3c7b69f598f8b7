"""A faithful driver of the life cycle without a container, a clock or a disk.

It carries out instructions at once, and holds back what it has to report until it is told to
deliver it, in any order, twice, or never. What may never get lost is replaced as a real driver
would: a worker whose answer is lost is dead.
"""

import itertools
from collections import Counter

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
CAPACITY = Capacity(qubits=40)


class Row:
    """A job's row: terminal states are final, a result is written once."""

    def __init__(self, job):
        self.job = job
        self.result_writes = 0

    def write(self, job):
        if not self.job.terminal:
            self.job = job


class World:
    """The driver, and what can happen to it; ``choose`` picks one of several things."""

    def __init__(self):
        self.rows, self.lease_rows, self.ends = {}, {}, {}
        self.log, self.gone = [], set()
        self.at = 0.0
        self.serial = itertools.count()
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
        for job in self.lifecycle.jobs():
            row = self.rows[job.id].job
            if row.state is JobState.DONE:  # the news of it is on the way
                continue
            assert (row.state, row.attempt, row.worker_deaths) == (
                job.state,
                job.attempt,
                job.worker_deaths,
            )

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

    # What can happen

    def open_lease(self, choose):
        limits = LeaseLimits(qubits=choose([None, 8, 16]))
        lease = Lease(f"l{next(self.serial)}", "t", Anchor("cgroup", choose("abcd")), limits=limits)
        before = self.lifecycle.reserved
        try:
            self.tell(ev.LeaseOpened(lease, at=self.now()))
        except QuantainerError:
            assert lease.id not in self.lifecycle.leases
            assert self.lifecycle.reserved == before

    def container(self, choose):
        """News of a container, old or new, true or not."""
        if self.lease_rows:
            kind = choose([ev.ContainerStarted, ev.ContainerPaused, ev.ContainerUnpaused])
            self.tell(kind(choose(sorted(self.lease_rows)), at=self.now()))

    def container_ends(self, choose):
        if self.lease_rows:
            kind = choose([ev.ContainerStopping, ev.ContainerStopped, ev.LeaseExpired])
            lease = choose(sorted(self.lease_rows))
            if kind is not ev.ContainerStopping:
                self.gone.add(lease)
            self.tell(kind(lease, at=self.now()))

    def submit(self, choose):
        open_leases = [
            name
            for name, lease in self.lifecycle.leases.items()
            if lease.state is not LeaseState.STOPPING
        ]
        if not open_leases:
            return
        job = Job(
            f"j{next(self.serial)}",
            choose(sorted(open_leases)),
            "t",
            "qsim",
            100,
            timeout=choose([None, 5.0]),
        )
        self.tell(ev.JobSubmitted(job, at=self.now()))
        assert job.id in self.rows, "durable before it is acknowledged"

    def schedule(self, choose):
        """The scheduler takes a job; sometimes its report comes a little late."""
        if not self.queue:
            return
        job = choose(sorted(self.queue))
        del self.queue[job]
        self.reserved.add(job)
        self.starts[job] += 1
        event = ev.JobStarted(job, at=self.now())
        if choose([False, False, True]):
            self.pending.append(event)
        else:
            self.tell(event)

    def work(self, choose):
        """A worker does something; a frozen one can only die, or have been done already."""
        if not self.workers:
            return
        job = choose(sorted(self.workers))
        worker = self.workers[job]
        attempt, at = worker["attempt"], self.now()
        what = choose(["result", "result", "chunk", "error", "death", "zombie", "abort"])
        if what == "chunk":
            self.pending.append(ev.ShotsDone(job, attempt, choose([1, 50, 100]), at=at))
            return
        if what == "abort" and not worker["dying"]:
            return
        del self.workers[job]
        if what == "zombie":  # it died just after its answer went out
            self.pending.append(ev.ResultReady(job, attempt, at=at))
            what = "death"
        answers = {
            "result": ev.ResultReady(job, attempt, at=at),
            "error": ev.JobErred(job, attempt, ERROR, at=at),
            "death": ev.WorkerDied(job, attempt, ERROR, at=at),
            "abort": ev.Aborted(job, attempt, at=at),
        }
        self.pending.append(answers[what])

    def job_ends(self, choose):
        """The owner cancels, or a timer fires: of any job, alive or long gone."""
        if self.rows:
            kind = choose([ev.CancelRequested, ev.DeadlineReached])
            live = [job.id for job in self.lifecycle.jobs()]
            job = choose(sorted(choose([live or list(self.rows), list(self.rows)])))
            self.tell(kind(job, at=self.now()))

    def deliver(self, choose):
        if not self.pending:
            return
        event = self.pending.pop(choose(range(len(self.pending))))
        self.tell(event)
        if choose([False, True]) and not isinstance(event, ev.JobStarted):
            self.tell(event)

    def lose(self, choose):
        """An answer is lost; the driver finds the worker dead, or lacks a chunk."""
        if not self.pending:
            return
        index = choose(range(len(self.pending)))
        event = self.pending[index]
        if isinstance(event, ev.ResultReady | ev.JobErred | ev.Aborted):
            self.pending[index] = ev.WorkerDied(event.job, event.attempt, ERROR, at=self.now())
        elif isinstance(event, ev.ShotsDone):
            self.pending.pop(index)

    def disk(self, choose):
        self.disk_full = choose([False, False, True])

    def kill_the_broker(self, choose):
        """Workers, queue, timers and rows not yet written are gone."""
        if choose([False, True]):
            self.flush()
        self.boot()
        leases = tuple(row for row in self.lease_rows.values() if row.state != "ENDED")
        jobs = tuple(row.job for row in self.rows.values() if not row.job.terminal)
        self.tell(ev.BrokerRestarted(leases=leases, jobs=jobs, at=self.now()))

    ACTIONS = (  # and how often each is taken on a random walk
        (open_lease, 2),
        (container, 6),
        (container_ends, 1),
        (submit, 5),
        (schedule, 8),
        (work, 8),
        (job_ends, 3),
        (deliver, 8),
        (lose, 1),
        (disk, 1),
        (kill_the_broker, 1),
    )

    # What must hold after each step

    def check(self):
        self.no_job_is_lost()
        self.ends_are_final()
        self.results_come_once_and_only_with_done()
        self.nothing_runs_for_a_paused_or_stopped_container()
        self.the_queue_holds_what_is_queued()
        self.reservations_are_those_of_started_jobs()
        self.clocks_stand_while_paused()
        self.jobs_stand_where_their_container_does()

    def no_job_is_lost(self):
        for job_id, row in self.rows.items():
            assert row.job.terminal or self.lifecycle.job(job_id) is not None

    def ends_are_final(self):
        for job_id, row in self.rows.items():
            if row.job.terminal:
                assert self.ends.setdefault(job_id, row.job) == row.job

    def results_come_once_and_only_with_done(self):
        for row in self.rows.values():
            assert row.result_writes <= 1
            if row.job.state is JobState.DONE:
                assert row.result_writes == 1

    def nothing_runs_for_a_paused_or_stopped_container(self):
        for job_id, worker in self.workers.items():
            if worker["frozen"] or worker["dying"]:
                continue
            job = self.lifecycle.job(job_id)
            assert job is not None
            assert job.lease not in self.gone
            assert self.lifecycle.leases[job.lease].state is not LeaseState.PAUSED

    def on_the_way(self):
        return {event.job for event in self.pending if isinstance(event, ev.JobStarted)}

    def in_phases(self, phases):
        live = self.lifecycle.jobs()
        return {job.id for job in live if self.lifecycle.phase(job.id) in phases}

    def the_queue_holds_what_is_queued(self):
        assert set(self.queue) == self.in_phases({Phase.QUEUED}) - self.on_the_way()

    def reservations_are_those_of_started_jobs(self):
        started = self.in_phases(STARTED)
        assert self.reserved - self.on_the_way() <= started <= self.reserved
        for job in self.starts:
            assert self.starts[job] == self.releases[job] + (job in self.reserved)

    def clocks_stand_while_paused(self):
        for job in self.lifecycle.jobs():
            phase = self.lifecycle.phase(job.id)
            if job.timeout is None:
                assert job.id not in self.timers
            elif phase in (Phase.HELD, Phase.FROZEN):
                assert self.timers[job.id] == "held"
            elif phase in (Phase.QUEUED, Phase.RUNNING):
                assert self.timers[job.id] == "running"

    def jobs_stand_where_their_container_does(self):
        for job in self.lifecycle.jobs():
            phase = self.lifecycle.phase(job.id)
            assert job.state is STATE_OF[phase]
            lease = self.lifecycle.leases[job.lease].state
            if lease is LeaseState.PAUSED:
                assert phase not in (Phase.QUEUED, Phase.RUNNING)
            else:
                assert phase not in (Phase.HELD, Phase.FROZEN, Phase.KEPT)
            if lease is LeaseState.STOPPING:
                assert phase is not Phase.QUEUED

    def settle(self):
        """However it went: when all containers stop, everything ends and is returned."""
        for lease in list(self.lifecycle.leases):
            self.tell(ev.ContainerStopped(lease, at=self.now()))
        while self.pending or self.workers:
            for event in self.pending[:]:
                self.pending.remove(event)
                self.tell(event)
            for job, worker in list(self.workers.items()):
                del self.workers[job]
                self.tell(ev.WorkerDied(job, worker["attempt"], ERROR, at=self.now()))
        self.check()
        assert all(row.job.terminal for row in self.rows.values())
        assert all(row.state is LeaseState.ENDED for row in self.lease_rows.values())
        assert not self.lifecycle.leases
        assert not self.lifecycle.jobs()
        assert not self.reserved
        assert not self.queue
        assert not self.timers
        assert self.lifecycle.reserved == Capacity(0, 0, 0)
