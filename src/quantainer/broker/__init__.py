"""Floor 3: the daemon: admission, fair queue, workers, store."""
