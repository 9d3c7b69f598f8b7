"""The reference parser of OpenQASM 3: what it accepts."""

from __future__ import annotations

import openqasm3


def reference_accepts(text: str) -> bool:
    """Tell whether the reference parser accepts a text."""
    try:
        openqasm3.parse(text)
    except Exception:  # it raises whatever ANTLR and its own visitor raise
        return False
    return True
