"""Payloads: what callers sent, held as descriptors by digest while it may be used again."""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b

from quantainer.broker.store import Store
from quantainer_client.payload import Payload

__all__ = ["Payloads", "Upload", "digest_of"]

_ENTRIES = 256
_BYTES = 256 * 1024**2


def digest_of(data: memoryview) -> str:
    """Return the name of a payload."""
    return blake2b(data, digest_size=20).hexdigest()


@dataclass(frozen=True, slots=True)
class Upload:
    """A payload that came with a request; whoever holds it closes it or hands it on."""

    fd: int
    data: memoryview
    digest: str

    def close(self) -> None:
        """Close its descriptor: it is not needed any more."""
        os.close(self.fd)


class Payloads:
    """Descriptors of recent payloads; older ones come back from the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._bytes = 0

    def hold(self, upload: Upload) -> None:
        """Take over the descriptor of a payload that a job needs."""
        self._hold(upload.digest, upload.fd, len(upload.data))

    def _hold(self, digest: str, fd: int, size: int) -> None:
        if digest in self._held:
            self._held.move_to_end(digest)
            os.close(fd)
            return
        self._held[digest] = fd, size
        self._bytes += size
        while len(self._held) > _ENTRIES or (self._bytes > _BYTES and len(self._held) > 1):
            _, (oldest, freed) = self._held.popitem(last=False)
            self._bytes -= freed
            os.close(oldest)

    def descriptor(self, digest: str) -> int:
        """Return a descriptor that stays open until the next call of this class.

        Raises:
            QuantainerError: ``storage`` if the payload is neither held nor stored.
        """
        held = self._held.get(digest)
        if held is not None:
            self._held.move_to_end(digest)
            return held[0]
        data = self._store.payload(digest)
        payload = Payload()
        payload.append(data)
        fd = payload.seal("quantainer-payload")
        self._hold(digest, fd, len(data))
        return fd

    def close(self) -> None:
        """Close every descriptor."""
        for fd, _ in self._held.values():
            os.close(fd)
        self._held.clear()
        self._bytes = 0
