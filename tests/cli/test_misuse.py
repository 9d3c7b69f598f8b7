"""Options whose value can never be right: exit 2, with the name of the option."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from programs import BELL
from quantainer.circuits.reader import FORMATS
from quantainer.cli.circuit_file import FormatName
from quantainer.cli.main import COMMANDS, main

FILE = "bell.qasm"

MISUSE = [
    # command, option, values that no node and no file makes right
    (["up"], "--workers", ["0", "-1", "1.5", "many"]),
    (["up"], "--threads", ["0", "-1", "many"]),
    (["up"], "--shots-max", ["0", "-1", "many"]),
    (["up"], "--memory-limit", ["0", "-4GiB", "4 apples", ""]),
    (["up"], "--memory-reserve", ["-4GiB", "much"]),
    (["up"], "--job-timeout", ["0", "-1", "nan", "inf", "long"]),
    (["up"], "--durability", ["eternal", ""]),
    (["up"], "--log-level", ["loud", ""]),
    (["up"], "--runtime-dir", [""]),
    (["up"], "--state-dir", [""]),
    (["up"], "--socket-group", [""]),
    (["up", "--foreground"], "--json", [None]),
    (["down"], "--timeout", ["-1", "nan", "inf", "long"]),
    (["top"], "--interval", ["0", "0.01", "-1", "nan", "inf", "often"]),
    (["jobs", "list"], "--limit", ["0", "-1", "10001", "many"]),
    (["jobs", "result", "0" * 24], "--timeout", ["-1", "nan", "inf", "long"]),
    (["submit", FILE], "--timeout", ["0", "-1", "nan", "inf", "long"]),
    (["submit", FILE], "--priority", ["-101", "101", "high"]),
    (["submit", FILE], "--precision", ["half", ""]),
    (["submit", FILE], "--format", ["zz", ""]),
    (["inspect", FILE, "-B", "fake_lima"], "--level", ["-1", "4", "9", "high"]),
    (["inspect", FILE], "--level", ["0", "2", "9"]),
    (["inspect", FILE], "--circuit", ["zz", ""]),
    (["inspect", FILE], "--max-gates", ["0", "-4", "many"]),
    (["inspect", FILE], "--format", ["zz"]),
    (["inspect", FILE], "--gate-library", ["own", ""]),
    (["compile", FILE, "-B", "fake_lima"], "--level", ["-1", "4", "high"]),
    (["compile", FILE, "-B", "fake_lima"], "--circuit", ["zz"]),
    (["compile", FILE, "-B", "fake_lima"], "--max-gates", ["0", "-4"]),
    (["compile", FILE, "-B", "fake_lima"], "--output", ["x.exe"]),
    (["cdi", "generate"], "--format", ["xml"]),
    (["cdi", "generate", "--output", "-"], "--json", [None]),
    (["runtime", "configure"], "--engine", ["rocket"]),
    (["runtime", "configure", "--engine", "podman"], "--set", ["a=1"]),
    (["runtime", "configure", "--engine", "docker"], "--set", ["a", "=1"]),
    (["submit", FILE], "--truncation-max", ["-0.1", "1.1", "nan", "much"]),
    (["submit", FILE], "--input", ["theta", "=1", "a=[1"]),
    (["inspect", FILE], "--input", ["theta", "=1", "a=[1"]),
    (["bench", "agreement"], "--containers", ["0", "-1"]),
    (["bench", "agreement"], "--seconds", ["0", "-1", "nan", "inf"]),
    (["bench", "leases"], "--leases", ["1", "-1"]),
    (["bench", "leases"], "--clients", ["0"]),
    (["bench", "leases"], "--seconds", ["0", "nan"]),
]


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """Call the command line where no broker runs; return exit code, output and errors."""
    for name in ("runtime", "state", "cdi"):
        monkeypatch.setenv(f"QUANTAINER_{name.upper()}_DIR", str(tmp_path / name))
    monkeypatch.chdir(tmp_path)
    Path(FILE).write_text(BELL)

    def calling(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["quantainer", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, printed.out, printed.err

    return calling


@pytest.mark.parametrize(
    ("command", "option", "values"), MISUSE, ids=[f"{' '.join(c)} {o}" for c, o, _ in MISUSE]
)
def test_what_can_never_be_right_is_misuse(
    call: Call, command: list[str], option: str, values: list[str | None]
) -> None:
    for value in values:
        code, out, err = call(*command, option, *([] if value is None else [value]))
        assert (code, out) == (2, ""), (value, err)
        assert option in err, (value, err)


def test_a_command_that_names_nothing_to_do_is_misuse(call: Call) -> None:
    code, out, err = call("runtime", "configure")
    assert (code, out) == (2, "")
    assert "--engine docker" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--engine", "rkt", "host"], "--engine is one of auto"),
        (["--security-opt", "quantum.mode=fast", "host"], "local, hybrid, qpu"),
        (["--device", "/dev/qsim:/dev/other", "host"], "Use --device /dev/qsim"),
        (["--device"], "--device needs a value"),
        (["--rm"], "No image is named"),
    ],
)
def test_a_container_that_can_never_be_run_is_misuse(
    call: Call, words: list[str], said: str
) -> None:
    code, out, err = call("run", *words)
    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"run"}))
def test_unknown_options_are_misuse(call: Call, command: str) -> None:
    code, _, err = call(command, "--nonsense")
    assert (code, "--nonsense" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["submti"], "Did you mean 'submit'?"),
        (["jobs", "lst"], "Did you mean 'list'?"),
        (["cdi", "generat"], "Did you mean 'generate'?"),
        (["zzz"], "No such command 'zzz'."),
    ],
)
def test_a_misspelt_command_is_guessed(call: Call, words: list[str], said: str) -> None:
    code, _, err = call(*words)
    assert (code, said in err) == (2, True), err


def test_formats_on_the_command_line_are_those_that_are_read() -> None:
    assert set(get_args(FormatName)) == set(FORMATS)


def test_an_interrupt_while_the_program_is_loaded_is_no_traceback() -> None:
    code = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from quantainer.cli.entry import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


@pytest.mark.parametrize("package", ["matplotlib", "pylatexenc"])
def test_drawing_without_its_packages_names_them(tmp_path: Path, package: str) -> None:
    (tmp_path / FILE).write_text(BELL)
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        f"sys.argv = ['quantainer', 'inspect', {FILE!r}, '--png', 'x.png']\n"
        "from quantainer.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "matplotlib and pylatexenc" in done.stderr
    assert f"not installed: {package}." in done.stderr
    assert f"{sys.executable} -m pip install {package}" in done.stderr
    assert "quantainer[plot]" in done.stderr
    assert not (tmp_path / "x.png").exists()
