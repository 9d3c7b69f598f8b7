"""A real broker for the adapters' tests, and a scripted one for failures."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from quantainer_client.connection import Connection


@pytest.fixture(scope="session")
def broker_socket() -> Iterator[Path]:
    """Start a broker in directories of its own and return its host socket."""
    folder = Path(tempfile.mkdtemp(prefix="qc-"))  # short: socket paths have at most 107 bytes
    dirs = ["--runtime-dir", str(folder / "run"), "--state-dir", str(folder / "state")]
    log = (folder / "log").open("wb")
    environment = {key: value for key, value in os.environ.items() if "QUANTAINER" not in key}
    environment["QUANTAINER_CDI_DIR"] = str(folder / "cdi")
    process = subprocess.Popen(
        [sys.executable, "-m", "quantainer", "up", "--foreground", "--workers", "1", *dirs],
        stdout=log,
        stderr=log,
        env=environment,
    )
    try:
        socket = folder / "run" / "broker.sock"
        _await_answer(process, socket, folder / "log")
        yield socket
    finally:
        process.terminate()
        process.wait(30)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _await_answer(process: subprocess.Popen[bytes], socket: Path, log: Path) -> None:
    connection = Connection(str(socket))
    for _ in range(1200):
        if process.poll() is not None:
            pytest.fail(f"the broker ended:\n{log.read_text()}")
        if socket.exists():
            connection.hello()
            connection.close()
            return
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    pytest.fail(f"the broker does not answer:\n{log.read_text()}")


@pytest.fixture
def connection(broker_socket: Path) -> Iterator[Connection]:
    with Connection(str(broker_socket)) as connection:
        yield connection
