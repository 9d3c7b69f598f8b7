"""What a misspelt name was meant to be."""

from __future__ import annotations

from quantainer.core.spelling import guess, listed


def test_a_near_name_is_guessed_and_a_far_one_is_not() -> None:
    known = ["qsim", "fake_lima", "fake_lagos"]
    assert guess("fake_limma", known) == "Did you mean 'fake_lima'? "
    assert guess("ionq", known) == ""


def test_long_lists_are_cut_and_empty_ones_named() -> None:
    assert listed([]) == "none"
    assert listed("abc") == "a, b, c"
    assert listed(f"{number:02}" for number in range(25)).endswith("19 and 5 more")
