"""The embedded engine: containers by bubblewrap, for hosts without Docker or Podman.

A container has the file tree of a folder or a part of the host's, read-only, no network, and pid,
ipc, uts and user namespaces of its own. It runs as root and as an ordinary user.
"""
