"""Floor 5: container engines: Docker, Podman, and one embedded."""
