"""One private broker for the whole run, and one of its own for tests that kill theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine import broker as brokers
from engine.broker import Broker


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """A running broker in directories of its own; ``broker("status")`` runs a command on it."""
    shared = brokers.make(workers="2")
    shared.start()
    yield shared
    brokers.remove(shared)


@pytest.fixture
def make_broker() -> Iterator[Callable[..., Broker]]:
    """Start brokers of the test's own, with settings by name."""
    made: list[Broker] = []

    def start(**settings: str) -> Broker:
        own = brokers.make(**settings)
        made.append(own)
        own.start()
        return own

    yield start
    for own in made:
        brokers.remove(own)


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Circuits by other people, beside the repository."""
    folder = Path(__file__).parents[2] / "shared" / "corpus"
    if not folder.is_dir():
        pytest.skip(f"the corpus is not there: {folder}")
    return folder
