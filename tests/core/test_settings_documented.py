"""The documentation of the settings lists exactly those there are."""

from __future__ import annotations

import re
from pathlib import Path

from quantainer.core.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_every_setting_has_its_row() -> None:
    documented = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert documented == list(Settings.model_fields)
