"""Catalogue: the engines with an adapter, and which of them are installed and sound."""

from __future__ import annotations

import logging
from functools import lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from quantainer.backends.simulators.self_test import self_test
from quantainer.backends.simulators.simulator import Simulator

__all__ = ["ADAPTERS", "Catalogue"]

ADAPTERS: dict[str, str] = {
    # engine name: its adapter
    "stim": "quantainer.backends.simulators.stim:Stim",
    "aer": "quantainer.backends.simulators.aer:Aer",
    "qsimcirq": "quantainer.backends.simulators.qsimcirq:QsimCirq",
    "lightning": "quantainer.backends.simulators.lightning:Lightning",
    "panta": "quantainer.backends.simulators.panta:Panta",
    "prism": "quantainer.backends.simulators.prism:Prism",
    "qevedo": "quantainer.backends.simulators.qevedo:Qevedo",
    "numpy": "quantainer.backends.simulators.dense:Numpy",
}
_log = logging.getLogger(__name__)


class Catalogue:
    """The engines of this process. Nothing is imported until it is to run.

    Attributes:
        dropped: Engine name to the reason why it is not offered.
    """

    def __init__(self, adapters: dict[str, str] | None = None) -> None:
        self.dropped: dict[str, str] = {}
        self._ready: set[str] = set()
        self._engines: dict[str, Simulator] = {}
        for name, place in (ADAPTERS if adapters is None else adapters).items():
            module, _, adapter = place.partition(":")
            engine = getattr(import_module(module), adapter)()
            if _installed(engine.module):
                self._engines[name] = engine
            else:
                self.dropped[name] = "not installed"

    @property
    def offered(self) -> dict[str, Simulator]:
        """Installed engines that have not failed."""
        return {name: e for name, e in self._engines.items() if name not in self.dropped}

    def ready(self, name: str) -> Simulator | None:
        """Load an engine and test it, once; ``None``, and a warning logged, if it is not sound."""
        engine = self._engines.get(name)
        if engine is None or name in self.dropped:
            return None
        if name in self._ready:
            return engine
        try:
            engine.load()
            fault = self_test(engine)
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
        if fault is not None:
            self.dropped[name] = fault
            _log.warning("engine %s %s is not offered: %s", name, self.version(name), fault)
            return None
        self._ready.add(name)
        return engine

    def version(self, name: str) -> str:
        """Return the installed version."""
        return _version(self._engines[name].distribution)


@lru_cache
def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


@lru_cache
def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"
