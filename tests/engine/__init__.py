"""A real Docker Engine for tests: fetched, unpacked, started on its own, and stopped again."""
