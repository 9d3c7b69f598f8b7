# ruff: noqa: UP032, PTH100, PTH120 - any Python 3, and imports cost every start
"""Runs at the start of every Python in a container with a quantum device.

The device puts this folder on ``PYTHONPATH``, and engines then drop the value that the image or
``--env`` gave. Here it is put back: from ``QUANTAINER_PYTHONPATH`` (set by ``quantainer run`` and
for child processes), else from the lease. After that the image's own ``sitecustomize`` runs, which
this one hides. Works on every Python 3, with or without a virtual environment.
"""

import os
import sys

SOCKET = "/dev/quantum/qvm.sock"
HERE = os.path.dirname(os.path.abspath(__file__))


def lease_pythonpath() -> str:
    """Ask the broker what ``PYTHONPATH`` the container was created with; '' if it had none."""
    import _socket  # ``socket`` would cost every start ten milliseconds

    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        # With a timeout set, connect would not wait for a place in a full queue.
        word = 8 if sys.maxsize > 2**32 else 4
        limit = (2).to_bytes(word, sys.byteorder) + bytes(word)  # seconds, microseconds
        connection.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, limit)
        connection.connect(os.environ.get("QUANTAINER_SOCKET", SOCKET))
        connection.settimeout(2)
        connection.send(b'{"v": 1, "id": 0, "op": "hello", "client": "sitecustomize"}')
        reply = connection.recv(65536)
    finally:
        connection.close()
    if b'"PYTHONPATH"' not in reply:
        return ""
    import json  # only for the few images that need it

    return str(json.loads(reply.decode("utf-8"))["lease"]["environment"]["PYTHONPATH"])


def restore_pythonpath() -> None:
    """Put the image's entries behind ours, for this process and for its children."""
    path = os.environ.get("QUANTAINER_PYTHONPATH")
    if path is None:
        path = lease_pythonpath()
        os.environ["QUANTAINER_PYTHONPATH"] = path
    entries = [os.path.abspath(entry) for entry in path.split(os.pathsep)] if path else []
    missing = [entry for entry in entries if entry not in sys.path]
    position = sys.path.index(HERE) + 1 if HERE in sys.path else 0
    sys.path[position:position] = missing
    ours = os.environ.get("PYTHONPATH", HERE)
    if missing and ours.split(os.pathsep) == [HERE]:
        os.environ["PYTHONPATH"] = os.pathsep.join([HERE, path])


def run_hidden_sitecustomize() -> None:
    """Run the image's own ``sitecustomize``, as if ours were not there."""
    from importlib.machinery import PathFinder  # frozen, loaded already

    spec = PathFinder.find_spec("sitecustomize", [entry for entry in sys.path if entry != HERE])
    if spec is None or spec.loader is None:
        return
    module = type(sys)("sitecustomize")
    module.__spec__, module.__file__ = spec, spec.origin
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


try:
    restore_pythonpath()
except Exception as error:
    sys.stderr.write(
        "quantainer: a PYTHONPATH of the image itself is not restored, since the broker does not "
        "answer ({}). Set QUANTAINER_PYTHONPATH in the container to do without it.\n".format(error)
    )
run_hidden_sitecustomize()
