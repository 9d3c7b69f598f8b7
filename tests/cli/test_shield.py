"""A reader that dies, hoards or refuses gives an answer, and the caller lives on."""

from __future__ import annotations

import faulthandler
import os
import signal
from pathlib import Path

import pytest

from quantainer.cli.shield import shielded
from quantainer_client.errors import QuantainerError


def test_what_is_printed_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    shielded("file", lambda: print("done"))
    assert capfd.readouterr().out == "done\n"


def test_a_refusal_comes_through_whole() -> None:
    def refuse() -> None:
        raise QuantainerError("too_large", "Too much.", limit=1, needed=2, hint="Less.")

    with pytest.raises(QuantainerError) as caught:
        shielded("file", refuse)
    error = caught.value
    assert (error.code, error.message, error.limit, error.needed, error.hint) == (
        "too_large", "Too much.", 1, 2, "Less.",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL"])
def test_a_death_is_a_refusal(name: str) -> None:
    def die() -> None:
        faulthandler.disable()  # the test runner's would print where
        os.kill(os.getpid(), getattr(signal, name))

    with pytest.raises(QuantainerError, match=rf"file: reading it ended the reader \({name}\)"):
        shielded("file", die)


def test_memory_is_bounded() -> None:
    with pytest.raises(QuantainerError) as caught:
        shielded("file", lambda: bytearray(3 << 30), memory_bytes=1 << 30)
    assert caught.value.code == "out_of_memory"


def test_what_the_machine_refuses_is_said_in_its_words() -> None:
    def fill() -> None:
        Path("/dev/full").write_text("x")

    with pytest.raises(QuantainerError, match=r"^No space left on device\.$"):
        shielded("file", fill)


def test_a_fault_of_our_own_is_said_to_be_one() -> None:
    with pytest.raises(QuantainerError, match="ZeroDivisionError") as caught:
        shielded("file", lambda: 1 // 0)
    assert caught.value.code == "internal"
