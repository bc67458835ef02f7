"""Matching queries with instances: the cheapest assignment, and what it tells."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
import torch.nn.functional as F
from segmenter.mask2former.test_criterion import BATCHES, random_output
from torch import Tensor

from vidgap_segmenter import Criterion
from vidgap_segmenter.frame_targets import FrameTargets
from vidgap_segmenter.matcher import mask_costs, match, softmax_cost


@torch.no_grad()
def test_matching_is_the_cheapest_of_all_assignments() -> None:
    output, _ = random_output(num_levels=1)
    targets = FrameTargets.from_clips(BATCHES["some"], (64, 64))
    class_logits = output.class_logits.transpose(1, 2).flatten(0, 1)
    mask_logits = output.mask_logits.transpose(1, 2).flatten(0, 1)
    points = torch.rand(4, 30, 2, dtype=torch.float64)
    mask, dice = mask_costs(mask_logits, targets, points)
    classes = softmax_cost(class_logits, targets)
    costs = {"class": classes, "mask": mask, "dice": dice}
    matching = match(costs, {"class": 2.0, "mask": 5.0, "dice": 5.0}, targets)

    def cost(frame: int, query: int, row: int) -> Tensor:
        grid = 2 * points[frame][None, None] - 1
        logit = F.grid_sample(mask_logits[frame, query][None, None], grid, align_corners=False)
        mask = F.pad(targets.masks[row, 1:-2, 1:-2].double(), (0, 0, 0, 24))
        truth = F.grid_sample(mask[None, None], grid, align_corners=False)
        share = logit.sigmoid()
        entropy = F.binary_cross_entropy_with_logits(logit, truth)
        dice = 1 - (2 * (share * truth).sum() + 1) / (share.sum() + truth.sum() + 1)
        probability = class_logits[frame, query].softmax(0)[targets.labels[row]]
        return 5 * entropy + 5 * dice - 2 * probability

    for frame in range(4):
        rows = (targets.frames == frame).nonzero()[:, 0].tolist()
        table = [[cost(frame, query, row).item() for row in rows] for query in range(6)]
        cheapest = min(
            sum(table[query][column] for column, query in enumerate(queries))
            for queries in permutations(range(6), len(rows))
        )
        mine = matching.frames == frame
        assert sorted(matching.rows[mine].tolist()) == rows
        found = sum(
            table[query][rows.index(row)]
            for query, row in zip(
                matching.queries[mine].tolist(), matching.rows[mine].tolist(), strict=True
            )
        )
        assert found == pytest.approx(cheapest)


def test_a_matching_tells_clips_instances_and_ids() -> None:
    """Instances that are absent somewhere, in two clips of two frames."""
    targets = BATCHES["some"]
    output, _ = random_output()
    torch.manual_seed(3)
    losses = Criterion(4, num_points=20)(output, targets)
    assert len(losses.matchings) == len(losses.parts["class"]) == 3
    for matching in losses.matchings:
        pairs = set()
        for index in range(len(matching.queries)):
            clip, frame = int(matching.clips[index]), int(matching.frames[index]) % 2
            instance = int(matching.instances[index])
            assert matching.ids[index] == targets[clip].ids[instance]
            assert targets[clip].masks[instance, frame].any()
            assert matching.table(clip)[instance, frame] == matching.queries[index]
            pairs.add((clip, instance, frame))
        for clip, truth in enumerate(targets):
            present = truth.masks.flatten(2).any(-1)  # (N, T)
            assert matching.table(clip).shape == present.shape
            assert torch.equal(matching.table(clip) >= 0, present)
            assert {pair for pair in pairs if pair[0] == clip} == {
                (clip, *pair) for pair in present.nonzero().tolist()
            }
