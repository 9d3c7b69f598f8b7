"""Backends by entry point: third parties can add, and cannot break or take over."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from quantainer.backends import registry
from quantainer.backends.backend import Backend, Limits
from quantainer.backends.registry import load_backends

OURS = EntryPoint("qsim", "quantainer.backends.qsim:provide", registry.GROUP)


class Toy:
    def __init__(self, name: Any = "toy") -> None:
        self.name = name

    def target(self, limits: Limits) -> Any: ...

    def plan(self, pub: Any, options: Any, limits: Limits) -> Any: ...

    def run(self, *arguments: Any) -> Any: ...


def good(limits: Limits) -> Iterable[Backend]:
    return [Toy()]


def thief(limits: Limits) -> Iterable[Backend]:
    return [Toy("qsim")]


def late(limits: Limits) -> Iterable[Backend]:
    yield Toy("first")
    raise OSError("the lab is closed")


def nameless(limits: Limits) -> Iterable[Backend]:
    return [Toy("")]


def empty(limits: Limits) -> Iterable[Any]:
    return [object()]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no_such_module:provide", "No module named"),
        (f"{__name__}:missing", "missing"),
        (f"{__name__}:late", "the lab is closed"),
        (f"{__name__}:nameless", "needs a name"),
        (f"{__name__}:empty", "AttributeError"),
        (f"{__name__}:thief", "name is taken"),
    ],
)
def test_a_bad_entry_point_takes_nothing_away(
    value: str,
    words: str,
    limits: Limits,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    points = [
        EntryPoint("a_first", value, registry.GROUP),
        EntryPoint("toy", f"{__name__}:good", registry.GROUP),
        OURS,
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    with caplog.at_level(logging.WARNING):
        found = load_backends(limits)
    assert next(iter(found)) == "qsim"
    assert not isinstance(found["qsim"], Toy)
    assert set(found) == {"qsim", "toy"}
    assert words in caplog.text


def test_what_is_installed_here(limits: Limits) -> None:
    found = load_backends(limits)
    assert next(iter(found)) == "qsim"
    assert all(backend.name == name for name, backend in found.items())
    assert sum(name.startswith("fake_") for name in found) > 50
