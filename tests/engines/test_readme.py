"""What the README says a user types, typed: its lines for Docker, and its Python programs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.broker import Broker
from engine.docker import Docker

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.M | re.S)


def lines(program: str) -> list[str]:
    """Return the lines for a program that are complete but for the name of an image."""
    typed = re.findall(rf"^\$ ({program} .*)$", "".join(blocks("console")), re.M)
    return [line for line in typed if " IMAGE " in line]


def test_there_are_lines_and_programs_to_run() -> None:
    assert lines("docker")
    assert lines("podman")
    assert len(blocks("python")) >= 4


@pytest.mark.parametrize("line", lines("docker"))
def test_docker_lines(line: str, docker: Docker, broker: Broker, build: Callable[..., str]) -> None:
    image = build("readme", command="ln -s python3 /usr/bin/python")
    done = subprocess.run(
        ["bash", "-c", line.replace(" IMAGE ", f" {image} ")],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env=docker.environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "1000 shots on qsim" in done.stdout
    assert "00" in done.stdout
    assert "11" in done.stdout


@pytest.mark.parametrize("program", blocks("python"))
def test_programs_run_as_written(program: str, broker: Broker, tmp_path: Path) -> None:
    """On the host's own socket: what a container would do is the same."""
    file = tmp_path / "program.py"
    file.write_text(program)
    done = subprocess.run(
        [sys.executable, str(file)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "QUANTAINER_SOCKET": str(broker.socket)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d{3}", done.stdout), done.stdout
