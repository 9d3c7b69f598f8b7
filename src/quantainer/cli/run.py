"""``quantainer run``: ``docker run`` with a quantum device, on whatever engine there is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from quantainer.broker import configuration
from quantainer.cli.refusal import MisuseError
from quantainer.core.spelling import guess, listed
from quantainer.device import cdi
from quantainer.engines.docker import Docker
from quantainer.engines.embedded.engine import Embedded
from quantainer.engines.embedded.options import refuse_unknown
from quantainer.engines.engine import Engine, choose
from quantainer.engines.podman import Podman
from quantainer.engines.request import Request, parse
from quantainer_client.errors import QuantainerError

__all__ = ["app"]

HELP = """Run a container with a quantum device.

Takes the options of docker run and hands them on unchanged, except:

\b
  --device /dev/qsim             the automatic simulator (CDI quantainer.dev/qpu=qsim)
  --device /dev/quantum/NAME     the backend NAME
  --security-opt quantum.mode=M  local, hybrid or qpu
  --engine E                     auto, docker, podman or embedded

auto takes the first that can have IMAGE: Docker 27 or later, Podman, the embedded engine
(bubblewrap). IMAGE of the embedded engine is a folder with a root file system, or 'host' for
this host's own system and Python.

\b
Examples:
  quantainer run --rm -it --device /dev/qsim python:3.11-quantum-sim python ghz.py
  quantainer run --rm --device /dev/qsim -v "$PWD:/w:ro" host python3 /w/ghz.py
"""


class _Raw(TyperCommand):
    """Leaves every word to the parser of ``docker run``'s options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args in ([], ["-h"]) or args[:1] == ["--help"]:
            typer.echo(ctx.get_help())
            ctx.exit(0 if args else 2)
        ctx.args = list(args)
        return []


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    cls=_Raw,
    help=HELP,
    options_metavar="[OPTIONS] IMAGE [COMMAND] [ARG...]",
    context_settings={"help_option_names": ["--help"]},
)
def _command(ctx: typer.Context) -> None:
    sys.exit(run(ctx.args))


def run(words: list[str]) -> int:
    """Run a container; does not return where the engine takes this process over."""
    settings = configuration.load().values
    known = cdi.known_devices(cdi.search_path(settings))
    try:
        request = parse(words, known)
    except QuantainerError as error:
        raise MisuseError(error.code, error.message, hint=error.hint) from None
    if not request.devices:
        sys.stderr.write(f"quantainer: {_no_device(request, known)}\n")
    if request.engine == Embedded.name:
        # Before its value is taken for the image.
        refuse_unknown(request)
    engines: list[Engine] = [Docker(), Podman(settings), Embedded(settings)]
    return choose(request.engine, request.image, engines).run(request)


def _no_device(request: Request, known: list[str]) -> str:
    """Return what to say of a request without a quantum device: that of a misspelt one by name."""
    for value in request.values("device"):
        folder, _, name = value.partition(":")[0].rpartition("/")
        if folder == "/dev" and not Path(folder, name).exists():
            there = (
                f"This node has {listed(set(known) - {'all'})}."
                if known
                else "Is the broker running?"
            )
            return f"there is no quantum device {name!r}. {guess(name, known)}{there}"
    if any(word.partition("=")[0] == "--device" for word in request.command):
        return (
            f"--device after {request.image!r} is its command's: options go before the image. "
            "No quantum device is asked for."
        )
    return "no quantum device is asked for; add --device /dev/qsim."
