"""Values: what options of several commands take, checked before anything is done.

A value that can never be right is misuse: exit 2, with the option's name. What only this node or
this file cannot do is a refusal: exit 1.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import typer

from quantainer.core.settings import parse_size

__all__ = ["at_least", "folder", "fraction", "memory", "named", "seconds", "size"]


def seconds(value: Any) -> float:
    """Return a finite number of seconds above 0.

    Raises:
        typer.BadParameter: For anything else.
    """
    number = _number(value)
    if not 0 < number < math.inf:
        raise typer.BadParameter(f"{value} is not a finite number of seconds above 0.")
    return number


def at_least(least: float) -> Callable[[Any], float]:
    """Return what reads a finite number of seconds that is not less, and refuses anything else."""

    def seconds(value: Any) -> float:
        number = _number(value)
        if not least <= number < math.inf:
            raise typer.BadParameter(f"{value} is not a finite number of seconds from {least:g}.")
        return number

    return seconds


def fraction(value: Any) -> float:
    """Return a number from 0 to 1.

    Raises:
        typer.BadParameter: For anything else.
    """
    number = _number(value)
    if not 0 <= number <= 1:
        raise typer.BadParameter(f"{value} is not a number from 0 to 1.")
    return number


def size(value: Any) -> int:
    """Return bytes from text such as 4GiB.

    Raises:
        typer.BadParameter: For anything else.
    """
    try:
        return int(parse_size(value))
    except ValueError as error:
        raise typer.BadParameter(f"{error}.") from None


def memory(value: Any) -> int:
    """Return bytes from text such as 4GiB, at least one.

    Raises:
        typer.BadParameter: For anything else.
    """
    count = size(value)
    if not count:
        raise typer.BadParameter(f"{value} is no memory at all.")
    return count


def named(value: str) -> str:
    """Return a text that is not empty.

    Raises:
        typer.BadParameter: For an empty one.
    """
    if not value:
        raise typer.BadParameter("The name is empty.")
    return value


def folder(value: str) -> str:
    """Return the absolute path of a folder: the broker itself runs in the root folder.

    Raises:
        typer.BadParameter: For an empty one.
    """
    return os.path.abspath(named(value))  # noqa: PTH100 - links stay as they are named


def _number(value: Any) -> float:
    try:
        return float(value)
    except ValueError:
        raise typer.BadParameter(f"{value!r} is not a number.") from None
