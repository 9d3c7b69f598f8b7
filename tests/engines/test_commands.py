"""The commands around containers, without an engine: help, listings, refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

QUANTAINER = Path(sys.executable).with_name("quantainer")


def quantainer(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "QUANTAINER_CDI_DIR": str(folder / "cdi"),
        "QUANTAINER_RUNTIME_DIR": str(folder / "run"),
        "QUANTAINER_STATE_DIR": str(folder / "state"),
    }
    return subprocess.run(
        [QUANTAINER, *words], capture_output=True, text=True, env=environment, check=False
    )


@pytest.mark.parametrize(
    "words", [("run",), ("cdi",), ("cdi", "generate"), ("cdi", "list"), ("runtime", "configure")]
)
def test_help_is_there(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = quantainer(tmp_path, *words, "--help")
    assert done.returncode == 0
    assert "Usage: quantainer" in done.stdout


def test_generate_and_list(tmp_path: Path) -> None:
    done = quantainer(tmp_path, "cdi", "generate", "--backend", "qsim", "--backend", "fake_lima")
    assert done.returncode == 0, done.stderr
    assert "quantainer.dev/qpu=fake_lima" in done.stdout
    listed = json.loads(quantainer(tmp_path, "cdi", "list", "--json").stdout)
    (own,) = [folder for folder in listed["folders"] if folder["configured"]]
    assert own["files"][0]["devices"] == [
        f"quantainer.dev/qpu={name}" for name in ("qsim", "fake_lima", "all")
    ]
    assert own["files"][0]["problems"] == []
    assert "quantainer.dev/qpu=fake_lima" in quantainer(tmp_path, "cdi", "list").stdout


def test_generate_to_standard_output_in_both_formats(tmp_path: Path) -> None:
    words = ("cdi", "generate", "-o", "-", "--backend", "qsim")
    as_yaml = yaml.safe_load(quantainer(tmp_path, *words).stdout)
    as_json = json.loads(quantainer(tmp_path, *words, "--format", "json").stdout)
    assert as_yaml == as_json
    assert not (tmp_path / "cdi").exists()


def test_generate_needs_the_broker_or_names(tmp_path: Path) -> None:
    done = quantainer(tmp_path, "cdi", "generate")
    assert done.returncode == 1
    assert "quantainer up" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.report(25)
def test_generate_refuses_a_name_that_engines_overlook(tmp_path: Path) -> None:
    output = str(tmp_path / "q.yml")
    done = quantainer(tmp_path, "cdi", "generate", "--backend", "qsim", "-o", output)
    assert done.returncode == 1
    assert "q.yml" in done.stderr


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (("run", "--rm"), "No image is named", 2),
        (("run", "--security-opt", "quantum.mode=x", "i"), "local, hybrid, qpu", 2),
        (("run", "--engine", "docker", "--device", "/dev/qsim", "i"), "docker", 1),
    ],
)
def test_misuse_exits_2_and_a_refusal_1(
    tmp_path: Path, words: tuple[str, ...], said: str, code: int
) -> None:
    done = quantainer(tmp_path, *words)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_setting_without_a_value_is_misuse(tmp_path: Path) -> None:
    done = quantainer(tmp_path, "runtime", "configure", "--engine", "docker", "--set", "x")
    assert done.returncode == 2
    assert "KEY=VALUE" in done.stderr
