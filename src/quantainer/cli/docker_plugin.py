"""``docker quantum …``: this program as a plugin of the Docker command line."""

from __future__ import annotations

import json
import os
import sys

from quantainer import __version__
from quantainer.cli import entry

__all__ = ["main"]

METADATA = {
    "SchemaVersion": "0.1.0",
    "Vendor": "Quantainer",
    "Version": __version__,
    "ShortDescription": "Quantum devices for containers",
}
NAME = "quantum"

# Docker's global options that take a value, and the variable by which its CLI reads the same.
_VARIABLES = {
    **{"--host": "DOCKER_HOST", "-H": "DOCKER_HOST"},
    **{"--context": "DOCKER_CONTEXT", "-c": "DOCKER_CONTEXT"},
    "--config": "DOCKER_CONFIG",
    **{"--log-level": "", "-l": "", "--tlscacert": "", "--tlscert": "", "--tlskey": ""},
}


def main() -> None:
    """Answer Docker's question for metadata, or run the command."""
    words = sys.argv[1:]
    if words[:1] == ["docker-cli-plugin-metadata"]:
        sys.stdout.write(json.dumps(METADATA) + "\n")
        return
    sys.argv[1:] = own_words(words)
    sys.argv[0] = "docker quantum"
    entry.main()


def own_words(words: list[str]) -> list[str]:
    """Return what follows ``quantum``; Docker's options before it go into the environment."""
    words = list(words)
    while words and words[0].startswith("-"):
        name, equals, value = words.pop(0).partition("=")
        if name not in _VARIABLES:
            continue
        if not equals and words:
            value = words.pop(0)
        if _VARIABLES[name]:
            os.environ[_VARIABLES[name]] = value
    if words[:1] == [NAME]:
        del words[0]
    # Whoever types docker means Docker; a later --engine still counts.
    return ["run", "--engine", "docker", *words[1:]] if words[:1] == ["run"] else words
