"""What the package costs and needs: next to nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "client" / "src"
EVERYDAY = "from quantainer_client import Circuit, Connection, QuantainerError, run"


def python(code: str, cache: Path, *options: str) -> str:
    """Run code with nothing on the path but the client, byte code kept as an installer would."""
    done = subprocess.run(
        [sys.executable, "-S", *options, "-c", code],
        env={"PYTHONPATH": str(SOURCE), "PYTHONPYCACHEPREFIX": str(cache)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def test_nothing_but_the_standard_library_is_imported(tmp_path: Path) -> None:
    code = f"{EVERYDAY}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    names = set(python(code, tmp_path).split())
    assert names - sys.stdlib_module_names <= {"__main__", "quantainer_client"}
    assert not names & {"asyncio", "dataclasses", "typing", "ctypes", "subprocess", "argparse"}


@pytest.mark.parametrize("code", ["import quantainer_client", EVERYDAY])
def test_the_import_takes_less_than_25_ms(code: str, tmp_path: Path) -> None:
    def cost(code: str) -> float:
        """Return the least processor time of several runs: other work only ever adds to it."""
        timed = f"{code}\nimport time\nprint(time.process_time())"
        return min(float(python(timed, tmp_path)) for _ in range(10))

    assert cost(code) - cost("pass") < 0.025


def test_it_is_all_lazy(tmp_path: Path) -> None:
    code = "import quantainer_client, sys; print([m for m in sys.modules if 'client.' in m])"
    assert python(code, tmp_path).strip() == "[]"


def test_unknown_names_are_attribute_errors(tmp_path: Path) -> None:
    code = "import quantainer_client as q; print(hasattr(q, 'nonsense'), 'run' in dir(q))"
    assert python(code, tmp_path).strip() == "False True"


def test_every_module_is_valid_for_python_3_9() -> None:
    options = ["--isolated", "--target-version", "py39", "--select", "E9,F"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *options, str(SOURCE)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
