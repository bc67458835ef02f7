"""Worlds that stay as they are, so that numbers of different days can be compared.

What a world shows is fixed by its options; how much of it there is, and the seed, are not. A world
that is to change gets a new name.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vidgap_vis.errors import check
from vidgap_vis.synthetic.options import SyntheticOptions

WORLDS: dict[str, SyntheticOptions] = {
    "easy_1": SyntheticOptions(
        size=(96, 128),
        num_frames=12,
        num_instances=(2, 3),
        radius_range=(0.15, 0.24),
        max_speed=0.08,
        lookalike_share=0.5,
        pass_share=0.6,
        leave_share=0.1,
        num_marks=1,
        mark_size=0.45,
        occluder_share=0.2,
        occluder_width=0.2,
        background_contrast=0.3,
        deformation=0.0,
        num_distractors=(0, 0),
        min_area=12,
    ),
    "hard_1": SyntheticOptions(
        size=(96, 128),
        num_frames=20,
        num_instances=(3, 5),
        radius_range=(0.15, 0.25),
        max_speed=0.15,
        lookalike_share=0.9,
        pass_share=0.85,
        leave_share=0.35,
        num_marks=1,
        mark_size=0.45,
        occluder_share=0.8,
        occluder_width=0.3,
        background_contrast=0.7,
        deformation=0.1,
        num_distractors=(0, 2),
        min_area=12,
    ),
}
"""By name. Easy: objects that mostly are seen whole. Hard, as OVIS is: look-alikes that cross, hide
one another, leave and come back."""

AMOUNTS = (
    "seed",
    "num_train_images",
    "num_valid_images",
    "num_train_clips",
    "num_valid_clips",
    "num_test_clips",
)
"""What may differ within a world."""


def world(name: str, **amounts: Any) -> SyntheticOptions:
    """Return the options of a world.

    Args:
        name: of WORLDS.
        amounts: of AMOUNTS.

    Raises:
        ValueError: there is no such world, or something else is asked to differ.
    """
    check("world", name in WORLDS, f"one of {', '.join(WORLDS)}", name)
    others = ", ".join(key for key in amounts if key not in AMOUNTS)
    check("amounts", not others, f"of {', '.join(AMOUNTS)}", others)
    return replace(WORLDS[name], **amounts)
