"""Settings: every value an operator may choose, and where the one in force came from."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from quantainer_client.errors import QuantainerError
from quantainer_client.sockets import runtime_folders

__all__ = ["Durability", "Resolved", "Settings", "parse_size", "platform_defaults", "resolve"]

Durability = Literal["normal", "full"]

ENVIRONMENT_PREFIX = "QUANTAINER_"

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMGT]?)(iB|B|i)?")
_POWER = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_size(value: Any) -> Any:
    """Turn ``"4GiB"``, ``"512M"`` or ``"1000"`` into bytes; units are powers of 1024.

    Raises:
        ValueError: If the text is not a size.
    """
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise ValueError(f"{value!r} is not a size such as 512MiB or 4GiB")
    number, unit, _ = match.groups()
    return int(float(number) * 1024 ** _POWER[unit])


def parse_table(value: Any) -> Any:
    """Turn the JSON text of an environment variable into a table.

    Raises:
        ValueError: If the text is not JSON.
    """
    return json.loads(value) if isinstance(value, str) else value


def absolute(value: str) -> str:
    """Return a path that means the same to the broker, its hooks and every command.

    Raises:
        ValueError: If it is relative.
    """
    if not value.startswith("/"):
        raise ValueError(f"{value!r} is not an absolute path")
    return value


Folder = Annotated[str, AfterValidator(absolute)]
Nodes = Annotated[dict[str, list[str]], BeforeValidator(parse_table)]
Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weights = Annotated[dict[str, Weight], BeforeValidator(parse_table)]
Size = Annotated[int, BeforeValidator(parse_size), Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseModel):
    """The configuration of one broker. ``None`` means: found out from the machine.

    Sizes are bytes, times are seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    runtime_dir: Folder = Field(description="Sockets and devices.json.")
    state_dir: Folder = Field(description="Database and results.")
    cdi_dir: Folder = Field("/var/run/cdi", description="Where the CDI specification is written.")
    socket_group: str | None = Field(None, description="Group that may use the host socket.")
    nodes: Nodes = Field(default_factory=dict, description="Device nodes by backend.")

    weights: Weights = Field(default_factory=dict, description="Shares of tenants; 1 if not named.")

    workers: Count | None = Field(None, description="Jobs that run at once.")
    threads: Count | None = Field(None, description="Threads of one job.")
    memory_limit: Size | None = Field(None, description="Memory that all jobs together may use.")
    memory_reserve: Size | None = Field(None, description="Memory kept free of jobs.")
    durability: Durability = Field("normal", description="full also survives loss of power.")
    results_age: Seconds = Field(7 * 86_400.0, description="How long results are kept.")
    results_bytes: Size = Field(10 * 1024**3, description="Results kept; the oldest go first.")
    jobs_age: Seconds = Field(30 * 86_400.0, description="How long ended jobs are listed.")

    shots_max: Count = Field(10_000_000, description="Shots of one circuit.")
    qubits_max: Count = Field(100_000, description="Declared qubits of one circuit.")
    gates_max: Count = Field(10_000_000, description="Operations of one circuit.")
    circuits_max: Count = Field(10_000, description="Circuits of one job.")
    payload_max: Size = Field(64 * 1024**2, description="Bytes of one submission.")
    result_max: Size = Field(1024**3, description="Bytes of one result.")

    job_timeout: Seconds = Field(3600.0, description="Longest run of one job.")
    plan_timeout: Seconds = Field(60.0, description="Longest reading of one submission.")
    stop_grace: Seconds = Field(10.0, description="For running jobs of a stopped container.")
    slow_reader_timeout: Seconds = Field(30.0, description="Patience with unread replies.")

    queue_length: Count = Field(100_000, description="Jobs that may wait on this node.")
    lease_queued_jobs: Count = Field(1000, description="Jobs that may wait per lease.")
    lease_concurrent_jobs: Count = Field(2, description="Jobs that may run at once per lease.")
    lease_connections: Count = Field(64, description="Open connections per lease.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="What the broker writes to its log."
    )


@dataclass(frozen=True, slots=True)
class Resolved:
    """The values in force; ``sources`` tells for each where it came from."""

    values: Settings
    sources: Mapping[str, str]

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return ``{key: {"value": …, "source": …}}``."""
        values = self.values.model_dump()
        return {key: {"value": values[key], "source": self.sources[key]} for key in values}


def platform_defaults(uid: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the directories for a user: the system's for root, XDG's for others."""
    own = runtime_folders(uid, environ)[0]
    if uid == 0:
        return {"runtime_dir": own, "state_dir": "/var/lib/quantainer"}
    runtime = environ.get("XDG_RUNTIME_DIR")
    state = environ.get("XDG_STATE_HOME") or f"{environ.get('HOME', '')}/.local/state"
    return {
        "runtime_dir": own,
        "state_dir": f"{state}/quantainer",
        "cdi_dir": f"{runtime}/cdi" if runtime else f"{own}/cdi",
    }


def resolve(
    file: Mapping[str, Any],
    environ: Mapping[str, str],
    flags: Mapping[str, Any],
    defaults: Mapping[str, Any],
    *,
    file_name: str = "configuration file",
) -> Resolved:
    """Settle every setting: flag over environment over file over default.

    Args:
        file: What the TOML file holds.
        environ: The process environment; only ``QUANTAINER_<KEY>`` names are read.
        flags: Command-line values; ``None`` means not given.
        defaults: Platform defaults for keys that the model leaves open.
        file_name: How messages and sources name the file.

    Raises:
        QuantainerError: ``invalid_option`` naming an unknown key, with the nearest one, or a value
            outside its range.
    """
    _refuse_unknown_keys(file, file_name)
    _refuse_misspelt_variables(environ)
    given = {key: value for key, value in flags.items() if value is not None}
    variables = {
        key: environ[name]
        for key in Settings.model_fields
        if (name := ENVIRONMENT_PREFIX + key.upper()) in environ
    }
    sources = dict.fromkeys(Settings.model_fields, "default")
    sources |= dict.fromkeys(file, file_name)
    sources |= {key: f"environment {ENVIRONMENT_PREFIX}{key.upper()}" for key in variables}
    sources |= dict.fromkeys(given, "flag")
    merged = {**defaults, **file, **variables, **given}
    try:
        values = Settings.model_validate(merged)
    except ValidationError as error:
        raise _invalid_value(error, sources) from None
    return Resolved(values, sources)


def _refuse_unknown_keys(file: Mapping[str, Any], file_name: str) -> None:
    for key in file:
        if key in Settings.model_fields:
            continue
        nearest = difflib.get_close_matches(key, Settings.model_fields, n=1)
        raise QuantainerError(
            "invalid_option",
            f"{file_name}: unknown key {key!r}.",
            hint=f"Did you mean {nearest[0]!r}?" if nearest else "See docs/configuration.md.",
        )


def _refuse_misspelt_variables(environ: Mapping[str, str]) -> None:
    """Refuse a variable that is nearly a setting; others share the prefix and are left alone."""
    for name in environ:
        key = name.removeprefix(ENVIRONMENT_PREFIX).lower()
        if not name.startswith(ENVIRONMENT_PREFIX) or key in Settings.model_fields:
            continue
        nearest = difflib.get_close_matches(key, Settings.model_fields, n=1, cutoff=0.85)
        if nearest:
            raise QuantainerError(
                "invalid_option",
                f"Environment variable {name} is no setting.",
                hint=f"Did you mean {ENVIRONMENT_PREFIX}{nearest[0].upper()}?",
            )


def _invalid_value(error: ValidationError, sources: Mapping[str, str]) -> QuantainerError:
    first = error.errors()[0]
    key = str(first["loc"][0]) if first["loc"] else "?"
    said, given = first["msg"].removeprefix("Value error, "), repr(first["input"])
    got = "" if given in said else f", got {given}"
    return QuantainerError(
        "invalid_option", f"Setting {key!r} ({sources.get(key, 'flag')}): {said}{got}."
    )
