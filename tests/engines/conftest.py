"""One engine for the whole test run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.docker import Docker, start
from engine.host import UnavailableError


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    """A real Docker Engine, version 27 or later."""
    try:
        engine = start()
    except UnavailableError as reason:
        pytest.skip(str(reason))
    yield engine
    engine.stop()


@pytest.fixture(scope="session")
def base(docker: Docker) -> str:
    """The name of an image with Python 3.11 and no quantum software."""
    return docker.load_base()
