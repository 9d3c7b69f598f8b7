"""Benchmarks: each compares with its peers in the same run and prints medians, spread and ratios."""
