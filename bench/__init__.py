"""Benchmarks, run from the repository's root: `python -m bench.run NAME`.

All share harness; ops, networks, augment, trackers and evaluation hold the benchmarks, each with
its own defaults. They import no other room than harness; only `bench.run` knows all of them.
"""
