"""The backend that is meant where none is named."""

from __future__ import annotations

import pytest

from quantainer_client.errors import QuantainerError
from quantainer_client.lease import default_backend


@pytest.mark.parametrize(
    ("granted", "meant"),
    [
        (["qsim"], "qsim"),
        (["fake_lima"], "fake_lima"),
        (["fake_lima", "qsim"], "qsim"),
        (["ion1"], "ion1"),
    ],
)
def test_what_was_granted_is_meant(granted: list[str], meant: str) -> None:
    assert default_backend(granted) == meant


def test_of_several_none_is_chosen_and_all_are_named() -> None:
    with pytest.raises(QuantainerError) as caught:
        default_backend(["fake_lima", "ion1"])
    assert caught.value.code == "unknown_backend"
    assert "2 are granted: fake_lima, ion1." in caught.value.message


def test_long_lists_are_cut() -> None:
    with pytest.raises(QuantainerError, match="b19 and 40 more"):
        default_backend(f"b{number}" for number in range(60))


def test_where_nothing_is_granted_that_is_said() -> None:
    with pytest.raises(QuantainerError, match="No backend is granted"):
        default_backend([])
