"""``quantainer cdi``: write or list the CDI specification."""

from __future__ import annotations

import os
import stat
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from quantainer.broker import configuration
from quantainer.cli.host import print_json
from quantainer.core.settings import Settings
from quantainer.core.spelling import guess, listed
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
    as_json: Annotated[
        bool, typer.Option("--json", help="Print file and devices as JSON.")
    ] = False,
) -> None:
    """Write the specification of this node's devices.

    It names the backends that the broker offers now. The broker does the same when it starts and
    at 'quantainer reload'; this is for other places and formats. Of the output's folder at most
    the last part is made.

    \b
    Examples:
      quantainer cdi generate
      quantainer cdi generate --output - --format json --backend qsim
    """
    if as_json and output == Path("-"):
        raise typer.BadParameter(
            "Standard output is the specification's; for JSON of it add --format json.",
            param_hint="'--json'",
        )
    settings = configuration.load().values
    backends = _chosen(backend, settings)
    if output is not None and output != Path("-"):
        _check_folder(output)
    chosen: cdi.Format | None = None
    if form is not None:
        chosen = "json" if form is Form.json else "yaml"
    target = output or Path(settings.cdi_dir) / f"quantainer.{chosen or 'yaml'}"
    try:
        places = cdi.Places.install(Path(settings.runtime_dir))
        spec = cdi.specification(backends, places, settings.nodes)
        if output != Path("-"):
            cdi.write(spec, target, chosen)
    except OSError as error:
        raise QuantainerError(
            "invalid_option",
            f"{error.filename or target} cannot be written: {error.strerror}.",
            hint="Run as root, or name another file with --output.",
        ) from None
    if output == Path("-"):
        typer.echo(cdi.dump(spec, chosen or "yaml"), nl=False)
        return
    names = [cdi.qualified(name) for name in cdi.device_names(backends)]
    if as_json:
        print_json({"path": str(target), "devices": names})
        return
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    typer.echo(f"{target}: {', '.join(names[:3])}{more}")


def _chosen(named: list[str] | None, settings: Settings) -> list[str]:
    """Return the backends to describe.

    Raises:
        QuantainerError: ``unknown_backend`` for a name that this node does not have.
    """
    if not named:
        return _backends(settings)
    known = _known(settings)
    for name in named:
        if name not in known:
            raise QuantainerError(
                "unknown_backend",
                f"This node has no backend {name!r}.",
                hint=f"{guess(name, known)}It has: {listed(known)}.",
            )
    return named


def _known(settings: Settings) -> list[str]:
    """Return the backends of the broker, or without one, those that are installed."""
    try:
        return sorted(_backends(settings))
    except QuantainerError as error:
        if error.code != "broker_unavailable":
            raise
    # Imported here: it takes a second, and the broker usually runs.
    from quantainer.backends.backend import Limits
    from quantainer.backends.registry import load_backends

    return sorted(load_backends(Limits(memory_bytes=1 << 30, threads=1)))


def _check_folder(output: Path) -> None:
    """Refuse an output that is a folder, or that lies in one whose parent does not exist.

    Raises:
        QuantainerError: ``invalid_option``.
    """
    if output.is_dir():
        raise QuantainerError(
            "invalid_option",
            f"{output} is a folder.",
            hint=f"Name a file in it: --output {output / cdi.FILE_NAME}",
        )
    folder = output.absolute().parent
    if not folder.parent.is_dir():
        missing = next(path for path in reversed(folder.parents) if not path.is_dir())
        raise QuantainerError(
            "invalid_option",
            f"{output} cannot be written: {missing} does not exist.",
            hint=f"Make it first (mkdir -p {folder}), or see `quantainer cdi list` for the folders "
            "that engines read.",
        )


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
    """List CDI devices, and files that engines refuse.

    \b
    Examples:
      quantainer cdi list
      quantainer cdi list --json
    """
    settings = configuration.load().values
    folders = [_folder(folder, settings) for folder in cdi.search_path(settings)]
    if as_json:
        print_json({"kind": cdi.KIND, "folders": folders})
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
    try:
        mode = folder.stat().st_mode
    except PermissionError:
        mode = None
    except OSError:
        mode = 0
    return {
        "path": str(folder),
        "note": _note(mode, readers),
        "read_by": readers,
        "exists": None if mode is None else stat.S_ISDIR(mode),
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


def _note(mode: int | None, readers: list[str]) -> str:
    if mode is None:
        return "closed to this user"
    if not stat.S_ISDIR(mode):
        return "does not exist"
    if not mode & stat.S_IXOTH:
        return "closed to other users: rootless engines read nothing here"
    if not readers:
        return "read by no engine by itself: see `quantainer runtime configure`"
    return f"read by {', '.join(readers)}"
