"""Inputs: values of OpenQASM 3 ``input`` variables, as written on a command line."""

from __future__ import annotations

import json

from quantainer_client.errors import QuantainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable

__all__ = ["inputs_of"]


def inputs_of(texts: Iterable[str]) -> Dict[str, Any]:
    """Return the values of ``NAME=VALUE`` texts.

    A value stays text: the declaration in the program says how it is read. A list, for an input
    that is an array, is written as JSON.

    Raises:
        QuantainerError: ``invalid_option`` naming the text.
    """
    values: Dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise QuantainerError(
                "invalid_option",
                f"--input takes NAME=VALUE, not {text!r}.",
                hint="Such as --input theta=0.5, --input 'bits=0110', --input 'angles=[0.1, 0.2]'.",
            )
        if name in values:
            raise QuantainerError("invalid_option", f"--input gives {name!r} twice.")
        values[name] = _list(text, value) if value.startswith("[") else value
    return values


def _list(text: str, value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError as error:
        raise QuantainerError("invalid_option", f"--input {text}: no JSON list: {error}.") from None
