"""The fair queue: shares, priorities, bounds, backfill, and its ledger of reservations."""

import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from quantainer.broker.queue import FairQueue
from quantainer.broker.ticket import Bounds, Resources, Ticket
from quantainer.core.lease import LeaseLimits
from quantainer_client.errors import QuantainerError

GIB = 2**30
MANY = LeaseLimits(concurrent_jobs=1000, queued_jobs=10**6)


def ticket(
    job,
    tenant="t",
    *,
    lease=None,
    cores=1,
    memory=0,
    cost=1.0,
    at=0.0,
    priority=0,
    shots=0,
    limits=MANY,
):
    need = Resources(cores, memory)
    return Ticket(
        str(job), lease or f"lease-of-{tenant}", tenant, need, cost, at, shots, priority, limits
    )


def drain(queue, now=0.0):
    order = []
    while (taken := queue.pop(now)) is not None:
        order.append(taken.job)
        queue.release(taken.job)
    return order


def served(queue, events, cores_seconds):
    """Run a simulated node until it has served so many core-seconds; return them by tenant."""
    service = Counter()
    now, running, serial = 0.0, [], 0
    for tenant, cost, cores in events:
        for _ in range(3):
            queue.push(ticket(serial, tenant, cores=cores, cost=cost, at=now))
            serial += 1
    refill = {tenant: (cost, cores) for tenant, cost, cores in events}
    while sum(service.values()) < cores_seconds:
        while (taken := queue.pop(now)) is not None:
            running.append((now + taken.cost / max(1, taken.need.cores), taken))
            cost, cores = refill[taken.tenant]
            queue.push(ticket(serial, taken.tenant, cores=cores, cost=cost, at=now))
            serial += 1
        running.sort(key=lambda pair: pair[0])
        now, done = running.pop(0)
        queue.release(done.job)
        service[done.tenant] += done.cost
    return service


class TestShares:
    @settings(max_examples=30, deadline=None)
    @given(
        st.lists(
            st.tuples(st.sampled_from([0.5, 1.0, 2.0, 4.0]), st.floats(0.05, 2.0)),
            min_size=2,
            max_size=6,
        )
    )
    def test_saturated_tenants_get_their_weights_within_a_tenth(self, tenants):
        queue = FairQueue(Resources(4, GIB))
        for index, (weight, _) in enumerate(tenants):
            queue.set_weight(f"t{index}", weight)
        total = 400 * max(cost for _, cost in tenants) * len(tenants)
        events = [(f"t{index}", cost, 1) for index, (_, cost) in enumerate(tenants)]
        service = served(queue, events, total)
        weights = sum(weight for weight, _ in tenants)
        for index, (weight, _) in enumerate(tenants):
            share = service[f"t{index}"] / sum(service.values())
            assert share == pytest.approx(weight / weights, rel=0.1)

    def test_wide_and_narrow_jobs_share_alike(self):
        queue = FairQueue(Resources(4, GIB), Bounds(patience=0.0))
        service = served(queue, [("wide", 4.0, 4), ("narrow", 0.5, 1)], 2000)
        assert service["wide"] / sum(service.values()) == pytest.approx(0.5, rel=0.1)

    def test_a_flood_does_not_delay_another_tenant(self):
        queue = FairQueue(Resources(1, GIB))
        for index in range(5000):
            queue.push(ticket(f"flood{index}", "flood", lease=f"lease{index % 50}"))
        first = [queue.pop(0.0).job]
        queue.push(ticket("small", "other"))
        queue.release(first[0])
        assert queue.pop(0.0).job == "small"

    def test_idle_time_is_not_saved_up(self):
        queue = FairQueue(Resources(1, GIB))
        for index in range(100):
            queue.push(ticket(f"a{index}", "a"))
        for _ in range(50):
            queue.release(queue.pop(0.0).job)
        for index in range(100):
            queue.push(ticket(f"b{index}", "b"))
        order = [job[0] for job in drain(queue)[:40]]
        assert 18 <= order.count("b") <= 22

    def test_leaving_does_not_cancel_a_debt(self):
        queue = FairQueue(Resources(1, GIB))
        queue.push(ticket("steady", "b", cost=1))
        queue.push(ticket("steady2", "b", cost=1))
        queue.push(ticket("huge", "a", cost=1000))
        taken = [queue.pop(0.0).job]
        queue.release(taken[0])
        queue.release(queue.pop(0.0).job)  # now a has used 1000, owes, and has nothing here
        queue.push(ticket("b3", "b"))
        queue.push(ticket("a2", "a"))
        assert drain(queue)[-1] == "a2"

    def test_a_wrong_estimate_is_corrected(self):
        queue = FairQueue(Resources(1, GIB))
        for index in range(400):
            queue.push(ticket(f"a{index}", "liar", cost=0.01))
            queue.push(ticket(f"b{index}", "honest", cost=1.0))
        spent = Counter()
        for _ in range(200):
            taken = queue.pop(0.0)
            spent[taken.tenant] += 1.0
            queue.release(taken.job, spent=1.0)
        assert spent["liar"] == pytest.approx(100, abs=5)

    def test_costless_jobs_take_turns_too(self):
        queue = FairQueue(Resources(1, GIB))
        for index in range(50):
            queue.push(ticket(f"a{index}", "a", cost=0.0))
            queue.push(ticket(f"b{index}", "b", cost=0.0))
        assert [job[0] for job in drain(queue)[:20]].count("a") == 10


class TestOrder:
    def test_priority_goes_first_and_waiting_ages(self):
        queue = FairQueue(Resources(1, GIB), Bounds(age_step=10))
        queue.push(ticket("old", at=0.0))
        queue.push(ticket("urgent", at=5.0, priority=1))
        queue.push(ticket("late and urgent", at=11.0, priority=1))
        assert drain(queue) == ["urgent", "old", "late and urgent"]

    def test_equal_jobs_go_in_order_of_arrival_over_leases(self):
        queue = FairQueue(Resources(1, GIB))
        for index in range(10):
            queue.push(ticket(index, lease=f"l{index % 3}", at=float(index)))
        assert drain(queue) == [str(index) for index in range(10)]

    def test_ahead_counts_the_tenants_own(self):
        queue = FairQueue(Resources(1, GIB))
        for index in range(5):
            queue.push(ticket(index, lease=f"l{index % 2}", at=float(index)))
        queue.push(ticket("other", "u"))
        queue.remove("1")
        assert [queue.ahead(job) for job in ("0", "2", "3", "4")] == [0, 1, 2, 3]


class TestLimits:
    def test_a_lease_runs_no_more_jobs_at_once_than_granted(self):
        queue = FairQueue(Resources(8, GIB))
        for index in range(6):
            queue.push(ticket(index, limits=LeaseLimits(concurrent_jobs=2)))
        assert [queue.pop(0.0).job, queue.pop(0.0).job, queue.pop(0.0)] == ["0", "1", None]
        queue.release("0")
        assert queue.pop(0.0).job == "2"

    def test_a_lease_uses_no_more_memory_at_once_than_granted(self):
        queue = FairQueue(Resources(8, 100 * GIB))
        limits = LeaseLimits(concurrent_jobs=10, memory_bytes=3 * GIB)
        for index in range(3):
            queue.push(ticket(index, memory=2 * GIB, limits=limits))
        queue.push(ticket("small", memory=GIB, limits=limits))
        assert [queue.pop(0.0).job, queue.pop(0.0).job] == ["0", "small"]
        assert queue.pop(0.0) is None

    def test_a_rate_of_shots_holds_over_time(self):
        queue = FairQueue(Resources(8, GIB))
        limits = LeaseLimits(concurrent_jobs=10, shots_per_second=100)
        for index in range(20):
            queue.push(ticket(index, shots=50, limits=limits))
        now, started = 0.0, []
        while len(queue):
            while (taken := queue.pop(now)) is not None:
                started.append(now)
                queue.release(taken.job)
            if len(queue):
                now = queue.wake_at()
        assert started[-1] == pytest.approx(9.5)

    def test_the_rate_outlives_an_idle_moment(self):
        queue = FairQueue(Resources(8, GIB))
        limits = LeaseLimits(shots_per_second=100)
        queue.push(ticket("first", shots=500, limits=limits))
        queue.release(queue.pop(0.0).job)
        queue.push(ticket("second", shots=500, limits=limits))
        assert queue.pop(1.0) is None
        assert queue.pop(5.0).job == "second"

    @pytest.mark.parametrize(
        ("bounds", "limits", "whose"),
        [
            (Bounds(), LeaseLimits(queued_jobs=3), "container"),
            (Bounds(tenant=3), MANY, "tenant"),
            (Bounds(total=3), MANY, "node"),
        ],
    )
    def test_a_full_queue_says_when_to_try_again(self, bounds, limits, whose):
        queue = FairQueue(Resources(1, GIB), bounds)
        for index in range(3):
            queue.check_room(ticket(index, limits=limits))
            queue.push(ticket(index, limits=limits))
        with pytest.raises(QuantainerError) as caught:
            queue.check_room(ticket("one more", limits=limits))
        assert caught.value.code == "queue_full"
        assert caught.value.limit == 3
        assert whose in str(caught.value)
        assert "Try again in about" in caught.value.hint

    def test_one_tenants_full_queue_is_no_matter_to_another(self):
        queue = FairQueue(Resources(1, GIB), Bounds(tenant=3))
        for index in range(3):
            queue.push(ticket(index))
        queue.check_room(ticket("x", "other"))


class TestBackfill:
    def test_small_jobs_pass_a_large_one_until_its_patience_is_over(self):
        queue = FairQueue(Resources(4, 10 * GIB), Bounds(patience=2.0))
        queue.push(ticket("running", "a", cores=3))
        assert queue.pop(0.0).job == "running"
        queue.push(ticket("large", "b", cores=4, at=0.0))
        for index in range(10):
            queue.push(ticket(f"s{index}", "c", at=1.0))
        passed = queue.pop(0.5)
        assert passed.job == "s0"
        queue.release("s0")
        assert queue.pop(3.0) is None  # nothing would be left beside it
        queue.release("running")
        assert queue.pop(3.0).job == "large"

    def test_what_a_reserved_job_leaves_is_used(self):
        queue = FairQueue(Resources(4, 10 * GIB), Bounds(patience=0.0))
        queue.push(ticket("running", "a", cores=2))
        queue.pop(0.0)
        queue.push(ticket("large", "b", cores=3))
        for index in range(3):
            queue.push(ticket(f"s{index}", "c", at=1.0))
        assert queue.pop(0.0).job == "s0"  # this look finds that the large one is blocked
        assert queue.pop(0.1).job == "s1"
        assert queue.pop(0.2) is None
        queue.release("s0")
        queue.release("running")
        assert queue.pop(0.3).job == "large"

    def test_memory_blocks_and_backfills_like_cores(self):
        queue = FairQueue(Resources(8, 10 * GIB), Bounds(patience=1.0))
        queue.push(ticket("running", "a", memory=6 * GIB))
        queue.pop(0.0)
        queue.push(ticket("large", "b", memory=8 * GIB))
        queue.push(ticket("fits", "c", memory=2 * GIB))
        assert queue.pop(0.0).job == "fits"
        queue.push(ticket("too much beside", "c", memory=3 * GIB))
        assert queue.pop(2.0) is None
        queue.release("running")
        assert queue.pop(2.0).job == "large"

    def test_a_job_larger_than_the_node_runs_alone(self):
        queue = FairQueue(Resources(2, GIB), Bounds(patience=0.0))
        queue.push(ticket("monster", cores=64, memory=100 * GIB))
        assert queue.pop(0.0).job == "monster"
        assert queue.free == Resources(0, 0)
        assert queue.release("monster")
        assert queue.free == queue.capacity

    def test_a_frozen_job_lends_its_cores_and_keeps_its_memory(self):
        queue = FairQueue(Resources(1, 10))
        queue.push(ticket("frozen", "a", memory=6))
        queue.pop(0.0)
        queue.push(ticket("other", "b", memory=4))
        assert queue.pop(0.0) is None
        queue.suspend("frozen")
        queue.suspend("frozen")
        assert queue.free == Resources(1, 4)
        assert queue.pop(0.0).job == "other"
        queue.resume("frozen")
        assert queue.free == Resources(-1, 0)
        queue.release("other")
        queue.suspend("frozen")
        queue.release("frozen")
        assert queue.free == queue.capacity

    @settings(max_examples=30, deadline=None)
    @given(st.integers(2, 8), st.floats(0.1, 3.0), st.integers(0, 2**32))
    def test_a_large_job_never_starves(self, cores, patience, seed):
        """Under an endless flood of small jobs it starts within patience + the longest job."""
        queue = FairQueue(Resources(cores, GIB), Bounds(patience=patience))
        now, serial, running, longest = 0.0, 0, [], 1.0
        queue.push(ticket("large", "victim", cores=cores, cost=cores * 1.0))
        state = seed
        while now < 100:
            while len(queue) < 4 * cores:
                state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
                queue.push(ticket(serial, f"t{state % 5}", cost=0.1 + (state >> 40) % 10 / 11))
                serial += 1
            while (taken := queue.pop(now)) is not None:
                if taken.job == "large":
                    assert now <= patience + longest + 1e-9
                    return
                running.append((now + taken.cost, taken.job))
            running.sort()
            now, job = running.pop(0)
            queue.release(job)
        pytest.fail("the large job never started")


class TestScale:
    def test_thousands_of_leases_cost_little_each(self):
        """Ten times the leases cost far less than ten times as much for each operation."""

        def seconds_each(leases):
            queue = FairQueue(Resources(4, GIB))
            start = time.process_time()
            for index in range(leases):
                for step in range(2):
                    name = f"t{index}"
                    queue.push(ticket(f"{index}-{step}", name, lease=name, at=float(index)))
            for _ in range(2 * leases):
                taken = queue.pop(0.0)
                queue.release(taken.job)
            assert len(queue) == 0
            return (time.process_time() - start) / (4 * leases)

        small = min(seconds_each(300) for _ in range(3))
        large = min(seconds_each(3000) for _ in range(3))
        assert large < 5 * small

    def test_nothing_is_remembered_of_those_who_left(self):
        queue = FairQueue(Resources(1, GIB))
        queue.push(ticket("keeps it busy", "z"))
        queue.pop(0.0)
        for index in range(2000):
            queue.push(ticket(index, f"t{index}", lease=f"l{index}"))
            queue.remove(str(index))
        assert len(queue._order._tenants) == 1
        assert len(queue._order._heap) < 200


class QueueMachine(RuleBasedStateMachine):
    """Random pushes, pops, removals and releases against a plain model."""

    def __init__(self):
        super().__init__()
        self.queue = FairQueue(Resources(4, 8), Bounds(patience=3.0, scan=64))
        self.waiting, self.running, self.frozen = {}, {}, set()
        self.limits = {}
        self.now, self.serial = 0.0, 0

    @rule(
        names=st.tuples(st.integers(0, 3), st.integers(0, 2)),
        need=st.builds(Resources, st.integers(0, 6), st.integers(0, 10)),
        cost=st.floats(0, 5),
        priority=st.integers(-2, 2),
        limits=st.builds(
            LeaseLimits,
            concurrent_jobs=st.integers(1, 3),
            shots_per_second=st.sampled_from([None, None, 10]),
        ),
    )
    def push(self, names, need, cost, priority, limits):
        self.serial += 1
        tenant, lease = f"t{names[0]}", f"t{names[0]}l{names[1]}"
        limits = self.limits.setdefault(lease, limits)
        item = Ticket(str(self.serial), lease, tenant, need, cost, self.now, 20, priority, limits)
        self.queue.push(item)
        self.waiting[item.job] = item

    @rule(seconds=st.floats(0, 3))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def pop(self):
        taken = self.queue.pop(self.now)
        if taken is None:
            return
        assert self.waiting.pop(taken.job) is taken
        same = [item for item in self.running.values() if item.lease == taken.lease]
        assert len(same) < taken.limits.concurrent_jobs
        self.running[taken.job] = taken

    @precondition(lambda self: self.running)
    @rule(data=st.data(), spent=st.none() | st.floats(0, 10))
    def release(self, data, spent):
        job = data.draw(st.sampled_from(sorted(self.running)))
        assert self.queue.release(job, spent)
        assert not self.queue.release(job, spent)
        del self.running[job]
        self.frozen.discard(job)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def freeze_or_thaw(self, data):
        job = data.draw(st.sampled_from(sorted(self.running)))
        if job in self.frozen:
            self.frozen.discard(job)
            self.queue.resume(job)
        else:
            self.frozen.add(job)
            self.queue.suspend(job)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def remove(self, data):
        job = data.draw(st.sampled_from(sorted(self.waiting)))
        assert self.queue.remove(job)
        assert not self.queue.remove(job)
        del self.waiting[job]

    @invariant()
    def counts_agree(self):
        assert len(self.queue) == len(self.waiting)
        assert self.queue.running == len(self.running)

    @invariant()
    def the_ledger_adds_up(self):
        cores = sum(
            min(4, item.need.cores) for item in self.running.values() if item.job not in self.frozen
        )
        memory = sum(min(8, item.need.memory_bytes) for item in self.running.values())
        assert self.queue.free == Resources(4 - cores, 8 - memory)
        assert memory <= 8

    def teardown(self):
        """Whatever happened, everything that waits runs in the end, and all is returned."""
        for job in list(self.running):
            self.queue.release(job)
        for _ in range(10 * len(self.waiting) + 10):
            self.now += 3.1
            while (taken := self.queue.pop(self.now)) is not None:
                del self.waiting[taken.job]
                self.queue.release(taken.job)
        assert not self.waiting
        assert self.queue.free == self.queue.capacity
        assert not self.queue._order._tenants


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)


# Memory that others on the machine hold


def test_a_job_waits_for_memory_that_others_hold_and_small_ones_pass():
    queue = FairQueue(Resources(4, 8 * GIB))
    queue.elsewhere = 6 * GIB
    queue.push(ticket("large", memory=4 * GIB))
    queue.push(ticket("small", memory=1 * GIB, at=1.0))
    assert queue.pop(0.0).job == "small"
    assert queue.pop(0.0) is None
    assert queue.short
    queue.elsewhere = 1 * GIB
    assert queue.pop(1.0).job == "large"
    assert not queue.overdrawn("large")
    assert not queue.short


def test_what_a_worker_takes_anyway_waits_for_nothing():
    queue = FairQueue(Resources(4, 8 * GIB))
    queue.elsewhere = 9 * GIB
    queue.push(ticket("tiny", memory=2**20))
    assert queue.pop(0.0).job == "tiny"
    assert not queue.overdrawn("tiny")


def test_patience_with_others_ends():
    bounds = Bounds(patience=2.0, elsewhere_patience=60.0)
    queue = FairQueue(Resources(4, 8 * GIB), bounds)
    queue.elsewhere = 6 * GIB
    queue.push(ticket("large", memory=4 * GIB))
    for now in (0.0, 3.0, 62.0):
        assert queue.pop(now) is None
    assert queue.pop(63.0).job == "large"
    assert queue.overdrawn("large")


def test_time_behind_other_jobs_is_no_patience_with_others():
    queue = FairQueue(Resources(4, 8 * GIB))
    queue.push(ticket("first", memory=6 * GIB))
    assert queue.pop(0.0).job == "first"
    queue.push(ticket("second", memory=6 * GIB))
    assert queue.pop(0.0) is None
    assert queue.pop(500.0) is None
    queue.release("first")
    queue.elsewhere = 4 * GIB
    assert queue.pop(501.0) is None
    assert queue.pop(560.0) is None
    queue.elsewhere = 0
    assert queue.pop(560.5).job == "second"
    assert not queue.overdrawn("second")
