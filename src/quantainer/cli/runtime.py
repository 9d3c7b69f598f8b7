"""``quantainer runtime``: make Docker, Podman or containerd ready for the device."""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from quantainer.broker import configuration as settings_file
from quantainer.cli.refusal import MisuseError
from quantainer.engines import configuration
from quantainer.engines.configuration import Change
from quantainer_client.errors import QuantainerError

__all__ = ["app"]

app = typer.Typer(
    help="Make Docker, Podman or containerd ready for the device.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


class EngineName(StrEnum):
    """Engines with a configuration of their own."""

    docker = "docker"
    podman = "podman"
    containerd = "containerd"


@app.callback()
def _group() -> None:
    """Keep ``configure`` a subcommand although it is the only one."""


@app.command()
def configure(
    engine: Annotated[
        EngineName | None, typer.Option(help="Engine whose configuration is edited.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="File to edit.")] = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Key of Docker's daemon.json, such as features.x=true.",
        ),
    ] = None,
    plugin: Annotated[
        bool, typer.Option("--plugin", help="Install `docker quantum` for this user.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the change only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print facts as JSON.")] = False,
) -> None:
    """Let an engine's configuration know the devices.

    Unknown keys are kept, and the file as it was is kept beside it. The engine is not restarted.

    \b
    Examples:
      quantainer runtime configure --engine docker --dry-run
      quantainer runtime configure --plugin
    """
    if engine is None and not plugin:
        raise MisuseError(
            "invalid_option",
            "Nothing is named to configure.",
            hint="Add --engine docker, podman or containerd, or --plugin.",
        )
    facts: dict[str, Any] = {"dry_run": dry_run}
    if engine is not None:
        change = _change(engine, config, values or [])
        backup = change.apply() if change.needed and not dry_run else None
        facts["configuration"] = {**change.to_dict(), "backup": backup and str(backup)}
    if plugin:
        facts["plugin"] = str(_install_plugin(dry_run=dry_run))
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    _tell(facts)


def _change(engine: EngineName, config: Path | None, values: list[str]) -> Change:
    folder = Path(settings_file.load().values.cdi_dir)
    path = config or _default_path(engine)
    if engine is EngineName.docker:
        return configuration.docker(path, folder, dict(map(_pair, values)))
    if values:
        raise MisuseError("invalid_option", f"--set is for Docker, not for {engine.value}.")
    if engine is EngineName.podman:
        return configuration.podman(path, folder)
    return configuration.containerd(path, folder)


def _default_path(engine: EngineName) -> Path:
    """Return the engine's file: the system's for root, the user's own otherwise."""
    root = os.geteuid() == 0
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    paths = {
        EngineName.docker: (Path("/etc/docker/daemon.json"), home / "docker/daemon.json"),
        EngineName.podman: (
            Path("/etc/containers/containers.conf.d/quantainer.conf"),
            home / "containers/containers.conf.d/quantainer.conf",
        ),
        EngineName.containerd: (Path("/etc/containerd/config.toml"),) * 2,
    }
    return paths[engine][0 if root else 1]


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise MisuseError("invalid_option", f"--set {text}: KEY=VALUE is needed.")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def _install_plugin(*, dry_run: bool) -> Path:
    """Put ``docker-quantum`` where the Docker command line looks for plugins."""
    home = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    link = home / "cli-plugins" / "docker-quantum"
    program = Path(sys.argv[0]).absolute().with_name("docker-quantum")
    if not program.exists():
        program = Path(sys.executable).with_name("docker-quantum")
    if dry_run:
        return link
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(program)
    except OSError as error:
        raise QuantainerError(
            "invalid_option", f"{link} cannot be written: {error.strerror}."
        ) from None
    return link


def _tell(facts: dict[str, Any]) -> None:
    would = "would be " if facts["dry_run"] else ""
    change = facts.get("configuration")
    if change and not change["changed"]:
        typer.echo(f"{change['path']}: nothing to change.")
    elif change:
        typer.echo(change["diff"], nl=False)
        typer.echo(f"{change['path']} {would or 'is '}changed. Then: {change['restart']}")
        if change["backup"]:
            typer.echo(f"The file as it was: {change['backup']}")
    if "plugin" in facts:
        typer.echo(f"{facts['plugin']} {would or 'is '}installed: docker quantum run …")
