"""``make demo`` as it is: on a real Docker Engine, on bubblewrap, and where neither is there."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine import broker as brokers
from engine.docker import Docker
from engine.host import UnavailableError, need_tools
from quantainer.engines.embedded import sandbox

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]


Demo = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    """The script on the programs of these tests, marked as what ``scripts/setup`` made."""
    venv = tmp_path / "venv"
    venv.mkdir()
    (venv / "bin").symlink_to(Path(sys.prefix, "bin"))
    files = [ROOT / name for name in ("pyproject.toml", "client/pyproject.toml", "scripts/setup")]
    wanted = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    (venv / ".quantainer-base").write_text(f"{wanted}\n")

    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/bash", str(ROOT / "scripts/demo"), os.path.relpath(venv, ROOT)],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, **environment},
            check=False,
        )

    return run


def right(done: subprocess.CompletedProcess[str]) -> bool:
    """Tell whether counts of 50 qubits and their histogram were printed, and nothing was left."""
    assert done.returncode == 0, done.stderr
    assert "'" + "0" * 50 + "'" in done.stdout
    assert "█" in done.stdout
    assert done.stdout.endswith("removing its files\n")
    return not list(Path(os.environ.get("TMPDIR", "/tmp")).glob("quantainer-demo.*"))


@pytest.fixture
def unused(docker: Docker) -> Iterator[None]:
    """Put aside what another broker of this run has described to the engine."""
    described = docker.cdi / "quantainer.yaml"
    aside = described.with_suffix(".aside")
    if described.exists():
        described.rename(aside)
    yield
    if aside.exists():
        aside.rename(described)


@pytest.mark.usefixtures("unused")
def test_docker(demo: Demo, docker: Docker, base: str) -> None:
    environment = {"DOCKER_HOST": docker.host, "PATH": docker.path, "QUANTAINER_DEMO_IMAGE": base}
    for _ in range(2):
        done = demo(**environment)
        assert right(done)
        assert f"Docker runs {base}" in done.stdout
        assert "--engine docker --network none" in done.stdout
        assert not (docker.cdi / "quantainer.yaml").exists()


@pytest.mark.usefixtures("unused")
def test_description_left_by_a_broker_is_borrowed(demo: Demo, docker: Docker, base: str) -> None:
    """That of a broker which has ended is put back; one that runs keeps Docker."""
    environment = {"DOCKER_HOST": docker.host, "PATH": docker.path, "QUANTAINER_DEMO_IMAGE": base}
    described = docker.cdi / "quantainer.yaml"
    other = brokers.make(docker.cdi)
    try:
        other.start()
        before = described.read_bytes()
        done = demo(**environment)
        assert right(done)
        assert f"the devices of the broker that runs in {other.home}/run" in done.stdout
        other.stop()
        done = demo(**environment)
        assert right(done)
        assert f"Docker runs {base}" in done.stdout
        assert described.read_bytes() == before
    finally:
        brokers.remove(other)
        described.unlink(missing_ok=True)


@pytest.mark.parametrize("script", ["demo", "setup"])
def test_help_is_no_name_of_a_folder(script: str) -> None:
    for option, code in (("--help", 0), ("--nonsense", 2)):
        done = subprocess.run(
            [ROOT / "scripts" / script, option], capture_output=True, text=True, check=False
        )
        assert done.returncode == code
        assert "usage:" in done.stdout or option in done.stderr


def test_bubblewrap(demo: Demo) -> None:
    try:
        need_tools("bubblewrap") if shutil.which("bwrap") is None else None
    except UnavailableError as reason:
        pytest.skip(str(reason))
    if why := sandbox.unusable():
        pytest.skip(why)
    done = demo(QUANTAINER_DEMO_IMAGE="no-such-image:here")
    assert right(done)
    assert "embedded engine (bubblewrap)" in done.stdout


def test_neither(demo: Demo, tmp_path: Path) -> None:
    """What is missing is said before anything is installed, which takes minutes."""
    for tool in ("bash", "dirname", "id"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    done = demo(PATH=str(tmp_path))
    assert done.returncode == 1
    assert "bubblewrap is needed" in done.stderr
    assert "setup:" not in done.stdout
