"""Benchmarks: peers in the same run; medians, spread and ratios are printed."""
