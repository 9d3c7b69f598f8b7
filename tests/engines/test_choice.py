"""Which engine runs a container, and what is said when none can."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from quantainer.engines.embedded import tree
from quantainer.engines.engine import choose
from quantainer.engines.request import Request
from quantainer_client.errors import QuantainerError


@dataclass
class Named:
    """An engine of which only the answers to the choice matter."""

    name: str
    reason: str | None = None
    missing: str | None = None

    def unusable(self) -> str | None:
        return self.reason

    def lacks(self, image: str) -> str | None:
        return self.missing

    def run(self, request: Request) -> int:
        return 0


def test_first_usable_engine_that_can_have_the_image_is_taken() -> None:
    engines = [
        Named("docker", "no daemon"),
        Named("podman", missing="not built"),
        Named("embedded"),
    ]
    assert choose("auto", "image", list(engines)).name == "embedded"


def test_named_engine_is_taken_or_says_why_not() -> None:
    engines = [Named("docker", "Docker Engine 20.10 is older than 27"), Named("embedded")]
    assert choose("embedded", "image", list(engines)).name == "embedded"
    with pytest.raises(QuantainerError, match="older than 27"):
        choose("docker", "image", list(engines))


def test_every_reason_is_told() -> None:
    engines = [Named("docker", "no daemon"), Named("podman", "not installed")]
    with pytest.raises(QuantainerError, match="docker: no daemon; podman: not installed"):
        choose("auto", "image", list(engines))


@pytest.mark.parametrize(
    ("name", "image", "engines", "hint"),
    [
        ("auto", "x", [Named("docker", "no daemon"), Named("embedded", "no bwrap")], "Install Doc"),
        ("auto", "./x", [Named("docker", missing="-"), Named("embedded", missing="-")], "a folder"),
        ("auto", "x:1", [Named("docker", "-"), Named("embedded", missing="-")], "use Docker 27"),
        ("embedded", "x:1", [Named("embedded", missing="-")], "use another engine"),
        ("docker", "./x", [Named("docker", missing="-")], "leave out --engine"),
        ("auto", "./x", [Named("docker", missing="-"), Named("embedded", "-")], "bubblewrap"),
    ],
)
def test_hint_tells_the_way_out(name: str, image: str, engines: list[Named], hint: str) -> None:
    with pytest.raises(QuantainerError) as refusal:
        choose(name, image, list(engines))
    assert hint in str(refusal.value.hint)


@pytest.mark.parametrize(
    "image",
    ["python:3.11-quantum-sim", "quantum-sim", "quantum-sim:1", "registry.example/x/quantum-sim:2"],
)
def test_the_quantum_sim_image_is_this_hosts_python_where_there_are_no_images(image: str) -> None:
    found = tree.resolve(image)
    assert found.note is not None
    assert image in found.note
    assert tree.resolve("host").mounts == found.mounts


@pytest.mark.parametrize(
    "image", ["python:3.11", "quantum-simulator", "host:1", "./absent", "/etc"]
)
def test_other_names_are_refused_by_the_embedded_engine(image: str) -> None:
    with pytest.raises(QuantainerError):
        tree.resolve(image)
