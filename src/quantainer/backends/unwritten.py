"""Unwritten: classical bits that no measurement of a circuit writes."""

from __future__ import annotations

from quantainer.backends.backend import Pub
from quantainer.backends.simulators.program import Program
from quantainer_client.errors import QuantainerError

__all__ = ["check_sampling", "unwritten_notes"]


def check_sampling(pub: Pub, program: Program) -> None:
    """Refuse to sample what yields nothing.

    Raises:
        QuantainerError: ``no_measurement`` or ``invalid_shots``.
    """
    if not program.written:
        names = _bit_names(pub)
        what = f"No measurement writes bit {names[0]}" if names else "There are no classical bits"
        more = f" (nor any other of {len(names)})" if len(names) > 1 else ""
        raise QuantainerError(
            "no_measurement",
            f"{what}{more}: sampling {pub.circuit.name or 'the circuit'} yields nothing.",
            hint="Add measurements (measure_all() in Qiskit), or ask an SDK's estimator for "
            "expectation values.",
        )
    if pub.shots is None or pub.shots < 1:
        raise QuantainerError(
            "invalid_shots", f"Sampling needs at least one shot, not {pub.shots}.", needed=1
        )


def unwritten_notes(pub: Pub, program: Program) -> list[str]:
    """Return a note that names the bits no measurement writes, if there are any."""
    if pub.observables:
        return []
    unwritten = sorted(set(range(pub.facts.clbits)).difference(program.written))
    if not unwritten:
        return []
    known = _bit_names(pub)
    names = [known[bit] for bit in unwritten]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return [f"no measurement writes bit {', '.join(names[:4])}{more}: always 0"]


def _bit_names(pub: Pub) -> list[str]:
    """Return the name of each classical bit: by its first register, else ``clbit[i]``."""
    circuit = pub.circuit.program
    names = [f"clbit[{index}]" for index in range(circuit.num_clbits)]
    for index, bit in enumerate(circuit.clbits):
        registers = circuit.find_bit(bit).registers
        if registers:
            names[index] = f"{registers[0][0].name}[{registers[0][1]}]"
    return names
