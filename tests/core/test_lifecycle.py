"""The life cycle, event by event: what each state makes of each event."""

import pytest
from msgspec.structs import replace

from quantainer.core import events as ev
from quantainer.core import instructions as do
from quantainer.core.capacity import Capacity
from quantainer.core.job import Job, JobState
from quantainer.core.jobs import MAX_STARTS
from quantainer.core.lease import Anchor, Lease, LeaseLimits, LeaseState
from quantainer.core.lifecycle import Lifecycle
from quantainer.core.transitions import Phase, TransitionError
from quantainer_client.errors import QuantainerError

ERROR = {"code": "worker_died", "message": "killed by signal 9"}


def lease(name="l", cgroup=None, **limits):
    return Lease(name, f"t-{name}", Anchor("cgroup", cgroup or name), limits=LeaseLimits(**limits))


def job(name="j", of="l", **fields):
    fields = {"submitted_at": 1.0, **fields}
    return Job(name, of, f"t-{of}", "qsim", 1000, **fields)


class Node:
    """A life cycle and what it said last."""

    def __init__(self, *past, capacity=None):
        self.lifecycle = Lifecycle(capacity)
        self.at = 0.0
        self.said = []
        for event in past:
            self.tell(event)

    def tell(self, kind, *values, **fields):
        self.at += 1.0
        event = kind if not isinstance(kind, type) else kind(*values, **fields, at=self.at)
        said = self.lifecycle.handle(event)
        self.said = [item for item in said if not isinstance(item, do.Record)]
        self.steps = [item.transition for item in said if isinstance(item, do.Record)]
        return self.said

    def kinds(self):
        return [type(item) for item in self.said]

    def state(self, name="j"):
        found = self.lifecycle.job(name)
        return None if found is None else found.state

    def only(self, kind):
        (found,) = [item for item in self.said if isinstance(item, kind)]
        return found


@pytest.fixture
def node():
    node = Node()
    node.tell(ev.LeaseOpened, lease())
    node.tell(ev.ContainerStarted, "l")
    return node


@pytest.fixture
def running(node):
    node.tell(ev.JobSubmitted, job())
    node.tell(ev.JobStarted, "j")
    return node


@pytest.fixture
def frozen(running):
    running.tell(ev.ContainerPaused, "l")
    return running


class TestStraightWay:
    def test_a_job_goes_from_submission_to_its_result(self, node):
        node.tell(ev.JobSubmitted, job())
        assert node.kinds() == [do.SaveJob, do.Enqueue]
        assert not node.said[0].lazy, "the row is durable before the submission is acknowledged"
        node.tell(ev.JobStarted, "j")
        assert node.kinds() == [do.SaveJob, do.Start]
        assert node.only(do.Start).job.attempt == 1
        node.tell(ev.ResultReady, "j", 1)
        assert node.kinds() == [do.Commit, do.Release]
        assert node.only(do.Commit).job.state is JobState.DONE
        node.tell(ev.ResultCommitted, "j", 1)
        assert node.kinds() == [do.Notify]
        done = node.only(do.Notify).job
        assert (done.state, done.shots_done) == (JobState.DONE, 1000)
        assert done.finished_at == node.at - 1, "the row that was written is the one that is shown"
        assert node.lifecycle.jobs() == []

    def test_every_step_is_named(self, node):
        names = []
        for event in (
            (ev.JobSubmitted, job()),
            (ev.JobStarted, "j"),
            (ev.ResultReady, "j", 1),
            (ev.ResultCommitted, "j", 1),
        ):
            node.tell(*event)
            names += node.steps
        assert names == ["start", "commit", "done"]

    def test_chunks_are_counted_and_announced(self, running):
        running.tell(ev.ShotsDone, "j", 1, 300)
        assert running.only(do.Notify).job.shots_done == 300
        assert running.tell(ev.ShotsDone, "j", 1, 300) == []
        assert running.tell(ev.ShotsDone, "j", 7, 900) == []

    def test_nothing_happens_twice(self, running):
        assert running.tell(ev.ResultReady, "j", 1)
        assert running.tell(ev.ResultReady, "j", 1) == []
        assert running.tell(ev.ResultCommitted, "j", 1)
        for late in (ev.ResultReady, ev.ResultCommitted, ev.Aborted):
            assert running.tell(late, "j", 1) == []
        assert running.tell(ev.WorkerDied, "j", 1, ERROR) == []
        assert running.tell(ev.CancelRequested, "j") == []


class TestImpossible:
    def test_a_lease_cannot_open_twice(self, node):
        with pytest.raises(TransitionError, match="open already"):
            node.tell(ev.LeaseOpened, lease())

    def test_a_job_cannot_be_submitted_twice(self, running):
        with pytest.raises(TransitionError, match="submitted twice"):
            running.tell(ev.JobSubmitted, job())

    def test_a_running_job_cannot_start(self, running):
        with pytest.raises(TransitionError, match="no step 'start' from RUNNING"):
            running.tell(ev.JobStarted, "j")
        assert running.lifecycle.job("j").attempt == 1

    def test_an_unknown_or_stopping_lease_takes_no_jobs(self, running):
        running.tell(ev.ContainerStopping, "l")
        for of in ("l", "nobody"):
            with pytest.raises(TransitionError, match="takes no jobs"):
                running.tell(ev.JobSubmitted, job("k", of))


class TestPause:
    def test_queued_work_is_held_and_queued_again(self, node):
        node.tell(ev.JobSubmitted, job())
        node.tell(ev.ContainerPaused, "l")
        assert node.kinds() == [do.SaveLease, do.Dequeue, do.SaveJob]
        assert node.state() is JobState.PAUSED
        assert node.tell(ev.ContainerPaused, "l") == []
        node.tell(ev.ContainerUnpaused, "l")
        assert node.kinds() == [do.SaveLease, do.SaveJob, do.Enqueue]
        assert node.state() is JobState.QUEUED
        assert node.tell(ev.ContainerUnpaused, "l") == []

    def test_running_work_is_frozen_and_thawed(self, frozen):
        assert frozen.only(do.Freeze) == do.Freeze("j", 1)
        assert frozen.state() is JobState.PAUSED
        frozen.tell(ev.ContainerUnpaused, "l")
        assert frozen.only(do.Thaw) == do.Thaw("j", 1)
        assert frozen.state() is JobState.RUNNING

    def test_a_result_that_comes_meanwhile_is_durable_and_waits(self, frozen):
        frozen.tell(ev.ResultReady, "j", 1)
        assert frozen.kinds() == [do.Keep, do.Release]
        assert frozen.state() is JobState.PAUSED
        frozen.tell(ev.ContainerUnpaused, "l")
        assert do.Thaw not in frozen.kinds()
        assert frozen.only(do.Commit).kept
        frozen.tell(ev.ResultCommitted, "j", 1)
        assert frozen.only(do.Notify).job.state is JobState.DONE

    def test_a_result_being_written_is_written(self, running):
        running.tell(ev.ResultReady, "j", 1)
        running.tell(ev.ContainerPaused, "l")
        assert do.Freeze not in running.kinds()
        running.tell(ev.ResultCommitted, "j", 1)
        assert running.only(do.Notify).job.state is JobState.DONE

    def test_a_job_submitted_meanwhile_is_held(self, node):
        node.tell(ev.ContainerPaused, "l")
        node.tell(ev.JobSubmitted, job())
        assert node.kinds() == [do.SaveJob]
        assert node.state() is JobState.PAUSED

    def test_a_choice_of_the_scheduler_that_came_too_late_is_returned(self, node):
        node.tell(ev.JobSubmitted, job())
        node.tell(ev.ContainerPaused, "l")
        assert node.tell(ev.JobStarted, "j") == [do.Release("j")]
        node.tell(ev.CancelRequested, "j")
        assert node.tell(ev.JobStarted, "j") == [do.Release("j")]

    def test_a_frozen_workers_death_is_tried_again_after_unpause(self, frozen):
        frozen.tell(ev.WorkerDied, "j", 1, ERROR)
        assert frozen.kinds() == [do.Release, do.SaveJob]
        assert frozen.state() is JobState.PAUSED
        frozen.tell(ev.ContainerUnpaused, "l")
        assert frozen.only(do.Enqueue).job.attempt == 1

    def test_an_abort_is_not_frozen(self, running):
        running.tell(ev.CancelRequested, "j")
        running.tell(ev.ContainerPaused, "l")
        assert do.Freeze not in running.kinds()
        running.tell(ev.Aborted, "j", 1)
        assert running.only(do.Notify).job.state is JobState.CANCELLED


class TestDeadline:
    def test_the_clock_stops_while_paused(self, node):
        node.tell(ev.JobSubmitted, job(timeout=5.0))
        assert node.only(do.StartTimer) == do.StartTimer("j", 5.0)
        node.tell(ev.ContainerPaused, "l")
        assert node.only(do.HoldTimer)
        assert node.tell(ev.DeadlineReached, "j") == [], "it fired just before it was held"
        node.tell(ev.ContainerUnpaused, "l")
        assert node.only(do.ResumeTimer)

    def test_a_job_held_from_the_start_has_a_held_timer(self, node):
        node.tell(ev.ContainerPaused, "l")
        node.tell(ev.JobSubmitted, job(timeout=5.0))
        assert node.kinds() == [do.SaveJob, do.StartTimer, do.HoldTimer]

    def test_a_queued_job_fails_at_once(self, node):
        node.tell(ev.JobSubmitted, job(timeout=5.0))
        node.tell(ev.DeadlineReached, "j")
        ended = node.only(do.Notify).job
        assert (ended.state, ended.error["code"]) == (JobState.FAILED, "timeout")
        assert node.kinds() == [do.Dequeue, do.SaveJob, do.StopTimer, do.Notify]

    def test_a_running_job_fails_when_it_runs_no_more(self, node):
        node.tell(ev.JobSubmitted, job(timeout=5.0))
        node.tell(ev.JobStarted, "j")
        node.tell(ev.DeadlineReached, "j")
        assert node.only(do.Abort) == do.Abort("j", 1)
        node.tell(ev.WorkerDied, "j", 1, ERROR)
        ended = node.only(do.Notify).job
        assert (ended.state, ended.error["code"]) == (JobState.FAILED, "timeout")


class TestCancel:
    def test_queued_and_held_jobs_end_at_once(self, node):
        node.tell(ev.JobSubmitted, job())
        node.tell(ev.CancelRequested, "j")
        assert node.kinds() == [do.Dequeue, do.SaveJob, do.Notify]
        node.tell(ev.ContainerPaused, "l")
        node.tell(ev.JobSubmitted, job("k"))
        node.tell(ev.CancelRequested, "k")
        assert node.kinds() == [do.SaveJob, do.Notify]
        assert node.only(do.Notify).job.state is JobState.CANCELLED

    @pytest.mark.parametrize("start", ["running", "frozen"])
    def test_the_backend_confirms_before_a_started_job_ends(self, start, request):
        node = request.getfixturevalue(start)
        node.tell(ev.CancelRequested, "j")
        assert node.only(do.Abort) == do.Abort("j", 1)
        assert node.lifecycle.phase("j") is Phase.ABORTING
        assert node.tell(ev.CancelRequested, "j") == [do.Abort("j", 1)], "the first may be lost"
        node.tell(ev.Aborted, "j", 1)
        assert node.kinds() == [do.Release, do.SaveJob, do.Notify]
        assert node.only(do.Notify).job.state is JobState.CANCELLED

    @pytest.mark.parametrize("answer", [ev.WorkerDied, ev.JobErred])
    def test_any_end_of_the_execution_confirms(self, running, answer):
        running.tell(ev.CancelRequested, "j")
        running.tell(answer, "j", 1, ERROR)
        assert running.only(do.Release)
        assert running.only(do.Notify).job.state is JobState.CANCELLED

    def test_a_result_that_was_faster_counts(self, running):
        running.tell(ev.CancelRequested, "j")
        running.tell(ev.ResultReady, "j", 1)
        assert running.kinds() == [do.Commit, do.Release]
        assert running.tell(ev.Aborted, "j", 1) == []
        running.tell(ev.ResultCommitted, "j", 1)
        assert running.only(do.Notify).job.state is JobState.DONE

    def test_a_kept_result_counts(self, frozen):
        frozen.tell(ev.ResultReady, "j", 1)
        frozen.tell(ev.CancelRequested, "j")
        assert frozen.only(do.Commit).kept

    def test_the_message_tells_what_is_kept(self, running):
        running.tell(ev.ShotsDone, "j", 1, 300)
        running.tell(ev.ContainerStopped, "l")
        running.tell(ev.Aborted, "j", 1)
        message = running.only(do.SaveJob).job.error["message"]
        assert message == (
            "Job j was cancelled: its container stopped. 300 of 1000 shots are kept."
        )


class TestFailure:
    def test_a_dead_worker_is_replaced_once(self, running):
        running.tell(ev.WorkerDied, "j", 1, ERROR)
        assert running.kinds() == [do.Release, do.SaveJob, do.Enqueue]
        running.tell(ev.JobStarted, "j")
        assert running.tell(ev.ResultReady, "j", 1) == [], "an answer of the dead one"
        running.tell(ev.WorkerDied, "j", 2, ERROR)
        ended = running.only(do.Notify).job
        assert (ended.state, ended.error, ended.worker_deaths) == (JobState.FAILED, ERROR, 2)

    def test_a_death_that_must_not_be_retried_fails(self, running):
        running.tell(ev.WorkerDied, "j", 1, ERROR, False)
        assert running.only(do.Notify).job.state is JobState.FAILED

    def test_an_error_fails_also_while_paused(self, frozen):
        frozen.tell(ev.JobErred, "j", 1, {"code": "backend_failed", "message": "no"})
        assert frozen.kinds() == [do.Release, do.SaveJob, do.Notify]
        assert frozen.only(do.Notify).job.state is JobState.FAILED

    def test_a_result_that_cannot_be_written_fails_the_job(self, running):
        running.tell(ev.ResultReady, "j", 1)
        running.tell(ev.CommitFailed, "j", 1, {"code": "storage", "message": "disk full"})
        assert running.kinds() == [do.SaveJob, do.Notify], "released when the result came"
        assert running.only(do.Notify).job.error["code"] == "storage"


class TestStop:
    def test_draining_lets_started_jobs_finish(self, running):
        running.tell(ev.JobSubmitted, job("k"))
        running.tell(ev.ContainerStopping, "l")
        assert running.state("k") is None
        assert running.state("j") is JobState.RUNNING
        running.tell(ev.ResultReady, "j", 1)
        running.tell(ev.ResultCommitted, "j", 1)
        assert running.kinds() == [do.Notify, do.SaveLease, do.CloseLease]
        assert running.only(do.CloseLease).lease.state is LeaseState.ENDED

    def test_the_end_of_the_grace_period_ends_drained_jobs_too(self, running):
        running.tell(ev.ContainerStopping, "l")
        running.tell(ev.ContainerStopped, "l")
        assert running.only(do.Abort)
        running.tell(ev.Aborted, "j", 1)
        assert do.CloseLease in running.kinds()

    def test_a_paused_container_can_stop(self, frozen):
        frozen.tell(ev.JobSubmitted, job("k"))
        frozen.tell(ev.ContainerStopping, "l")
        assert frozen.only(do.Thaw)
        assert frozen.state("j") is JobState.RUNNING
        assert frozen.state("k") is None

    def test_a_paused_container_can_be_killed(self, frozen):
        frozen.tell(ev.ContainerStopped, "l")
        assert frozen.only(do.Abort)
        frozen.tell(ev.WorkerDied, "j", 1, ERROR)
        assert do.CloseLease in frozen.kinds()

    def test_a_kept_result_is_committed(self, frozen):
        frozen.tell(ev.ResultReady, "j", 1)
        frozen.tell(ev.ContainerStopped, "l")
        assert frozen.only(do.Commit).kept
        frozen.tell(ev.ResultCommitted, "j", 1)
        assert do.CloseLease in frozen.kinds()

    def test_an_idle_container_closes_at_once(self, node):
        node.tell(ev.ContainerStopped, "l")
        assert node.kinds() == [do.SaveLease, do.SaveLease, do.CloseLease]
        assert node.steps == ["stop", "end"]
        assert node.tell(ev.ContainerStopped, "l") == []

    def test_a_worker_that_dies_while_draining_is_not_replaced(self, running):
        running.tell(ev.ContainerStopping, "l")
        running.tell(ev.WorkerDied, "j", 1, ERROR)
        assert running.only(do.Notify).job.state is JobState.FAILED

    def test_a_lease_expires(self, running):
        running.tell(ev.LeaseExpired, "l")
        running.tell(ev.Aborted, "j", 1)
        assert "its lease expired" in running.only(do.SaveJob).job.error["message"]

    def test_a_second_container_at_the_same_place_ends_the_first(self, running):
        running.tell(ev.LeaseOpened, lease("new", cgroup="l"))
        assert running.only(do.Abort) == do.Abort("j", 1)
        assert running.lifecycle.lease_at(Anchor("cgroup", "l")).id == "new"
        running.tell(ev.Aborted, "j", 1)
        assert running.lifecycle.lease_at(Anchor("cgroup", "l")).id == "new"
        assert set(running.lifecycle.leases) == {"new"}


class TestReservation:
    CAPACITY = Capacity(qubits=32, memory_bytes=100, concurrent_jobs=5)

    def node(self):
        node = Node(capacity=self.CAPACITY)
        node.tell(ev.LeaseOpened, lease("a", qubits=16, memory_bytes=40))
        return node

    @pytest.mark.parametrize(
        ("limits", "code", "limit", "needed"),
        [
            ({"qubits": 17}, "too_many_qubits", 16, 17),
            ({"memory_bytes": 61}, "out_of_memory", 60, 61),
            ({"concurrent_jobs": 4}, "queue_full", 3, 4),
        ],
    )
    def test_what_does_not_fit_is_refused_with_what_is_free(self, limits, code, limit, needed):
        node = self.node()
        with pytest.raises(QuantainerError) as refusal:
            node.tell(ev.LeaseOpened, lease("b", **limits))
        assert (refusal.value.code, refusal.value.limit, refusal.value.needed) == (
            code,
            limit,
            needed,
        )
        assert set(node.lifecycle.leases) == {"a"}
        assert node.lifecycle.reserved == Capacity(16, 40, 2)

    def test_it_is_returned_when_the_lease_ends(self):
        node = self.node()
        node.tell(ev.LeaseOpened, lease("b", qubits=16, memory_bytes=60))
        node.tell(ev.ContainerStopped, "a")
        assert node.lifecycle.reserved == Capacity(16, 60, 2)
        node.tell(ev.LeaseOpened, lease("c", qubits=16, memory_bytes=40))
        for name in "bc":
            node.tell(ev.ContainerStopped, name)
        assert node.lifecycle.reserved == Capacity(0, 0, 0)

    def test_a_restarted_container_gets_its_own_place_again(self):
        node = self.node()
        node.tell(ev.LeaseOpened, lease("again", cgroup="a", qubits=32))
        assert node.lifecycle.reserved == Capacity(32, 0, 2)
        with pytest.raises(QuantainerError):
            node.tell(ev.LeaseOpened, lease("once more", cgroup="a", qubits=33))
        assert node.lifecycle.reserved == Capacity(32, 0, 2)


class TestRestart:
    def restart(self, leases, jobs):
        node = Node()
        node.tell(ev.BrokerRestarted, leases=tuple(leases), jobs=tuple(jobs))
        return node

    @pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING])
    def test_jobs_are_queued_again(self, state):
        node = self.restart(
            [replace(lease(), state=LeaseState.ACTIVE)], [job(state=state, attempt=1, timeout=9.0)]
        )
        assert node.kinds() == [do.SaveJob, do.StartTimer, do.Enqueue]
        assert node.only(do.Enqueue).job.attempt == 1, "late answers stay recognisable"
        assert node.state() is JobState.QUEUED
        assert node.steps == ["recover"]

    def test_jobs_of_a_paused_container_are_held(self):
        node = self.restart(
            [replace(lease(), state=LeaseState.PAUSED)], [job(state=JobState.PAUSED, attempt=1)]
        )
        assert node.kinds() == [do.SaveJob]
        node.tell(ev.ContainerUnpaused, "l")
        assert do.Enqueue in node.kinds()

    def test_a_kept_result_waits_on(self):
        kept = job(state=JobState.PAUSED, attempt=1, result_kept=True)
        node = self.restart([replace(lease(), state=LeaseState.PAUSED)], [kept])
        assert node.said == []
        node.tell(ev.ContainerUnpaused, "l")
        assert node.only(do.Commit).kept
        node.tell(ev.ResultCommitted, "j", 1)
        assert node.only(do.Notify).job.state is JobState.DONE

    @pytest.mark.parametrize("state", [LeaseState.ACTIVE, LeaseState.STOPPING])
    def test_a_kept_result_of_a_container_that_goes_on_or_stops_is_committed(self, state):
        kept = job(state=JobState.PAUSED, attempt=1, result_kept=True)
        node = self.restart([replace(lease(), state=state)], [kept])
        assert node.only(do.Commit).kept

    @pytest.mark.parametrize("leases", [[], [replace(lease(), state=LeaseState.STOPPING)]])
    def test_jobs_of_a_stopped_container_end(self, leases):
        node = self.restart(leases, [job(state=JobState.RUNNING)])
        assert node.only(do.SaveJob).job.state is JobState.CANCELLED
        assert node.lifecycle.jobs() == []
        assert node.lifecycle.leases == {}

    def test_no_job_is_tried_for_ever(self):
        active = [replace(lease(), state=LeaseState.ACTIVE)]
        node = self.restart(active, [job(state=JobState.RUNNING, attempt=MAX_STARTS)])
        ended = node.only(do.SaveJob).job
        assert (ended.state, ended.error["code"]) == (JobState.FAILED, "worker_died")

    def test_reservations_are_restored_even_if_they_no_longer_fit(self):
        node = Node(capacity=Capacity(qubits=10))
        active = replace(lease(qubits=16), state=LeaseState.ACTIVE)
        node.tell(ev.BrokerRestarted, leases=(active,))
        assert node.lifecycle.reserved.qubits == 16
