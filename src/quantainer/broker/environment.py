"""Environment: what worker processes inherit of the broker's: names listed here, and no others.

Workers read circuits of tenants. The broker's own environment may hold what a vendor's client needs
(tokens, keys, proxies with passwords), and none of that is theirs.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["INHERITED", "worker_environment"]

INHERITED = frozenset(
    {
        "PATH",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "TZ",
        "TMPDIR",
        # Where interpreter and libraries are, if they are not where the system looks.
        "LD_LIBRARY_PATH",
        "PYTHONHOME",
        "PYTHONPATH",
        # Which accelerators the broker itself was given.
        "CUDA_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
    }
)
_INHERITED_PREFIXES = ("OMP_", "KMP_", "GOMP_")


def worker_environment(threads: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of workers: threads as granted, waits that leave the CPU to others.

    OpenMP threads that spin until they are needed cost up to 45 times on a shared machine; those
    that sleep at once need a seventh more on an idle one. Some microseconds of spinning, the gap
    from one gate to the next, cost neither.

    Args:
        threads: The thread grant.
        environ: The broker's environment; only ``INHERITED`` names and OpenMP's are taken from it.
    """
    count = str(threads)
    inherited = {
        name: value
        for name, value in environ.items()
        if name in INHERITED or name.startswith(_INHERITED_PREFIXES)
    }
    return {
        **inherited,
        "OMP_NUM_THREADS": count,
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "300",
        "OPENBLAS_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "RAYON_NUM_THREADS": count,
        "QISKIT_PARALLEL": "FALSE",
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",
    }
