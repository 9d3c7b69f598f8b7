"""What a job is charged for: what it computed, not what it had to wait for."""

from __future__ import annotations

import pytest

from quantainer.broker import stopwatch
from quantainer.broker.stopwatch import Stopwatch


class Clock:
    """A wall clock, and the account of one worker."""

    def __init__(self) -> None:
        self.now = self.computed = self.waited = 100.0

    def monotonic(self) -> float:
        return self.now

    def account(self) -> tuple[float, float]:
        return self.computed, self.waited

    def compute(self, seconds: float, threads: int = 1) -> None:
        self.now += seconds
        self.computed += seconds * threads

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.waited += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(stopwatch, "time", made)
    return made


def test_computing_counts_for_each_thread(clock: Clock) -> None:
    watch = Stopwatch(clock.account)
    clock.compute(3.0, threads=2)
    assert watch.seconds() == pytest.approx(6.0)


def test_waiting_for_a_core_and_short_sleeps_do_not_count(clock: Clock) -> None:
    watch = Stopwatch(clock.account)
    clock.compute(0.001)
    clock.wait(5.0)
    clock.sleep(0.9)
    assert watch.seconds() == pytest.approx(0.001)


def test_a_computing_job_pays_for_no_delay(clock: Clock) -> None:
    watch = Stopwatch(clock.account)
    clock.compute(1.0)
    clock.sleep(5.0)
    assert watch.seconds() == pytest.approx(1.0)


def test_holding_a_worker_asleep_counts(clock: Clock) -> None:
    watch = Stopwatch(clock.account)
    clock.sleep(10.0)
    assert watch.seconds() == pytest.approx(10.0)


def test_time_in_a_paused_container_does_not_count(clock: Clock) -> None:
    watch = Stopwatch(clock.account)
    clock.compute(1.0)
    watch.freeze()
    watch.freeze()
    clock.sleep(100.0)
    assert watch.seconds() == pytest.approx(1.0)
    watch.thaw()
    watch.thaw()
    clock.compute(2.0)
    assert watch.seconds() == pytest.approx(3.0)
