"""The folder where an engine looks for devices, lent to a benchmark's own broker and given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quantainer.device import cdi
from quantainer_bench.private_broker import PrivateBroker, private_broker
from quantainer_client.errors import QuantainerError

__all__ = ["broker_in", "refuse_if_in_use"]


def refuse_if_in_use(folder: str) -> None:
    """Refuse to take a folder from a broker that runs.

    One that has ended leaves its file behind; nobody loses by its absence for a while.

    Raises:
        QuantainerError: ``invalid_option`` naming that broker.
    """
    specification = Path(folder, cdi.FILE_NAME)
    runtime = cdi.owner(specification)
    if runtime is not None:
        raise QuantainerError(
            "invalid_option",
            f"{specification} describes the devices of a broker that runs in {runtime}; the engine "
            "cannot have the benchmark's own beside them.",
            hint="Stop that broker for the time of the benchmark: `quantainer down`.",
        )


@contextmanager
def broker_in(folder: str, **settings: str) -> Iterator[PrivateBroker]:
    """Start a broker that describes its devices there; afterwards the folder is as it was.

    Raises:
        QuantainerError: ``invalid_option`` if another broker has the folder,
            ``broker_unavailable`` if its own does not start.
    """
    refuse_if_in_use(folder)
    specification = Path(folder, cdi.FILE_NAME)
    files = (specification, specification.with_suffix(".json"))
    before = {file: file.read_bytes() for file in files if file.exists()}
    try:
        with private_broker(cdi_dir=folder, **settings) as broker:
            yield broker
    finally:
        # Unless another broker has come meanwhile.
        if cdi.owner(specification) is None:
            specification.unlink(missing_ok=True)
            for file, content in before.items():
                file.write_bytes(content)
