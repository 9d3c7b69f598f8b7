"""Floor 6: one file per subcommand."""
