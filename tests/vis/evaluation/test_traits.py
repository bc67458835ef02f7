"""What makes truths hard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from vis.support.box_files import Boxes, BoxVideo, write_files

from vidgap_vis.evaluation.traits import SPLITS, Traits, traits_of
from vidgap_vis.formats.youtube_vis import read_youtube_vis


def test_traits(tmp_path: Path) -> None:
    still: Boxes = [(10, 10, 8, 8)] * 4
    passing: Boxes = [(10, 30, 8, 8), (10, 20, 8, 8), (10, 14, 8, 8), None]
    alone: Boxes = [None, (40, 10, 16, 16), None, (40, 10, 16, 16)]
    words = ["no_occlusion", "severe_occlusion", None, None]
    video = BoxVideo(4, [(1, still, words), (1, passing), (2, alone)])
    truth = read_youtube_vis(write_files(tmp_path, [video], pictures=False).truth)
    one, two, three = traits_of(truth, truth.videos[0])
    assert one == Traits(64.0, 0.75, 4, 0.0, 1, 0.0)
    assert two == Traits(64.0, None, 3, 1.0, 1, 0.0)
    assert three == Traits(256.0, None, 2, None, 0, None)


def test_how_near_look_alikes_come(tmp_path: Path) -> None:
    boxes: list[Boxes] = [[(10, 10, 8, 8)], [(10, 26, 8, 8)], [(10, 70, 8, 8)]]
    video = BoxVideo(1, [(1, one) for one in boxes])
    truth = read_youtube_vis(write_files(tmp_path, [video], pictures=False).truth)
    found = [one.crossing for one in traits_of(truth, truth.videos[0])]
    assert found == [2.0, 2.0, 5.5]


def test_a_truth_is_in_one_group_of_each() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        known = rng.random(4) < 0.7
        traits = Traits(
            area=float(np.exp(rng.uniform(0, 12))),
            occlusion=float(rng.choice([0, 0.25, 0.5, 0.75, 1.0])) if known[0] else None,
            length=int(rng.integers(1, 60)),
            speed=float(rng.choice([0, 0.05, 0.2, 3.0])) if known[1] else None,
            look_alikes=int(rng.integers(6)),
            crossing=float(rng.choice([0, 1.0, 2.0, 9.0])) if known[2] else None,
        )
        for bins in SPLITS.values():
            assert sum(fits(traits) for _, fits in bins) == 1
