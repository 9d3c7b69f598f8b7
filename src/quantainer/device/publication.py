"""Publication: what engines and containers are told of the backends, kept as the node is now.

Engines read the CDI specification, containers ``/dev/quantum/devices.json``. Both are written when
the broker starts, when it is told to look again, and when a device node comes or goes: a link that
appears later leads elsewhere than the path that was written for it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantainer.core.settings import Settings
from quantainer.core.target import TargetFacts
from quantainer.device import cdi, nodes
from quantainer_client.errors import QuantainerError

__all__ = ["Publication"]

log = logging.getLogger("quantainer")

_AGAIN_SECONDS = 10.0


class Publication:
    """Writes both files.

    Args:
        settings: Where they go, and the granted nodes.
        targets: The broker's backends by name, as they are at any time.
    """

    def __init__(self, settings: Settings, targets: Mapping[str, TargetFacts]) -> None:
        self._settings = settings
        self._targets = targets
        self._published: list[Any] | None = None
        self._complaint = ""
        self._again_at = 0.0

    def grant(self, settings: Settings) -> list[str]:
        """Take over changed settings; return what to warn of: nodes that are not there now.

        Raises:
            QuantainerError: ``invalid_option`` for nodes that cannot be granted; nothing changes.
        """
        missing = nodes.check(settings.nodes, self._targets)
        self._settings = settings
        return missing

    def publish(self) -> Path | None:
        """Write both; without a specification containers get no device, but host users go on.

        Returns:
            The specification's path; ``None`` if it could not be written: that is logged once, and
            ``refresh`` tries again.
        """
        self._published, current = None, self._current()
        try:
            self._write_devices()
            path = cdi.publish(self._settings, self._targets)
        except (OSError, QuantainerError) as error:
            self._complain(f"engines know no quantum device: {error}")
            return None
        self._published, self._complaint = current, ""
        log.info("devices described in %s", path)
        return path

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:
            log.warning("%s", complaint)
        self._complaint = complaint
        self._again_at = time.monotonic() + _AGAIN_SECONDS

    def refresh(self) -> bool:
        """Write both again if backends or nodes are no longer as they were written."""
        if self._published == self._current():
            return False
        if self._published is None and time.monotonic() < self._again_at:
            return False
        return self.publish() is not None

    def _current(self) -> list[Any]:
        """Return what the files depend on; cheap, for it is asked again and again."""
        granted = self._settings.nodes
        found = [(name, nodes.edits(granted, name)) for name in granted]
        return [sorted(self._targets), found]

    def _write_devices(self) -> None:
        """Write what containers see in /dev/quantum/devices.json: whole or not at all."""
        facts = [target.summary() for target in self._targets.values()]
        path = Path(self._settings.runtime_dir) / "dev" / "devices.json"
        partial = path.with_suffix(".json.new")
        partial.write_text(json.dumps({"version": 1, "devices": facts}, indent=1) + "\n")
        partial.chmod(0o644)
        partial.replace(path)
