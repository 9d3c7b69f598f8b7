"""The ``quantainer`` command: finds the subcommand's file and loads nothing else."""

from __future__ import annotations

import importlib
import io
import os
import select
import sys
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from quantainer import __version__
from quantainer.cli.refusal import print_refusal, said_of
from quantainer_client.errors import QuantainerError

__all__ = ["main"]

HELP = """Quantainer gives containers qubits.

\b
Start here:
  quantainer up
  quantainer submit bell.qasm --shots 1000
  docker run --rm --device quantainer.dev/qpu=qsim IMAGE python ghz.py

`quantainer COMMAND --help` shows options and examples of a command.
"""

COMMANDS: dict[str, str] = {
    # name: one line of help; the code is in quantainer.cli.<name>, attribute ``app``
    "run": "Run a container with a quantum device.",
    "up": "Start the broker.",
    "down": "Stop the broker.",
    "reload": "Look again at backends and device nodes.",
    "status": "Show the broker, its limits and its settings.",
    "devices": "List the backends this node offers.",
    "submit": "Run a circuit file on this node.",
    "inspect": "Measure a circuit file.",
    "compile": "Compile a circuit file for a backend.",
    "jobs": "List, show, fetch or cancel jobs.",
    "top": "Watch jobs and leases live.",
    "cdi": "Write or list the CDI specification.",
    "runtime": "Make Docker, Podman or containerd ready for the device.",
    "bench": "Measure this node beside its peers.",
}


class _Commands(TyperGroup):
    """Loads a subcommand's module when it is called, so that ``--help`` stays fast."""

    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        if ctx.resilient_parsing or _wants_group_help():
            return TyperCommand(cmd_name, help=COMMANDS[cmd_name])
        module = importlib.import_module(f"quantainer.cli.{cmd_name}")
        return typer.main.get_command(module.app)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the subcommand; the framework would guess among those that are loaded."""
        if args[0] in COMMANDS:
            return super().resolve_command(ctx, args)
        from quantainer.core.spelling import guess

        return ctx.fail(f"No such command {args[0]!r}. {guess(args[0], COMMANDS)}".strip())

    def invoke(self, ctx: Any) -> Any:
        """Run the subcommand; a reader that has seen enough (``| head``) is no error."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")  # a library's own words
            raise
        except BrokenPipeError as error:  # the framework would end in silence, whosever pipe it is
            if not _nobody_reads():
                raise RuntimeError("a pipe to another process broke") from error
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)


def _wants_group_help() -> bool:
    return len(sys.argv) < 2 or sys.argv[1] in ("--help", "-h")


app = typer.Typer(
    cls=_Commands,
    name="quantainer",
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"quantainer {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    del version


def main() -> None:
    """Run the command line; exit 0 done, 1 refused or failed, 2 usage."""
    _open_what_is_closed()
    _let_any_text_through()
    try:
        app()
    except QuantainerError as error:
        print_refusal(error)
        sys.exit(getattr(error, "exit_code", 1))
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        if os.environ.get("QUANTAINER_DEBUG"):
            raise
        typer.echo(f"quantainer: {said_of(error)}", err=True)
        sys.exit(1)
    except Exception as error:
        if os.environ.get("QUANTAINER_DEBUG"):
            raise
        typer.echo(
            f"quantainer: internal error: {type(error).__name__}: {error}\n"
            "Set QUANTAINER_DEBUG=1 to see where, and report it.",
            err=True,
        )
        sys.exit(1)


def _open_what_is_closed() -> None:
    """Open the standard streams that are closed (``>&-``): else a socket gets their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


def _let_any_text_through() -> None:
    """Print ``?`` for what a terminal's encoding lacks: bars are drawn, ASCII has none."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _nobody_reads() -> bool:
    """Tell whether it is standard output whose reader is gone, not some other pipe's."""
    probe = select.poll()
    probe.register(sys.stdout.fileno(), 0)
    return bool(probe.poll(0))
