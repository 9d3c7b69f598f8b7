"""What a container may have run for it, by its mode: here, on any backend, or on hardware alone."""

from __future__ import annotations

import pytest

from quantainer.broker.admission import admit_submission, visible
from quantainer.core.lease import Anchor, Lease, Mode
from quantainer.core.target import BackendKind, TargetFacts
from quantainer_client.errors import QuantainerError


def target(name: str, kind: BackendKind) -> TargetFacts:
    return TargetFacts(name, kind, 5)


TARGETS = {
    "qsim": target("qsim", "simulator"),
    "fake_manila": target("fake_manila", "emulator"),
    "ion1": target("ion1", "qpu"),
    "ion2": target("ion2", "qpu"),
}


def lease(mode: Mode) -> Lease:
    backends = ("qsim", "fake_manila", "ion1")
    return Lease("l", "t", Anchor("cgroup", "/c"), backends=backends, mode=mode)


@pytest.mark.parametrize(
    ("mode", "usable"),
    [("hybrid", ["fake_manila", "ion1", "qsim"]), ("qpu", ["ion1"]), ("local", [])],
)
def test_what_is_listed_is_what_may_be_used(mode: Mode, usable: list[str]) -> None:
    assert sorted(visible(TARGETS, lease(mode))) == usable
    for name in usable:
        admit_submission(lease(mode), name, TARGETS)
    for name in set(TARGETS) - set(usable):
        with pytest.raises(QuantainerError) as caught:
            admit_submission(lease(mode), name, TARGETS)
        assert caught.value.code in ("forbidden", "unknown_backend")


@pytest.mark.parametrize("backend", ["qsim", "ion2", "nothing"])
def test_local_says_where_circuits_run_then(backend: str) -> None:
    with pytest.raises(QuantainerError) as caught:
        admit_submission(lease("local"), backend, TARGETS)
    assert caught.value.code == "forbidden"
    assert "mode local" in caught.value.message
    assert "quantum.mode=hybrid" in str(caught.value.hint)
