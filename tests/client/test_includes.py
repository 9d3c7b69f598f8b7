"""What an OpenQASM program includes is put in its place, and refusals name the included file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantainer_client.errors import QuantainerError
from quantainer_client.includes import Program, with_includes

MAIN = """OPENQASM 3.0;
include "stdgates.inc";
include "a.inc"; qubit q;
// include "comment.inc";
foo q;
"""


def gathered(folder: Path, **files: str) -> Program:
    """Write the files (``main`` and ``*.inc``) and return the program ``main.qasm``."""
    for name, text in files.items():
        (folder / ("main.qasm" if name == "main" else f"{name}.inc")).write_text(text)
    path = folder / "main.qasm"
    return with_includes(path.read_bytes(), str(path))


def refusal(folder: Path, **files: str) -> QuantainerError:
    with pytest.raises(QuantainerError) as refused:
        gathered(folder, **files)
    return refused.value


def place(program: Program, word: str) -> str:
    """Return where a refusal of the line with ``word`` is said to be."""
    line = program.data.decode().split(word)[0].count("\n") + 1
    with pytest.raises(QuantainerError) as refused, program.located():
        raise QuantainerError("invalid_circuit", f"main.qasm:{line}:1: no.", hint="h")
    assert refused.value.hint == "h"
    return refused.value.message


def test_files_are_put_in_their_places(tmp_path: Path) -> None:
    program = gathered(
        tmp_path,
        main=MAIN,
        a='OPENQASM 3.0;\ninclude "b.inc";\ngate foo a { bar a; }\n',
        b="/* two\n lines */ gate bar a { x a; }",
    )
    text = program.data.decode()
    assert text.count("OPENQASM") == 1
    assert '"a.inc"' not in text
    assert '"b.inc"' not in text
    assert 'include "stdgates.inc";' in text
    assert place(program, "OPENQASM") == "main.qasm:1:1: no."
    assert place(program, "gate bar") == "b.inc:2:1: no."
    assert place(program, "gate foo") == "a.inc:3:1: no."
    assert place(program, "qubit q") == "main.qasm:3:1: no."
    assert place(program, "foo q;") == "main.qasm:5:1: no."


def test_columns_behind_an_include_stay(tmp_path: Path) -> None:
    program = gathered(tmp_path, main=MAIN, a="gate foo a { x a; }")
    lines = program.data.decode().splitlines()
    assert [line.find("qubit q") for line in lines if "qubit q" in line] == [17]


@pytest.mark.parametrize("path", ["../secret.inc", "sub/../../secret.inc", "link.inc"])
def test_nothing_outside_of_the_folder_is_read(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.inc").write_text("gate foo a { x a; }")
    folder = tmp_path / "home"
    (folder / "sub").mkdir(parents=True)
    (folder / "link.inc").symlink_to(tmp_path / "secret.inc")
    error = refusal(folder, main=MAIN.replace("a.inc", path))
    assert error.message.startswith("main.qasm:3:1:")
    assert "outside" in error.message


def test_an_absolute_path_is_outside(tmp_path: Path) -> None:
    (tmp_path / "a.inc").write_text("gate foo a { x a; }")
    error = refusal(tmp_path, main=MAIN.replace("a.inc", str(tmp_path / "a.inc")))
    assert "outside" in error.message


def test_a_folder_below_is_inside(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.inc").write_text("gate foo a { x a; }")
    program = gathered(tmp_path, main=MAIN.replace("a.inc", "sub/a.inc"))
    assert place(program, "gate foo") == "sub/a.inc:1:1: no."


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    error = refusal(tmp_path, main=MAIN)
    assert error.message == 'main.qasm:3:1: "a.inc" is not found.'
    assert error.hint == f"Looked in: {tmp_path}."


def test_circles_end(tmp_path: Path) -> None:
    error = refusal(tmp_path, main=MAIN, a='\n  include "b.inc";', b='include "a.inc";')
    assert error.message == "b.inc:1:1: circular include: main.qasm → a.inc → b.inc → a.inc."


def test_what_doubles_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quantainer_client.includes.INCLUDED_MAX", 4096)
    for k in range(40):
        (tmp_path / f"d{k}.inc").write_text(f'include "d{k + 1}.inc";' * 2)
    (tmp_path / "d40.inc").write_text("\n")
    error = refusal(tmp_path, main=MAIN.replace("a.inc", "d0.inc"))
    assert (error.code, error.limit) == ("too_large", 4096)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.inc").write_bytes(b"// x\n\xff")
    error = refusal(tmp_path, main=MAIN)
    assert error.message == "a.inc:2: byte 0xff is not UTF-8 text."


@pytest.mark.parametrize("format", ["qpy", "stim", "cirq", "qir", "columnar"])
def test_other_formats_include_nothing(format: str) -> None:
    data = b'include "a.inc";'
    assert with_includes(data, "main", format).data is data


def test_standard_input_lies_in_no_folder() -> None:
    assert with_includes(MAIN.encode(), "-").data == MAIN.encode()


@given(st.binary(max_size=200))
def test_anything_else_stays_as_it_is(data: bytes) -> None:
    assert with_includes(data, "main.qasm").data == data
