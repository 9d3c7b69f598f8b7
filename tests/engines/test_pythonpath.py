"""The device's ``PYTHONPATH`` does not cost an image its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.broker import Broker
from engine.docker import Docker
from engines.conftest import DEVICE

pytestmark = pytest.mark.engine

MODULE = "mkdir -p /app && echo 'answer = 42' > /app/own_module.py"
BOTH = "import own_module, quantainer_client; print(own_module.answer)"
CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BOTH!r}], check=True)"


@pytest.fixture
def image(build: Callable[..., str]) -> str:
    """An image that sets PYTHONPATH itself, as many do."""
    return build("pythonpath", "ENV PYTHONPATH=/app", command=MODULE)


@pytest.mark.parametrize("code", [BOTH, CHILD], ids=["itself", "child"])
def test_image_keeps_its_path(docker: Docker, image: str, broker: Broker, code: str) -> None:
    done = docker("run", "--rm", "--network", "none", *DEVICE, image, "python3", "-c", code)
    assert (done.stdout.strip(), done.stderr) == ("42", "")


def test_path_of_the_command_line_wins_over_the_image(
    docker: Docker, image: str, broker: Broker
) -> None:
    code = "import sys; print([p for p in ('/app', '/other') if p in sys.path])"
    given = ("-e", "PYTHONPATH=/other:/more")
    done = docker("run", "--rm", *DEVICE, *given, image, "python3", "-c", code)
    assert done.stdout.strip() == "['/other']"


def test_image_keeps_its_path_in_a_virtual_environment(
    docker: Docker, build: Callable[..., str], broker: Broker
) -> None:
    command = f"{MODULE} && python3 -m venv --without-pip /venv"
    image = build(
        "venv", "ENV PYTHONPATH=/app", "ENV PATH=/venv/bin:/usr/bin:/bin", command=command
    )
    code = f"import sys; assert sys.prefix == '/venv'; {BOTH}"
    done = docker("run", "--rm", *DEVICE, image, "python", "-c", code)
    assert done.stdout.strip() == "42"


def test_image_without_a_path_of_its_own_has_the_client(
    docker: Docker, base: str, broker: Broker
) -> None:
    code = "import os, quantainer_client; print(os.environ['PYTHONPATH'])"
    done = docker("run", "--rm", *DEVICE, base, "python3", "-c", code)
    assert done.stdout.strip() == "/opt/quantainer"


def test_sitecustomize_of_the_image_still_runs(
    docker: Docker, build: Callable[..., str], broker: Broker
) -> None:
    file = "/usr/lib/python3.11/sitecustomize.py"
    image = build("sitecustomize", command=f"echo \"print('own')\" > {file}")
    code = "import sitecustomize, quantainer_client; print(sitecustomize.__file__)"
    done = docker("run", "--rm", *DEVICE, image, "python3", "-c", code)
    assert done.stdout.split() == ["own", file]


def test_isolated_python_is_left_alone(docker: Docker, image: str, broker: Broker) -> None:
    code = "import sys; print([p for p in sys.path if 'quantainer' in p or p == '/app'])"
    done = docker("run", "--rm", *DEVICE, image, "python3", "-I", "-c", code)
    assert done.stdout.strip() == "[]"


def test_lost_path_is_said_aloud(docker: Docker, image: str, mortal_broker: Broker) -> None:
    """A broker that ended after the container started cannot say what the path was."""
    name = docker("run", "-d", *DEVICE, image, "sleep", "60").stdout.strip()
    try:
        mortal_broker.stop()
        path = ("-e", "PYTHONPATH=/opt/quantainer")
        done = docker("exec", *path, name, "python3", "-c", "import own_module", check=False)
        assert done.returncode == 1
        assert "PYTHONPATH of the image itself is not restored" in done.stderr
    finally:
        docker("rm", "-f", name)
