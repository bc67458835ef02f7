"""The spread over seeds."""

from __future__ import annotations

import numpy as np
import pytest

from vidgap_vis.evaluation.spread import spread


def test_three_seeds_have_a_mean_a_spread_and_an_interval_of_the_mean():
    found = spread([0.40, 0.44, 0.45])
    assert (found.n, found.num_undefined, found.min, found.max) == (3, 0, 0.40, 0.45)
    assert found.mean == pytest.approx(0.43)
    assert found.sd == pytest.approx(0.0264575)
    reach = 4.302653 * 0.0264575 / 3**0.5  # t of 2 degrees of freedom
    assert [found.low, found.high] == pytest.approx([0.43 - reach, 0.43 + reach], abs=1e-6)
    assert str(found) == "43.0 ± 2.6 (n = 3)"


def test_one_seed_has_no_spread():
    found = spread([0.4])
    assert (found.n, found.mean, found.min, found.max) == (1, 0.4, 0.4, 0.4)
    assert (found.sd, found.low, found.high) == (None, None, None)
    assert str(found) == "40.0 (n = 1)"


def test_undefined_values_are_left_out_and_counted():
    found = spread([0.4, None, 0.5])
    assert (found.n, found.num_undefined) == (2, 1)
    assert (found.mean, found.sd) == (spread([0.4, 0.5]).mean, spread([0.4, 0.5]).sd)


@pytest.mark.parametrize("values", [[], [None, None]])
def test_nothing_known_has_no_mean(values):
    found = spread(values)
    assert (found.n, found.num_undefined, found.mean, found.min) == (0, len(values), None, None)
    assert str(found) == "n/a"


def test_the_interval_holds_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    found = [spread(rng.normal(0.4, 0.02, size=3).tolist(), confidence=0.9) for _ in range(1000)]
    assert 0.88 < np.mean([one.low <= 0.4 <= one.high for one in found]) < 0.92


def test_impossible_arguments_are_errors():
    with pytest.raises(ValueError, match=r"values must be finite or None, got \[0.4, nan\]"):
        spread([0.4, float("nan")])
    with pytest.raises(ValueError, match="confidence must lie between 0 and 1, got 95"):
        spread([0.4], confidence=95)
