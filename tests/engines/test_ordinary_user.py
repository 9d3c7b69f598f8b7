"""A user without XDG_RUNTIME_DIR, as after ``su`` or in cron: the broker is where all look."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engines.conftest import IMPORTS, python_of
from programs import FLIPPED

UID = 4713
RUNTIME = Path(f"/tmp/quantainer-{UID}")

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def call() -> Iterator[Call]:
    """Run Python's modules as the user."""
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    python = python_of(UID)
    if python is None:
        pytest.skip("this checkout or its Python lies where other users may not read")
    if RUNTIME.exists():
        pytest.skip(f"{RUNTIME} is in use")
    home = Path(f"/tmp/home-{UID}")
    home.mkdir()
    os.chown(home, UID, UID)
    kept = {"PATH": "/usr/bin:/bin", "PYTHONPATH": IMPORTS, "HOME": str(home)}

    def calling(*words: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-m", *words],
            user=UID,
            group=UID,
            extra_groups=[],
            env=kept | variables,
            input=FLIPPED,
            capture_output=True,
            text=True,
            timeout=120,
            cwd="/",
            check=False,
        )

    yield calling
    calling("quantainer", "down")
    for folder in (home, RUNTIME):
        shutil.rmtree(folder, ignore_errors=True)


def test_client_and_commands_find_the_users_broker(call: Call) -> None:
    started = call("quantainer", "up", "--workers", "1", "--json")
    assert started.returncode == 0, started.stderr
    assert json.loads(started.stdout)["socket"] == f"{RUNTIME}/broker.sock"
    for program in ("quantainer_client run", "quantainer submit"):
        done = call(*program.split(), "-", "--shots", "5", "--json")
        assert json.loads(done.stdout)["counts"] == {"01": 5}, done.stderr
    later = {"XDG_RUNTIME_DIR": "/nowhere"}  # set in another session: nothing runs there
    assert call("quantainer_client", "hello", **later).returncode == 0
    assert call("quantainer", "status", **later).returncode == 0
    assert json.loads(call("quantainer", "down", "--json", **later).stdout)["stopped"] is True
    assert "quantainer up" in call("quantainer_client", "hello").stderr
