"""``docker run``'s options are read without being understood, and reach the engine unchanged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantainer.engines.request import parse
from quantainer_client.errors import QuantainerError

PAPER = [
    *("--rm", "-it", "--device", "/dev/qsim", "--security-opt", "quantum.mode=hybrid"),
    *("python:3.11-quantum-sim", "python", "-c", "pass"),
]


def test_line_of_the_paper() -> None:
    request = parse(PAPER)
    assert request.image == "python:3.11-quantum-sim"
    assert request.command == ("python", "-c", "pass")
    assert request.devices == ("qsim",)
    assert request.annotations == {"quantum.mode": "hybrid"}
    assert request.words() == [
        *("--rm", "-i", "-t", "--device", "quantainer.dev/qpu=qsim"),
        *("--annotation", "quantum.mode=hybrid", "python:3.11-quantum-sim"),
        *("python", "-c", "pass"),
    ]


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("/dev/qsim", "qsim"),
        ("/dev/qsim:/dev/qsim:rwm", "qsim"),
        ("/dev/quantum", "qsim"),
        ("/dev/quantum/fake_sherbrooke", "fake_sherbrooke"),
        ("/dev/fake_sherbrooke", "fake_sherbrooke"),
        ("quantainer.dev/qpu=all", "all"),
    ],
)
def test_names_of_our_devices(device: str, name: str) -> None:
    for words in (["--device", device], [f"--device={device}"]):
        request = parse([*words, "image"], known=["fake_sherbrooke"])
        assert request.devices == (name,)
        assert request.words() == ["--device", f"quantainer.dev/qpu={name}", "image"]


@pytest.mark.parametrize("device", ["/dev/null", "/dev/kvm:/dev/kvm", "nvidia.com/gpu=0", "/dev/x"])
def test_other_devices_pass_through(device: str) -> None:
    request = parse(["--device", device, "image"], known=["fake_sherbrooke"])
    assert request.devices == ()
    assert request.words() == ["--device", device, "image"]


def test_one_device_asked_for_twice_is_one() -> None:
    words = ["--device", "/dev/qsim", "--device", "quantainer.dev/qpu=qsim", "image"]
    assert parse(words).devices == ("qsim",)


@pytest.mark.parametrize(
    ("words", "image"),
    [
        (["-itw", "/app", "image", "-x"], "image"),
        (["-w/app", "-eA=1", "image"], "image"),
        (["-p", "80:80", "--name=x", "image"], "image"),
        (["--future-option", "value", "image"], "image"),
        (["--rm=false", "image", "--device", "/dev/qsim"], "image"),
        (["--", "image"], "image"),
    ],
)
def test_image_is_found_behind_options(words: list[str], image: str) -> None:
    assert parse(words).image == image
    assert parse(words).devices == ()


def test_quantum_words_after_the_image_are_the_commands_own() -> None:
    request = parse(["image", "--device", "/dev/qsim", "--engine", "podman"])
    assert request.command == ("--device", "/dev/qsim", "--engine", "podman")
    assert request.engine == "auto"


def test_other_security_options_pass_through() -> None:
    words = ["--security-opt", "no-new-privileges", "--security-opt=seccomp=p.json", "image"]
    assert parse(words).words() == words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--security-opt", "quantum.mode=fast", "image"], "local, hybrid, qpu"),
        (["--engine", "rkt", "image"], "auto, docker, podman, embedded"),
        (["--rm"], "No image is named"),
        ([], "No image is named"),
        (["--device"], "--device needs a value"),
        (["-v"], "-v needs a value"),
        (["--device", "/dev/qsim:/dev/other", "image"], "Use --device /dev/qsim"),
        (
            ["--device", "/dev/quantum/fake_x:/dev/qsim:r", "image"],
            "programs find it at /dev/quantum",
        ),
        (["--env-file", "/nonexistent", "--device", "/dev/qsim", "image"], "/nonexistent"),
    ],
)
def test_mistakes_are_named(words: list[str], said: str) -> None:
    with pytest.raises(QuantainerError, match=said.replace(".", r"\.")):
        parse(words).words()


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["-e", "PYTHONPATH=/a:/b"], "/a:/b"),
        (["-e", "PYTHONPATH=/a", "--env=PYTHONPATH=/b"], "/b"),
        (["-e", "PYTHONPATH=/opt/quantainer:/a"], "/a"),
        (["-e", "PYTHONPATH="], ""),
        (["-e", "PYTHONPATHS=/a"], None),
        (["-e", "A=PYTHONPATH=/a"], None),
    ],
)
def test_given_pythonpath_is_handed_over(words: list[str], path: str | None) -> None:
    assert parse([*words, "image"]).pythonpath() == path
    handed = parse([*words, "--device", "/dev/qsim", "image"]).words()
    assert (f"QUANTAINER_PYTHONPATH={path}" in handed) is (path is not None)
    assert not any("QUANTAINER" in word for word in parse([*words, "image"]).words())


def test_pythonpath_of_whoever_runs_it_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["-e", "PYTHONPATH=/first", "-e", "PYTHONPATH", "image"]
    monkeypatch.setenv("PYTHONPATH", "/own")
    assert parse(words).pythonpath() == "/own"
    monkeypatch.delenv("PYTHONPATH")
    assert parse(words).pythonpath() == "/first"


def test_an_environment_file_that_is_a_pipe_is_left_to_the_engine() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"PYTHONPATH=/piped\n")
    os.close(writer)
    words = ["--env-file", f"/dev/fd/{reader}", "--device", "quantainer.dev/qpu=qsim", "image"]
    parse(words).words()
    assert os.read(reader, 100) == b"PYTHONPATH=/piped\n"
    os.close(reader)


def test_environment_file_counts_before_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# comment\n\nPYTHONPATH=/file\nX=1\n")
    words = ["--env-file", str(file)]
    assert parse([*words, "image"]).pythonpath() == "/file"
    assert parse([*words, "-e", "PYTHONPATH=/line", "image"]).pythonpath() == "/line"


FLAGS = st.sampled_from(["--rm", "--init", "--read-only", "--privileged", "--rm=false"])
VALUES = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=9)
LONG = st.builds(
    lambda name, value: [f"--{name}", value],
    st.from_regex(r"x[a-z]{2,8}(-[a-z]{1,5})?", fullmatch=True),
    VALUES,
)
OPTIONS = st.lists(FLAGS.map(lambda flag: [flag]) | LONG, max_size=6)
IMAGES = st.from_regex(r"[a-z][a-z0-9./:-]{0,20}", fullmatch=True)


@given(OPTIONS, IMAGES, st.lists(VALUES, max_size=4))
def test_what_is_not_ours_reaches_the_engine_word_for_word(
    options: list[list[str]], image: str, command: list[str]
) -> None:
    words = [word for option in options for word in option]
    assert parse([*words, image, *command]).words() == [*words, image, *command]


@given(st.lists(VALUES, max_size=8))
def test_any_words_are_read_or_refused(words: list[str]) -> None:
    try:
        request = parse(words)
    except QuantainerError:
        return
    assert request.image in words
