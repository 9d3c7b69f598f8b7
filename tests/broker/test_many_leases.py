"""Many leases, some of them busy: no job fails, shares follow weights, idle ones cost little."""

from __future__ import annotations

import pytest

from quantainer_client.errors import QuantainerError


@pytest.mark.slow
def test_many_leases_with_busy_clients() -> None:
    """A hundred here; ``quantainer bench leases`` opens a thousand."""
    leases = pytest.importorskip("quantainer_bench.leases")
    try:
        report = leases.run(print, leases=100, clients=8, seconds=6)
    except QuantainerError as error:
        if error.code != "forbidden":
            raise
        pytest.skip(str(error))
    assert report["leases"] == 100
    assert report["one_at_a_time"]["errors"] == report["shares"]["errors"] == []
    assert report["one_at_a_time"]["least_jobs"] > 0
    assert report["idle"]["bytes"] <= leases.IDLE_BYTES
    # Few jobs in a few seconds: one more or less is much.
    assert report["shares"]["worst"] <= 2 * leases.SHARE
