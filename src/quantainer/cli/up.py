"""``quantainer up``: start the broker."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from quantainer.broker.configuration import load
from quantainer.cli import values
from quantainer.cli.host import CALL_TIMEOUT, open_channel, print_json
from quantainer.cli.status import warnings_of
from quantainer.core.settings import Resolved
from quantainer_client.errors import QuantainerError

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_READY_SECONDS = 120.0
_LOG_MAX = 16 * 1024**2


@app.command()
def up(
    foreground: Annotated[
        bool, typer.Option("--foreground", "-f", help="Stay in the foreground; log to stderr.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print process, socket and log as JSON.")
    ] = False,
    runtime_dir: Annotated[
        str | None,
        typer.Option(parser=values.folder, metavar="DIR", help="Sockets and devices.json."),
    ] = None,
    state_dir: Annotated[
        str | None, typer.Option(parser=values.folder, metavar="DIR", help="Database and results.")
    ] = None,
    socket_group: Annotated[
        str | None,
        typer.Option(
            parser=values.named, metavar="GROUP", help="Group that may use the host socket."
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Jobs that run at once.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of one job.")] = None,
    memory_limit: Annotated[
        int | None,
        typer.Option(
            parser=values.memory, metavar="SIZE", help="Memory of all jobs together, such as 4GiB."
        ),
    ] = None,
    memory_reserve: Annotated[
        int | None,
        typer.Option(parser=values.size, metavar="SIZE", help="Memory kept free of jobs."),
    ] = None,
    durability: Annotated[
        Literal["normal", "full"] | None, typer.Option(help="full survives loss of power.")
    ] = None,
    shots_max: Annotated[int | None, typer.Option(min=1, help="Shots of one circuit.")] = None,
    job_timeout: Annotated[
        float | None,
        typer.Option(parser=values.seconds, metavar="SECONDS", help="Time a job may run."),
    ] = None,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option(help="What goes to the log."),
    ] = None,
) -> None:
    """Start the broker and wait until it answers.

    Values given here go over the environment (QUANTAINER_…), which goes over the configuration
    file. 'quantainer status --settings' shows the values in force.

    \b
    Examples:
      quantainer up
      quantainer up --foreground --workers 1 --memory-limit 4GiB
    """
    if foreground and as_json:
        raise typer.BadParameter(
            "The broker in the foreground prints its log.", param_hint="'--json'"
        )
    flags: dict[str, Any] = {
        "runtime_dir": runtime_dir,
        "state_dir": state_dir,
        "socket_group": socket_group,
        "workers": workers,
        "threads": threads,
        "memory_limit": memory_limit,
        "memory_reserve": memory_reserve,
        "durability": durability,
        "shots_max": shots_max,
        "job_timeout": job_timeout,
        "log_level": log_level,
    }
    resolved = load(flags)
    if foreground:
        # Imported here: only the broker itself needs asyncio and the database.
        from quantainer.cli.daemon import serve

        serve(resolved)
        return
    started = _start_detached(resolved, flags)
    if as_json:
        print_json(started)
        return
    typer.echo(f"Broker {started['pid']} answers on {started['socket']}.")
    typer.echo(f"Log: {started['log']}")
    for warning in started["warnings"]:
        typer.echo(f"warning: {warning}", err=True)


def _start_detached(resolved: Resolved, flags: dict[str, Any]) -> dict[str, Any]:
    """Start a broker that outlives this process; return where it is, once it answers."""
    settings = resolved.values
    socket = Path(settings.runtime_dir) / "broker.sock"
    if _answers(socket):
        raise QuantainerError(
            "invalid_option",
            f"A broker answers on {socket} already.",
            hint="Stop it with 'quantainer down'.",
        )
    log = _log_file(Path(settings.state_dir))
    command = [sys.executable, "-m", "quantainer", "up", "--foreground"]
    for key, value in flags.items():
        if value is not None:
            command += [f"--{key.replace('_', '-')}", str(value)]
    with log.open("ab") as output:
        start = output.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
            env=_environment(),
        )
    _await_ready(process, socket, log, start)
    return {
        "pid": process.pid,
        "socket": str(socket),
        "log": str(log),
        "warnings": warnings_of(_status(socket)),
    }


def _status(socket: Path) -> dict[str, Any]:
    channel = open_channel(socket)
    try:
        return channel.round_trip("status", {}, None, CALL_TIMEOUT)[0]
    finally:
        channel.close()


def _environment() -> dict[str, str]:
    """Return this process's, with a path that means the same in the root folder."""
    named = os.environ.get("QUANTAINER_CONFIG")
    return os.environ | ({"QUANTAINER_CONFIG": str(Path(named).absolute())} if named else {})


def _await_ready(process: subprocess.Popen[bytes], socket: Path, log: Path, start: int) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            words, *way_out = _last_words(log, start)
            raise QuantainerError(
                "broker_unavailable",
                f"The broker ended while it started: {words}",
                hint="\n  ".join([*way_out, f"Its log is {log}."]),
            )
        if _answers(socket):
            return
        time.sleep(0.05)
    process.kill()
    raise QuantainerError(
        "timeout",
        "The broker did not answer in time and was ended.",
        limit=_READY_SECONDS,
        hint=f"Its log is {log}.",
    )


def _answers(socket: Path) -> bool:
    if not socket.exists():
        return False
    channel = open_channel(socket)
    try:
        channel.round_trip("hello", {"client": "quantainer up"}, None, 10.0)
    except QuantainerError as error:
        return error.code not in ("broker_unavailable", "timeout")
    finally:
        channel.close()
    return True


def _log_file(state: Path) -> Path:
    """Return the log's path; one that has grown large is put aside first.

    Raises:
        QuantainerError: ``storage`` if the directory cannot be written.
    """
    log = state / "broker.log"
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        log.touch(mode=0o600)
        if log.stat().st_size > _LOG_MAX:
            log.replace(state / "broker.log.1")
            log.touch(mode=0o600)
    except OSError as error:
        raise QuantainerError(
            "storage",
            f"{error.filename or log}: {error.strerror}.",
            hint="Set state_dir to a directory that this user can write.",
        ) from None
    return log


def _last_words(log: Path, start: int) -> list[str]:
    """Return what the broker refused and the way out, or else the last line of its log."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(start, os.path.getsize(log) - 4096))  # noqa: PTH202
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
        refusals = [at for at, line in enumerate(lines) if line.startswith("quantainer: ")]
        if refusals:
            said, *after = lines[refusals[-1] :]
            way_out = takewhile(lambda line: line.startswith("  "), after)
            return [said.removeprefix("quantainer: "), *(line.strip() for line in way_out)]
        return lines[-1:] or ["it said nothing."]
    return ["its log cannot be read."]
