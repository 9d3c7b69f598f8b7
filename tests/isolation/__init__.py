"""Attempts to escape, as tests. ``docs/isolation.md`` lists them."""
