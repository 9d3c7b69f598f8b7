"""``python -m quantainer`` is the ``quantainer`` command."""

from quantainer.cli.entry import main

main()
