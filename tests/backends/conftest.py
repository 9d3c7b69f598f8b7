"""Shared by the tests of backends: pubs from Qiskit circuits, exact answers, statistics."""

from __future__ import annotations

import os

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as workers run: before any engine is loaded

import pytest

from quantainer.backends.backend import Limits
from quantainer.backends.qsim import Qsim
from quantainer.backends.simulators.catalogue import Catalogue


@pytest.fixture(scope="session")
def limits() -> Limits:
    return Limits(memory_bytes=4 << 30, threads=2)


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    made = Catalogue()
    for name in tuple(made.offered):
        made.ready(name)
    return made


@pytest.fixture(scope="session")
def qsim(catalogue: Catalogue) -> Qsim:
    return Qsim(catalogue)
