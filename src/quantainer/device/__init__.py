"""Floor 4: what a container sees: the device socket, its CDI spec and its hooks."""
