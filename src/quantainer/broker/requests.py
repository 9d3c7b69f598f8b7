"""Requests: what callers may send, checked field by field before anything acts on it.

Types are strict: ``true`` is no number, ``"42"`` is no seed, unknown fields are errors. Every
refusal names the field.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from quantainer.core import seed as seeds
from quantainer_client.errors import QuantainerError

__all__ = [
    "JobRequest",
    "LeaseOpen",
    "ListRequest",
    "OptionsRequest",
    "ParametersRequest",
    "PubRequest",
    "Reference",
    "ResultRequest",
    "Submission",
    "WaitRequest",
    "parse",
]

Finite = Annotated[float, Field(allow_inf_nan=False)]
Offset = Annotated[int, Field(ge=0, lt=2**48)]
JobId = Annotated[str, Field(min_length=1, max_length=64)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Reference(_Strict):
    """Bytes of the payload that hold the JSON text of a list too long for the message."""

    offset: Offset
    length: Offset


class ParametersRequest(_Strict):
    """``float64[rows, len(names)]`` at ``offset`` of the payload; names bind, order does not."""

    names: list[str] | Reference
    offset: Offset
    rows: Annotated[int, Field(ge=1)] = 1


class PubRequest(_Strict):
    """One circuit with its parameters, shots or observables."""

    offset: Offset
    length: Annotated[int, Field(ge=0)]
    format: str | None = None
    name: Annotated[str, Field(max_length=256)] = ""
    shots: Any = None
    parameters: ParametersRequest | None = None
    inputs: Annotated[dict[str, Any], Field(max_length=1024)] = {}
    circuit: Annotated[str, Field(max_length=256)] | None = None
    observables: list[Any] | Reference | None = None
    pairs: list[Any] | Reference | None = None
    precision: Annotated[Finite, Field(ge=0)] = 0.0


class OptionsRequest(_Strict):
    """What the submitter may choose of the execution."""

    method: str | None = None
    engine: str | None = None
    precision: Literal["single", "double"] | None = None
    truncation_max: Annotated[Finite, Field(ge=0, le=1)] = 1e-3
    level: Annotated[int, Field(ge=0, le=3)] = 1


class _Request(_Strict):
    v: Literal[1]
    id: int | None = None
    op: str


class Submission(_Request):
    """``submit`` and ``estimate``."""

    backend: str = "qsim"
    wait: bool = False
    counts: bool = False
    shots: Any = 1024
    seed: Any = None
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    timeout: Annotated[Finite, Field(gt=0)] | None = None
    options: OptionsRequest = OptionsRequest()
    pubs: Annotated[list[PubRequest], Field(min_length=1)] | Reference

    def check_values(self, shots_max: int) -> None:
        """Refuse seeds and shot numbers outside their range.

        Raises:
            QuantainerError: ``invalid_seed`` or ``invalid_shots``.
        """
        if self.seed is not None:
            seeds.checked(self.seed)
        check_shots(self.shots, shots_max)


class JobRequest(_Request):
    """``cancel``: names one job."""

    job: JobId


class WaitRequest(JobRequest):
    """``wait``: until the job ends, at most ``timeout`` seconds."""

    timeout: Annotated[Finite, Field(ge=0)] | None = None


class ResultRequest(JobRequest):
    """``result`` of an ended job; with ``timeout``, of one that ends within so many seconds.

    With ``partial``, at once: what is durable of a job that is not done, or never will be.
    """

    counts: bool = False
    partial: bool = False
    timeout: Annotated[Finite, Field(ge=0)] | None = None


class HelloRequest(_Request):
    """``hello``: the caller says what it is, for the log."""

    client: Annotated[str, Field(max_length=256)] | dict[str, Any] | None = None


class BackendsRequest(_Request):
    """``backends``: all, or every fact of one."""

    name: str | None = None


class ListRequest(_Request):
    """``jobs`` of the caller, or one; ``all`` of every tenant is for the operator."""

    all: bool = False
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000
    job: JobId | None = None


class PlainRequest(_Request):
    """An operation without fields of its own."""


class LimitsRequest(_Strict):
    """Quotas of a lease; absent means the node's own."""

    qubits: Annotated[int, Field(ge=1)] | None = None
    memory_bytes: Annotated[int, Field(ge=1)] | None = None
    concurrent_jobs: Annotated[int, Field(ge=1)] | None = None
    queued_jobs: Annotated[int, Field(ge=1)] | None = None
    shots_per_second: Annotated[int, Field(ge=1)] | None = None


class LeaseOpen(_Request):
    """``lease.open``: a container is being created.

    ``pid`` is the container's first process: the broker itself reads its control group. ``cgroup``
    names the group where no process exists yet.
    """

    container: Annotated[str, Field(min_length=1, max_length=256)]
    pid: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    cgroup: Annotated[str, Field(pattern=r"^/.+")] | None = None
    tenant: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    image: Annotated[str, Field(max_length=4096)] | None = None
    annotations: Annotated[dict[str, str], Field(max_length=64)] = {}
    environment: Annotated[dict[str, str], Field(max_length=8)] = {}
    backends: Annotated[list[str], Field(min_length=1)] = ["qsim"]
    mode: Literal["local", "hybrid", "qpu"] = "hybrid"
    limits: LimitsRequest = LimitsRequest()
    anchor: Literal["cgroup", "pidns"] = "cgroup"


class LeaseRequest(_Request):
    """``lease.close``, ``lease.pause``, ``lease.unpause``: by lease or by container."""

    lease: str | None = None
    container: str | None = None
    drain: bool = True


Model = TypeVar("Model", bound=_Strict)


def parse(model: type[Model], message: Any, where: str = "") -> Model:
    """Check a message against its model; ``where`` goes before the names of fields in errors.

    Raises:
        QuantainerError: ``bad_request`` (``invalid_option`` below ``options``) naming the field.
    """
    try:
        return model.model_validate(message)
    except ValidationError as error:
        raise _refusal(error, where) from None


def _refusal(error: ValidationError, where: str) -> QuantainerError:
    # Of a union's branches the deepest location is the one the caller meant.
    first = max(error.errors(include_url=False), key=lambda item: len(item["loc"]))
    steps = [str(step) for step in first["loc"]]
    field = ".".join(step for step in steps if not _names_branch(step)) or "message"
    code = "invalid_option" if first["loc"][:1] == ("options",) else "bad_request"
    shown = repr(first["input"])
    shown = shown if len(shown) <= 80 else shown[:77] + "…"
    return QuantainerError(code, f"Field {where + field!r}: {first['msg']}, got {shown}.")


def _names_branch(step: str) -> bool:
    """Tell whether a step of a location names a branch of a union and not a field."""
    return step in ("Reference", "str") or "[" in step


def check_shots(value: Any, limit: int) -> int:
    """Return ``value`` if it is a number of shots.

    Raises:
        QuantainerError: ``invalid_shots`` for anything but an ``int`` from 1 to ``limit``.
    """
    if type(value) is int and 1 <= value <= limit:
        return value
    shown = value if isinstance(value, int | float | str) else repr(value)
    raise QuantainerError(
        "invalid_shots",
        f"The number of shots must be an integer from 1 to {limit}, not {value!r}.",
        limit=limit,
        needed=shown,
        hint="Split the work into several jobs." if type(value) is int and value > limit else None,
    )
