"""Options are checked where they are made."""

from __future__ import annotations

from typing import Any

import pytest

from vidgap_vis.synthetic import SyntheticOptions


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("seed", -1, "0 or more, got -1"),
        ("num_train_images", -1, "0 or more, got -1"),
        ("num_valid_images", -2, "0 or more, got -2"),
        ("num_train_clips", -1, "0 or more, got -1"),
        ("num_valid_clips", -1, "0 or more, got -1"),
        ("num_frames", 0, "1 or more, got 0"),
        ("min_area", 0, "1 or more, got 0"),
        ("lookalike_share", 1.5, r"in \[0, 1\], got 1.5"),
        ("pass_share", -0.1, r"in \[0, 1\], got -0.1"),
        ("leave_share", 1.01, r"in \[0, 1\], got 1.01"),
        ("occluder_share", -1.0, r"in \[0, 1\], got -1.0"),
        ("occluder_width", 0.0, r"in \(0, 1\], got 0.0"),
        ("num_marks", 0, "1 to 4, got 0"),
        ("num_marks", 5, "1 to 4, got 5"),
        ("mark_size", 0.01, r"in \[0.05, 0.5\], got 0.01"),
        ("mark_size", float("nan"), r"in \[0.05, 0.5\], got nan"),
        ("background_contrast", float("nan"), r"in \[0, 1\], got nan"),
        ("size", (96, 16), r"32 or more each, got \(96, 16\)"),
        ("num_instances", (3, 2), r"1 <= fewest <= most, got \(3, 2\)"),
        ("num_instances", (0, 2), r"1 <= fewest <= most, got \(0, 2\)"),
        ("radius_range", (0.3, 0.2), r"0.02 <= least <= largest <= 0.5, got \(0.3, 0.2\)"),
        ("max_speed", 0.0, r"in \(0, 1\], got 0.0"),
        ("num_test_clips", -1, "0 or more, got -1"),
        ("deformation", 0.6, r"in \[0, 0.5\], got 0.6"),
        ("num_distractors", (2, 1), r"0 <= fewest <= most, got \(2, 1\)"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_wanted(name: str, value: Any, wanted: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be .*{wanted}"):
        SyntheticOptions(**{name: value})
