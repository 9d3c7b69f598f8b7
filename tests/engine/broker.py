"""A broker of the tests' own, with private folders."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

QUANTAINER = str(Path(sys.executable).with_name("quantainer"))
READY_S = 120.0
_LEASH = ("setpriv", "--pdeathsig", "TERM") if shutil.which("setpriv") else ()
"""So that no broker outlives a test run that is killed."""


@dataclass
class Broker:
    """A running broker.

    Attributes:
        home: Its folders: ``run``, ``state``, ``broker.log``.
        cdi: Where it describes its devices.
        program: The ``quantainer`` command.
        user: Who runs it and the commands; ``None``: whoever runs the tests.
    """

    home: Path
    cdi: Path
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    user: str | None = None
    program: tuple[str, ...] = (QUANTAINER,)

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which ``quantainer`` finds this broker and no configuration."""
        places = {
            "QUANTAINER_RUNTIME_DIR": f"{self.home}/run",
            "QUANTAINER_STATE_DIR": f"{self.home}/state",
            "QUANTAINER_CDI_DIR": str(self.cdi),
        }
        return {**os.environ, **places, **self.settings}

    @property
    def socket(self) -> Path:
        """The host socket."""
        return self.home / "run" / "broker.sock"

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.home / "broker.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*_LEASH, *self.program, "up", "--foreground"],
                stdout=log,
                stderr=log,
                env=self.environment,
                user=self.user,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_S
        while self("status", check=False).returncode:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the broker did not start: {self.log()}")
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it and wait."""
        if self.process is None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def log(self) -> str:
        """Return what it wrote."""
        return (self.home / "broker.log").read_text(errors="replace")

    def __call__(
        self, *arguments: str | Path, check: bool = True, timeout: float = 120, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run ``quantainer`` with the arguments; on failure show what it said."""
        environment = {**self.environment, **options.pop("env", {})}
        done = subprocess.run(
            [*self.program, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment,
            user=self.user,
            check=False,
            **options,
        )
        if check and done.returncode:
            raise AssertionError(f"quantainer {arguments[0]}: {done.returncode}: {done.stderr}")
        return done

    def leases(self) -> list[dict[str, Any]]:
        """Return the leases of containers; host users are left out."""
        status = json.loads(self("status", "--json").stdout)
        return [lease for lease in status["leases"] if lease["container"] is not None]

    def jobs(self) -> list[dict[str, Any]]:
        """Return the jobs that have not ended."""
        found: list[dict[str, Any]] = json.loads(self("status", "--json").stdout)["jobs"]
        return found


def make(cdi: Path | None = None, **settings: str) -> Broker:
    """Return a broker with folders of its own, not started yet."""
    home = Path(tempfile.mkdtemp(prefix="quantainer-broker-"))
    home.chmod(0o755)
    variables = {f"QUANTAINER_{key.upper()}": value for key, value in settings.items()}
    return Broker(home, cdi or home / "cdi", variables)


def remove(broker: Broker) -> None:
    """Stop a broker and remove its folders."""
    broker.stop()
    shutil.rmtree(broker.home, ignore_errors=True)
