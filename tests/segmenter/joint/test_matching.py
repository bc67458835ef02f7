"""Pairs of a query and an instance over clips: what they tell, and whose class counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vidgap_segmenter import ClipCriterion, ClipTargets, Criterion
from vidgap_segmenter.frame_targets import FrameTargets
from vidgap_segmenter.joint.matching import ClipMatching, presence
from vidgap_segmenter.matcher import assign

NUM_FRAMES, SIZE = 3, (8, 12)


def targets_of(*labels: list[int]) -> list[ClipTargets]:
    """Clips with instances of given labels; instance n of clip b is one pixel of its own."""
    clips = []
    for clip, own in enumerate(labels):
        masks = torch.zeros(len(own), NUM_FRAMES, *SIZE, dtype=torch.bool)
        for row in range(len(own)):
            masks[row, row:, clip, row] = True  # absent in the first frames
        clips.append(ClipTargets(torch.tensor(own).long(), masks, torch.arange(len(own))))
    return clips


def listed(*labels: list[int]) -> FrameTargets:
    return FrameTargets.from_whole_clips(targets_of(*labels), SIZE, list_unseen=True)


def test_rows_are_those_of_the_instance_in_each_frame() -> None:
    targets = listed([2, 1], [], [0])
    matching = ClipMatching.of([[(4, 1)], [], [(3, 0)]], targets)
    assert matching.rows.tolist() == [[1, 3, 5], [6, 7, 8]]
    for pair, (clip, instance) in enumerate([(0, 1), (2, 0)]):
        rows = matching.rows[pair]
        assert targets.instances[rows].unique().tolist() == [instance]
        assert targets.frames[rows].tolist() == [NUM_FRAMES * clip + t for t in range(NUM_FRAMES)]
    assert matching.tables().tolist() == [[-1, 4], [-1, -1], [3, -1]]
    assert matching.classes(targets, 5, 9).tolist() == [[9, 9, 9, 9, 1], [9] * 5, [9, 9, 9, 0, 9]]


def test_of_pairs_that_share_a_query_the_last_gives_the_class() -> None:
    targets = listed([2, 1, 0])
    for pairs, label in (([(1, 0), (1, 2), (0, 1)], 0), ([(1, 2), (0, 1), (1, 0)], 2)):
        matching = ClipMatching.of([pairs], targets)
        assert matching.classes(targets, 2, 9).tolist() == [[1, label]]
        assert len(matching.rows) == 3


def test_levels_repeat_clips() -> None:
    targets = listed([2], [1])
    matching = ClipMatching.of([[(0, 0)], [(1, 0)], [(2, 0)], [(3, 0)]], targets)
    assert matching.tables().tolist() == [[0], [1], [2], [3]]
    assert torch.equal(matching.rows[:2], matching.rows[2:])
    with pytest.raises(ValueError, match="pairs must be of a multiple of 2 clips, got 3"):
        ClipMatching.of([[], [], []], targets)


def test_presence_is_by_clip() -> None:
    found = presence(listed([0, 0], [], [0]))
    assert [array.tolist() for array in found] == [
        [[True, True, True], [False, True, True]],
        [],
        [[True, True, True]],
    ]


def test_no_instances_at_all() -> None:
    targets = listed([], [])
    matching = ClipMatching.of([[], []], targets)
    assert matching.rows.shape == (0, NUM_FRAMES)
    assert matching.tables().shape == (2, 0)
    assert [array.shape for array in presence(targets)] == [(0, NUM_FRAMES)] * 2
    criterion = ClipCriterion(3, num_points=8)
    logits, masks = torch.zeros(2, 4, 4), torch.zeros(2, 4, NUM_FRAMES, 2, 3)
    assert criterion.clip_costs(logits, masks, targets).shape == (2, 4, 0)
    parts = criterion.clip_losses(logits, masks, targets, matching, torch.tensor(1.0))
    assert parts["mask"] == parts["dice"] == 0


def test_assignments_keep_to_what_is_free() -> None:
    table = np.array([[0.0, 5.0], [1.0, 9.0], [2.0, 0.5]])
    assert assign(table, np.array([0, 1, 2]), [0, 1]) == [(0, 0), (2, 1)]
    assert assign(table, np.array([1]), [0, 1]) == [(1, 0)]
    assert assign(table, np.array([1, 2]), [1]) == [(2, 1)]
    assert assign(table, np.array([], np.int64), [0]) == []


def test_a_clip_of_one_frame_costs_what_the_frame_does() -> None:
    torch.manual_seed(0)
    clips = [
        ClipTargets(clip.labels, clip.masks[:, -1:], clip.ids) for clip in targets_of([2, 1], [0])
    ]
    targets = FrameTargets.from_whole_clips(clips, SIZE, list_unseen=True)
    points = torch.rand(2, 20, 2)
    frames, whole = (
        kind(3, num_points=20, sampler=lambda _, device: points.to(device))
        for kind in (Criterion, ClipCriterion)
    )
    logits, masks = torch.randn(2, 4, 4), torch.randn(2, 4, 2, 3)
    costs = frames.costs(logits, masks, targets)
    wanted = sum(frames.weights[name] * cost for name, cost in costs.items())
    got = whole.clip_costs(logits, masks[:, :, None], targets)
    assert isinstance(wanted, torch.Tensor)
    torch.testing.assert_close(got[0], wanted[0])
    torch.testing.assert_close(got[1, :, :1], wanted[1, :, :1])
