"""``python -m quantainer_client``: the device from a shell that has no SDK.

Exit codes: 0 done, 1 refused or failed, 2 usage.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys

from quantainer_client import __version__
from quantainer_client.connection import connect
from quantainer_client.errors import QuantainerError
from quantainer_client.includes import with_includes
from quantainer_client.inputs import inputs_of
from quantainer_client.source import read_source
from quantainer_client.submission import Pub, checked_timeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional

    from quantainer_client.result import Result

__all__ = ["main"]


def main(arguments: Optional[List[str]] = None) -> int:
    """Run one command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # bars are drawn, and ASCII has none
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
        sys.stdout.flush()
    except QuantainerError as error:
        _print_refusal(error)
        return getattr(error, "exit_code", 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m quantainer_client", description="The container's quantum device."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run a circuit file and show what was measured")
    run.add_argument("file", help="circuit in any format the broker reads, or - for standard input")
    run.add_argument("--shots", default="1000", help="number of shots (default: 1000)")
    run.add_argument(
        "--backend", "-B", help="device to use (default: qsim, or else the only one granted)"
    )
    run.add_argument("--seed", help="integer from 0 to 2^63 - 1 (default: fresh entropy)")
    run.add_argument("--method", help="simulation method (default: the broker chooses)")
    run.add_argument("--engine", help="simulation engine (default: the broker chooses)")
    run.add_argument(
        "--truncation-max",
        type=_share,
        metavar="SHARE",
        help="weight that a matrix product state may lose, 0 to 1 (default: 0.001)",
    )
    run.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="OpenQASM 3: value of an input variable; repeatable",
    )
    run.add_argument(
        "--circuit", metavar="NAME", help="QPY and QIR: which of several circuits in the file"
    )
    run.add_argument("--timeout", type=_seconds, help="seconds for the job (default: an hour)")
    run.set_defaults(command=_run)

    devices = commands.add_parser("devices", help="list the backends this container was granted")
    devices.set_defaults(command=_devices)

    hello = commands.add_parser("hello", help="show the broker, its limits and the lease")
    hello.set_defaults(command=_hello)

    for command in (run, devices, hello):
        command.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _run(options: argparse.Namespace) -> None:
    chosen = {
        "method": options.method,
        "engine": options.engine,
        "truncation_max": options.truncation_max,
    }
    base = os.path.basename(options.file)  # noqa: PTH119
    name = "" if options.file == "-" else os.fsencode(base).decode("utf-8", "replace")
    program = with_includes(read_source(options.file), options.file)
    connection = connect()
    pub = Pub(program.data, name=name, inputs=_inputs(options.input), circuit_name=options.circuit)
    with program.located():
        job = connection.submit(
            pub,
            backend=options.backend,
            shots=_integer(options.shots, "invalid_shots", "--shots"),
            seed=None if options.seed is None else _integer(options.seed, "invalid_seed", "--seed"),
            timeout=options.timeout,
            options={name: value for name, value in chosen.items() if value is not None},
        )
    try:
        with program.located():
            result = job.result()
    except KeyboardInterrupt:
        job.cancel()
        raise
    if options.json:
        _print_json(result.to_dict())
    else:
        _print_result(result)


def _devices(options: argparse.Namespace) -> None:
    backends = connect().backends()
    if options.json:
        _print_json(backends)
        return
    if not backends:
        print(
            "none: the container's mode (quantum.mode) or its device grants no backend here",
            file=sys.stderr,
        )
    for backend in backends:
        width = f"{backend['qubits']} qubits"
        if backend.get("clifford_qubits", 0) > backend["qubits"]:
            width += f" ({backend['clifford_qubits']} for Clifford circuits)"
        print(f"{backend['name']:<20} {backend['kind']:<10} {backend['status']:<12} {width}")


def _hello(options: argparse.Namespace) -> None:
    reply = {name: value for name, value in connect().hello().items() if name not in _ENVELOPE}
    if options.json:
        _print_json(reply)
        return
    lease = reply.get("lease") or {}
    print(f"broker {reply.get('broker')}, protocol {reply.get('protocol')}")
    print(f"lease  {lease.get('id')}: {', '.join(lease.get('backends', []))}")
    for name, value in (reply.get("limits") or {}).items():
        print(f"limit  {name}: {value}")


_ENVELOPE = ("v", "id", "ok")


def _integer(text: str, code: str, option: str) -> int:
    """Return an option's integer; what is none is refused like a value out of range."""
    try:
        return int(text)
    except ValueError:
        raise QuantainerError(code, f"{option} takes an integer, not {text!r}.") from None


def _inputs(texts: List[str]) -> Dict[str, Any]:
    """Return the values of inputs; a text that can never be one is misuse, and exits with 2."""
    try:
        return inputs_of(texts)
    except QuantainerError as error:
        raise _MisuseError(error.code, error.message, hint=error.hint) from None


class _MisuseError(QuantainerError):
    exit_code = 2


def _seconds(text: str) -> float:
    """Return a number of seconds; what can never be one is misuse, and exits with 2."""
    try:
        return checked_timeout(float(text))
    except (ValueError, QuantainerError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a finite number of seconds above 0"
        ) from None


def _share(text: str) -> float:
    """Return a share of a whole; what can never be one is misuse, and exits with 2."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return number


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


def _print_result(result: Result) -> None:
    import shutil

    from quantainer_client.histogram import histogram, legend

    fields = result.to_dict()
    metadata = fields["metadata"]
    print(
        f"{fields['shots']} shots on {fields['backend']} ({fields['method']}, "
        f"{metadata.get('engine')} {metadata.get('engine_version')}), seed {metadata.get('seed')}"
    )
    print(histogram(fields["counts"], shutil.get_terminal_size().columns))
    named = legend(fields["registers"])
    if named:
        print(named)
    for note in metadata.get("notes") or ():
        print(f"note: {note}")


def _print_refusal(error: QuantainerError) -> None:
    print(f"quantainer: {error.message}", file=sys.stderr)
    unit = " bytes" if error.code == "out_of_memory" else ""
    figures = {"limit": error.limit, "needed": error.needed}
    said = [f"{name}: {value}{unit}" for name, value in figures.items() if value is not None]
    if said:
        print(f"  {'; '.join(said)}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
