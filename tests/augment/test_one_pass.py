"""One warp for many transforms: the same clip as one after the other."""

from __future__ import annotations

from typing import Any

import torch
from augment.chains import CHAINS, far_from_edges, ones_like, smooth_clip
from augment.clips import SEEDS, assert_whole, generator
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import TWICE_INTERPOLATED

from vidgap_augment import ClipCompose, Sample


def by_hand(members: list[Any], sample: Sample, seed: int) -> Sample:
    g = generator(seed)
    for member in members:
        sample = member(sample, g)
    return sample


@settings(max_examples=25)
@given(st.sampled_from(sorted(CHAINS)), st.integers(1, 4), SEEDS)
def test_one_pass_gives_what_one_after_the_other_gives(chain: str, length: int, seed: int) -> None:
    clip = smooth_clip(3, length, 70, 90, seed % 1000)
    members = CHAINS[chain]
    once, many = ClipCompose(members)(clip, generator(seed)), by_hand(members, clip, seed)
    assert_whole(once)
    assert once["video"].shape == many["video"].shape
    # What is black or grey because it lies outside has a hard edge; look away from it.
    shown = ClipCompose(members)(ones_like(clip), generator(seed))["masks"]
    inside = far_from_edges(shown[0], 3) & shown[0]
    difference = (once["video"].float() - many["video"].float()).abs()
    assert inside.float().mean() > 0.02
    assert difference.movedim(1, 0)[:, inside].max() <= TWICE_INTERPOLATED
    for index, instance in enumerate(many["ids"].tolist()):
        other = many["masks"][index]
        rows = (once["ids"] == instance).nonzero()[:, 0]
        mask = once["masks"][rows].any(dim=0) if len(rows) else torch.zeros_like(other)
        clear = far_from_edges(other, 4) & far_from_edges(mask, 4)
        assert not ((mask != other) & clear).any()
