"""What a user asks of ``quantainer run``: ``docker run``'s options, read without being understood.

Only what concerns the quantum device is changed; every other word reaches the engine as it was
written. So options of engines that do not exist yet work, as long as they take a value.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from quantainer.device import cdi, guest
from quantainer_client.errors import QuantainerError

__all__ = ["Option", "Request", "parse"]

MODES = ("local", "hybrid", "qpu")

# Options of docker run and podman run that stand alone; every other one takes a value.
_FLAGS = frozenset(
    {
        *("detach", "interactive", "tty", "rm", "init", "privileged", "read-only", "quiet"),
        *("publish-all", "no-healthcheck", "oom-kill-disable", "sig-proxy", "help"),
        *("disable-content-trust", "use-api-socket", "env-host", "http-proxy", "no-hostname"),
        *("no-hosts", "passwd", "replace", "rmi", "rootfs", "tls-verify", "unsetenv-all"),
        *("read-only-tmpfs",),
    }
)
_SHORT = {
    **{"d": "detach", "i": "interactive", "t": "tty", "P": "publish-all", "q": "quiet"},
    **{"a": "attach", "c": "cpu-shares", "e": "env", "h": "hostname", "l": "label"},
    **{"m": "memory", "p": "publish", "u": "user", "v": "volume", "w": "workdir"},
}


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its long name, its value (``None`` for a flag), and the words it was given in."""

    name: str
    value: str | None
    words: tuple[str, ...]

    @property
    def on(self) -> bool:
        """Tell whether a flag is set (``--rm``, ``--rm=true``)."""
        return self.value is None or self.value.lower() in ("true", "1", "t")


@dataclass(frozen=True, slots=True)
class Request:
    """A container to run.

    Attributes:
        engine: ``auto``, ``docker``, ``podman`` or ``embedded``.
        options: The options as given, quantum ones taken out.
        devices: CDI device names of our kind, in the order asked for.
        annotations: ``quantum.*`` from ``--security-opt`` and ``--annotation``.
    """

    image: str
    command: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    devices: tuple[str, ...] = ()
    annotations: dict[str, str] = field(default_factory=dict)
    engine: str = "auto"

    def values(self, name: str) -> list[str]:
        """Return every value given for an option."""
        return [option.value or "" for option in self.options if option.name == name]

    def flag(self, name: str) -> bool:
        """Tell whether a flag is set; the last one counts."""
        return any([option.on for option in self.options if option.name == name][-1:])

    def without(self, name: str) -> Request:
        """Return the request without an option."""
        kept = tuple(option for option in self.options if option.name != name)
        return replace(self, options=kept)

    def words(self) -> list[str]:
        """Return the arguments of ``docker run`` or ``podman run``."""
        words = [word for option in self.options for word in option.words]
        for device in self.devices:
            words += ["--device", cdi.qualified(device)]
        for key, value in self.annotations.items():
            words += ["--annotation", f"{key}={value}"]
        if self.devices and (path := self.pythonpath()) is not None:
            words += ["--env", f"QUANTAINER_PYTHONPATH={path}"]
        return [*words, self.image, *self.command]

    def pythonpath(self) -> str | None:
        """Return the ``PYTHONPATH`` that the user gave, which the device's own will replace."""
        # What a pipe (``--env-file <(…)``) holds can be read once: by the engine.
        files = [file for file in self.values("env-file") if not Path(file).is_fifo()]
        for entry in reversed(_variables(files) + self.values("env")):
            name, equals, value = entry.partition("=")
            if name == "PYTHONPATH" and not equals:
                value = os.environ.get(name, "")  # that of whoever runs this
            if name == "PYTHONPATH" and (equals or value):
                return ":".join(part for part in value.split(":") if part != guest.FOLDER)
        return None

    def environment(self) -> list[str]:
        """Return the ``NAME=value`` words of ``--env-file`` and ``--env``, later ones counting."""
        return _variables(self.values("env-file")) + self.values("env")


def parse(words: Iterable[str], known: Iterable[str] = ()) -> Request:
    """Read the words after ``quantainer run``.

    Args:
        known: Backends of this node, so that ``--device /dev/NAME`` means one of them.

    Raises:
        QuantainerError: ``bad_request`` for an option without its value or a missing image,
            ``invalid_option`` for an unknown mode or engine.
    """
    options, rest = _split(list(words))
    if not rest:
        raise QuantainerError(
            "bad_request",
            "No image is named.",
            hint="quantainer run [OPTIONS] IMAGE [COMMAND]; see quantainer run --help.",
        )
    request = Request(rest[0], tuple(rest[1:]))
    known = frozenset(known)
    for option in options:
        request = _take(request, option, known)
    return request


def _split(words: list[str]) -> tuple[list[Option], list[str]]:
    """Part the options from the image and its command."""
    options: list[Option] = []
    while words:
        word = words[0]
        if word == "--":
            return options, words[1:]
        if not word.startswith("-") or word == "-":
            break
        found, used = _long(words) if word.startswith("--") else _cluster(words)
        options += found
        del words[:used]
    return options, words


def _long(words: list[str]) -> tuple[list[Option], int]:
    name, equals, value = words[0][2:].partition("=")
    if equals:
        return [Option(name, value, (words[0],))], 1
    if name in _FLAGS:
        return [Option(name, None, (words[0],))], 1
    if len(words) < 2:
        raise QuantainerError("bad_request", f"Option --{name} needs a value.")
    return [Option(name, words[1], (words[0], words[1]))], 2


def _cluster(words: list[str]) -> tuple[list[Option], int]:
    """Read ``-it`` or ``-v/a:/b`` or ``-itw /app``."""
    letters = words[0][1:]
    options: list[Option] = []
    for index, letter in enumerate(letters):
        name = _SHORT.get(letter, letter)
        rest = letters[index + 1 :]
        if name in _FLAGS and not rest.startswith("="):
            options.append(Option(name, None, (f"-{letter}",)))
            continue
        if rest:
            value = rest.removeprefix("=")
            return [*options, Option(name, value, (f"-{letter}{rest}",))], 1
        if len(words) < 2:
            raise QuantainerError("bad_request", f"Option -{letter} needs a value.")
        return [*options, Option(name, words[1], (f"-{letter}", words[1]))], 2
    return options, 1


def _take(request: Request, option: Option, known: frozenset[str]) -> Request:
    """Add an option, or what it means for the quantum device."""
    value = option.value or ""
    if option.name == "engine":
        return replace(request, engine=_one_of("--engine", value, ENGINES))
    if option.name == "device" and (device := _device(value, known)):
        if device in request.devices:
            return request
        return replace(request, devices=(*request.devices, device))
    if option.name in ("security-opt", "annotation") and value.startswith("quantum."):
        key, _, setting = value.partition("=")
        if key == "quantum.mode":
            _one_of(f"--{option.name} quantum.mode", setting, MODES)
        return replace(request, annotations=request.annotations | {key: setting})
    return replace(request, options=(*request.options, option))


ENGINES = ("auto", "docker", "podman", "embedded")


def _one_of(what: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise QuantainerError(
            "invalid_option", f"{what} is one of {', '.join(choices)}, not {value!r}."
        )
    return value


def _device(value: str, known: frozenset[str]) -> str | None:
    """Return the CDI device that a ``--device`` value means, if it means one of ours."""
    if value.startswith(f"{cdi.KIND}="):
        return value.removeprefix(f"{cdi.KIND}=")
    path, _, where = value.partition(":")
    name = _named(path, known)
    target = where.partition(":")[0]
    if name is not None and target.startswith("/") and target != path:
        raise QuantainerError(
            "invalid_option",
            f"--device {value}: a quantum device cannot be at {target} in the container.",
            hint=f"Use --device {path}: programs find it at {cdi.DEVICE_FOLDER}.",
        )
    return name


def _named(path: str, known: frozenset[str]) -> str | None:
    if path in ("/dev/qsim", "/dev/quantum", "/dev/quantum/qsim"):
        return "qsim"
    folder, _, name = path.rpartition("/")
    if folder == "/dev/quantum" or (folder == "/dev" and name in known):
        return name
    return None


def _variables(files: Iterable[str]) -> list[str]:
    return [line for file in files for line in _lines(Path(file))]


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise QuantainerError("bad_request", f"--env-file {file}: {reason}.") from None
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
