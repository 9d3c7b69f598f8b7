"""A short coverage-guided run of every reader; ``fuzz_readers.py`` runs as long as one likes.

``QUANTAINER_FUZZ_SECONDS`` is how long each reader is fuzzed here, and ``QUANTAINER_FUZZ_SEED``
where that begins (0: anywhere).
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HARNESS = Path(__file__).with_name("fuzz_readers.py")
SECONDS = int(os.environ.get("QUANTAINER_FUZZ_SECONDS", "5"))
SEED = int(os.environ.get("QUANTAINER_FUZZ_SEED", "1"))

pytestmark = pytest.mark.skipif(
    find_spec("atheris") is None, reason="atheris, the coverage-guided fuzzer, is not installed"
)


@pytest.mark.slow
@pytest.mark.fuzz
@pytest.mark.parametrize("format", ["qasm2", "qasm3", "qpy", "cirq", "stim", "qir", "columnar"])
def test_no_input_crashes_or_hangs_a_reader(format: str, tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(HARNESS),
        format,
        f"-max_total_time={SECONDS}",
        f"-seed={SEED}",
        "-timeout=20",
        "-rss_limit_mb=3000",
        f"-artifact_prefix={tmp_path}/",
    ]
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS + 200, check=False
    )
    found = [path.read_bytes() for path in tmp_path.iterdir()]
    assert run.returncode == 0, f"{run.stderr[-3000:]}\ninput: {found}"
