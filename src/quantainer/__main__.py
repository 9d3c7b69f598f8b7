"""``python -m quantainer`` is the ``quantainer`` command."""

from quantainer.cli.main import main

main()
