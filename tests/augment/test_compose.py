"""Composition, in a list of ours and in torchvision's."""

from __future__ import annotations

import torch
from augment.clips import assert_same, assert_whole, generator, make_clip, make_image
from torchvision.transforms import v2

from vidgap_augment import ClipCompose, ClipCrop, ClipFixedCrop, ClipFlip, ClipResize, PseudoClip


def test_compose_runs_in_order_from_one_generator() -> None:
    # Only whole pixels move, so that one pass equals many to the bit (test_one_pass: the rest).
    members = [ClipFlip(), ClipCrop((6, 9), sliding=True), ClipFixedCrop((8, 8)), ClipFlip()]
    by_hand, g = make_clip(), generator(4)
    for member in members:
        by_hand = member(by_hand, g)
    assert_same(ClipCompose(members)(make_clip(), generator(4)), by_hand)
    nested = ClipCompose([ClipCompose(members[:2]), members[2]])
    assert_same(nested(make_clip(), generator(4)), by_hand)


def test_compose_with_a_probability_runs_all_or_nothing() -> None:
    group = ClipCompose([ClipResize((6,)), ClipFlip(1.0)], probability=0.25)
    clip, g = make_clip(), generator()
    results = [group(clip, g) for _ in range(200)]
    for result in results:
        assert_whole(result)
    sizes = [result["video"].shape[-2] for result in results]
    assert set(sizes) == {6, 12}
    assert 130 < sizes.count(12) < 170


def test_torchvision_compose_holds_clip_transforms_beside_its_own() -> None:
    pipeline = v2.Compose([PseudoClip(3), v2.ColorJitter(0.2), ClipFlip(), ClipResize((8,))])
    torch.manual_seed(0)
    clip = pipeline(make_image())
    assert_whole(clip)
    assert clip["video"].shape == (3, 3, 8, 10)
