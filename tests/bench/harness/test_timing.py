"""The statistics of durations."""

from __future__ import annotations

from bench.harness import timing


def test_durations_are_medians_and_quartiles_in_milliseconds() -> None:
    durations = timing.Durations((0.001, 0.002, 0.003, 0.004, 0.005))
    assert durations.as_json() == {"median": 3.0, "q1": 2.0, "q3": 4.0, "calls": 5}
