"""Containers on real engines, end to end."""
