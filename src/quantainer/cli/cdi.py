"""``quantainer cdi``: write or list the CDI specification."""

from __future__ import annotations

import json
import os
import stat
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from quantainer.broker import configuration
from quantainer.core.settings import Settings
from quantainer.device import cdi
from quantainer_client.channel import Channel
from quantainer_client.errors import QuantainerError
from quantainer_client.payload import resolve_list

__all__ = ["app"]

app = typer.Typer(
    help="Write or list the CDI specification, by which engines know the quantum devices.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


class Form(StrEnum):
    """File formats."""

    yaml = "yaml"
    json = "json"


@app.command()
def generate(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; - for standard output.")
    ] = None,
    form: Annotated[Form | None, typer.Option("--format", help="File format.")] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Backend to describe; by default the broker's own."),
    ] = None,
) -> None:
    """Write the specification for this node's backends.

    The broker does the same when it starts; this is for other places and formats.

    \b
    Examples:
      quantainer cdi generate
      quantainer cdi generate --output - --format json --backend qsim
    """
    settings = configuration.load().values
    backends = backend or _backends(settings)
    chosen: cdi.Format | None = None
    if form is not None:
        chosen = "json" if form is Form.json else "yaml"
    try:
        places = cdi.Places.install(Path(settings.runtime_dir))
        spec = cdi.specification(backends, places, settings.nodes)
        if output == Path("-"):
            typer.echo(cdi.dump(spec, chosen or "yaml"), nl=False)
            return
        suffix = chosen or "yaml"
        target = output or Path(settings.cdi_dir) / f"quantainer.{suffix}"
        cdi.write(spec, target, chosen)
    except OSError as error:
        raise QuantainerError(
            "invalid_option",
            f"{error.filename} cannot be written: {error.strerror}.",
            hint="Run as root, or name another file with --output.",
        ) from None
    names = [cdi.qualified(name) for name in cdi.device_names(backends)]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    typer.echo(f"{target}: {', '.join(names[:3])}{more}")


def _backends(settings: Settings) -> list[str]:
    channel = Channel(f"{settings.runtime_dir}/broker.sock", 30)
    try:
        reply, payload = channel.round_trip("backends", {}, None, 30)
    finally:
        channel.close()
    return [entry["name"] for entry in resolve_list(reply["backends"], payload, "backends")]


@app.command("list")
def list_devices(
    as_json: Annotated[bool, typer.Option("--json", help="Print facts as JSON.")] = False,
) -> None:
    """List CDI devices, and files that engines refuse."""
    settings = configuration.load().values
    folders = [_folder(folder, settings) for folder in cdi.search_path(settings)]
    if as_json:
        typer.echo(json.dumps({"kind": cdi.KIND, "folders": folders}, indent=2))
        return
    for folder in folders:
        typer.echo(f"{folder['path']}  ({folder['note']})")
        for file in folder["files"]:
            for device in file["devices"] if not file["problems"] else ():
                typer.echo(f"  {device}")
            for problem in file["problems"]:
                typer.echo(f"  {file['path']}: {problem}")


def _folder(folder: Path, settings: Settings) -> dict[str, Any]:
    readers = _readers(folder)
    return {
        "path": str(folder),
        "note": _note(folder, readers),
        "read_by": readers,
        "exists": folder.is_dir(),
        "configured": folder == Path(settings.cdi_dir),
        "files": [found.to_dict() for found in cdi.read(folder)],
    }


def _readers(folder: Path) -> list[str]:
    """Return the engines that read the folder unless they are told otherwise."""
    if folder in (cdi.STATIC_DIR, *cdi.DYNAMIC_DIRS):
        return ["docker", "podman", "containerd", "cri-o"]
    return ["docker (rootless)"] if _is_rootless(folder) else []


def _is_rootless(folder: Path) -> bool:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return runtime is not None and folder == Path(runtime, "cdi")


def _note(folder: Path, readers: list[str]) -> str:
    if not folder.is_dir():
        return "does not exist"
    if not folder.stat().st_mode & stat.S_IXOTH:
        return "closed to other users: rootless engines read nothing here"
    if not readers:
        return "read by no engine by itself: see `quantainer runtime configure`"
    return f"read by {', '.join(readers)}"
