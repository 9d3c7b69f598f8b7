"""The engine under test is real, new enough, and leaves nothing behind."""

from __future__ import annotations

import json

import pytest

from engine.docker import Docker

pytestmark = pytest.mark.engine


def test_engine_is_new_enough_for_cdi(docker: Docker) -> None:
    info = json.loads(docker("info", "--format", "{{json .}}").stdout)
    assert int(info["ServerVersion"].split(".")[0]) >= 27
    assert str(docker.cdi) in info["CDISpecDirs"]


def test_container_runs_python_without_network(docker: Docker, base: str) -> None:
    code = "import sys, os; print(sys.version_info[:2], os.listdir('/sys/class/net'))"
    done = docker("run", "--rm", "--network", "none", base, "python3", "-c", code)
    assert done.stdout.strip() == "(3, 11) ['lo']"
