"""Benchmarks, run from the repository's root: `python -m bench.run NAME`.

harness is what all share, and ops, networks and augment hold the benchmarks, each with its own
defaults. They import harness and no other room; `bench.run` alone knows which there are.
"""
