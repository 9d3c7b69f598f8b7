"""What is kept of planned circuits."""

from __future__ import annotations

import tracemalloc

from quantainer.broker.plans import JobPlan, PlanCache, PubPlan
from quantainer.broker.requests import Submission, parse

PLAN = JobPlan((PubPlan(1, "statevector", 1, 1.0, 1, 1),))


def test_observables_as_long_as_a_message_take_no_room() -> None:
    """Any caller can send as many as there are places."""
    cache = PlanCache()
    tracemalloc.start()
    for number in range(200):
        observables = [[["Z" * 60, float(term + 1000 * number)]] for term in range(600)]
        pub = {"offset": 0, "length": 4, "observables": observables}
        request = parse(Submission, {"v": 1, "op": "submit", "pubs": [pub]})
        cache.keep(request, memoryview(b"cccc"), PLAN)
        assert cache.find(request, memoryview(b"cccc")) == JobPlan(PLAN.pubs, number + 1)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 2**20
