"""Shortage: what the kernel answers when descriptors or memory are out, which says nothing else."""

from __future__ import annotations

import errno

from quantainer_client.errors import QuantainerError

__all__ = ["refuse_shortage"]

_SHORTAGE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


def refuse_shortage(error: OSError) -> None:
    """Refuse what cannot be answered now, instead of taking what was looked for as gone.

    Raises:
        QuantainerError: ``queue_full``, if the error is a shortage.
    """
    if error.errno in _SHORTAGE:
        raise QuantainerError(
            "queue_full",
            f"The broker cannot look at processes now: {error.strerror}.",
            hint="Try again later, or raise the broker's limit of open files (LimitNOFILE=).",
        ) from None
