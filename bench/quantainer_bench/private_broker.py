"""A broker of the benchmark's own, in directories of its own, gone when the benchmark ends."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from quantainer_client.connection import Connection
from quantainer_client.errors import QuantainerError

__all__ = ["PrivateBroker", "private_broker"]

_READY_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class PrivateBroker:
    """Where a running broker is found."""

    process: subprocess.Popen[bytes]
    directory: Path
    environment: dict[str, str]

    @property
    def runtime_dir(self) -> Path:
        """The directory of its sockets."""
        return Path(self.environment["QUANTAINER_RUNTIME_DIR"])

    def connect(self) -> Connection:
        """Open a new connection to the host socket."""
        return Connection(str(self.runtime_dir / "broker.sock"))


@contextmanager
def private_broker(**settings: str) -> Iterator[PrivateBroker]:
    """Start a broker, yield it, stop it and remove its directories.

    Args:
        settings: Settings by name, as strings (``workers="1"``).

    Raises:
        QuantainerError: ``broker_unavailable`` if it does not answer within a minute.
    """
    with tempfile.TemporaryDirectory(prefix="quantainer-bench-") as name:
        directory = Path(name)
        environment = dict(os.environ)
        places = {"runtime_dir": "run", "state_dir": "state", "cdi_dir": "cdi"}
        for key, value in {
            **{k: str(directory / v) for k, v in places.items()},
            **settings,
        }.items():
            environment[f"QUANTAINER_{key.upper()}"] = value
        log = (directory / "broker.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, "-m", "quantainer", "up", "--foreground"],
            env=environment,
            stdout=log,
            stderr=log,
        )
        broker = PrivateBroker(process, directory, environment)
        try:
            _wait_until_ready(broker)
            yield broker
        finally:
            log.close()
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(broker: PrivateBroker) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline and broker.process.poll() is None:
        try:
            broker.connect().hello()
        except QuantainerError:
            time.sleep(0.05)
            continue
        return
    log = (broker.directory / "broker.log").read_text(errors="replace").strip()
    raise QuantainerError("broker_unavailable", f"The benchmark's broker did not start: {log}")
