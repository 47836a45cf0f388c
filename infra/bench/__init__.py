"""Benchmarks against the peers a user would pick: side by side, in one run, with ratios."""
