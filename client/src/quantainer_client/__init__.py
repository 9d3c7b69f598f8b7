"""The container's side of Quantainer: standard library only, an SDK only where its adapter is used.

    from quantainer_client import Circuit, run

    bell = Circuit(2).h(0).cx(0, 1).measure_all()
    print(run(bell, shots=1000).counts())

Nothing is loaded until it is named, so that importing the package costs next to nothing.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List

    from quantainer_client.circuit import Circuit, Symbol
    from quantainer_client.connection import Connection, connect, run
    from quantainer_client.errors import QuantainerError
    from quantainer_client.job import Job
    from quantainer_client.result import Result
    from quantainer_client.submission import Pub

__all__ = [
    "Circuit",
    "Connection",
    "Job",
    "Pub",
    "QuantainerError",
    "Result",
    "Symbol",
    "connect",
    "run",
]

__version__ = "0.1.0"

_HOME = {
    "Circuit": "circuit",
    "Connection": "connection",
    "Job": "job",
    "Pub": "submission",
    "QuantainerError": "errors",
    "Result": "result",
    "Symbol": "circuit",
    "connect": "connection",
    "run": "connection",
}


def __getattr__(name: str) -> "Any":
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> "List[str]":
    return sorted([*globals(), *_HOME])
