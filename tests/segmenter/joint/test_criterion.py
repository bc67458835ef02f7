"""The losses of clips: one match a clip, points shared by its frames, masks in each frame."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
import torch
import torch.nn.functional as F
from segmenter.mask2former.test_criterion import NO_INSTANCES, SIZE
from segmenter.support import random_targets
from tolerances import TOLERANCE
from torch import Tensor

from vidgap_segmenter import (
    ClipCriterion,
    ClipOutput,
    ClipTargets,
    Criterion,
    Prediction,
    SeqFormerCriterion,
)
from vidgap_segmenter.boxes import mask_boxes
from vidgap_segmenter.structures import over_frames

FLOAT64 = TOLERANCE[torch.float64]
NUM_QUERIES, NUM_FRAMES = 6, SIZE[0]
TARGETS = [random_targets(3, SIZE, seed=1), random_targets(4, SIZE, seed=2)]


def joint_output(
    num_frames: int = NUM_FRAMES, *, num_levels: int = 2, boxes: bool = False
) -> tuple[ClipOutput, list[Tensor]]:
    """A joint decoder's output for two clips, 4 classes; and its leaves."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        drawn = 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
        return drawn.requires_grad_()

    leaves, levels = [], []
    for _ in range(num_levels):
        logits, masks = draw(2, NUM_QUERIES, 5), draw(2, NUM_QUERIES, num_frames, 16, 16)
        corners = draw(2, NUM_QUERIES, num_frames, 4)
        leaves += [logits, masks, *([corners] if boxes else [])]
        shared = over_frames(logits, num_frames)
        levels.append(Prediction(shared, masks, corners.sigmoid() if boxes else None))
    last, *auxiliary = levels
    output = ClipOutput(
        last.class_logits,
        last.mask_logits,
        torch.zeros(2, NUM_QUERIES, num_frames, 8),
        tuple(auxiliary),
        frame_size=SIZE[1:],
        padded_size=(64, 64),
        boxes=last.boxes,
    )
    return output, leaves


def sampler(shape: tuple[int, ...], *, device: torch.device) -> Tensor:
    """The same points for all rows of a draw."""
    generator = torch.Generator().manual_seed(shape[1])
    points = torch.rand(1, *shape[1:], generator=generator, dtype=torch.float64)
    return points.expand(shape).to(device)


def test_one_frame_is_compared_as_an_image() -> None:
    output, leaves = joint_output(1)
    size = (1, *SIZE[1:])
    targets = [
        ClipTargets(clip.labels[seen], clip.masks[seen], clip.ids[seen])
        for clip in (random_targets(n, size, seed=n) for n in (3, 4))
        for seen in [clip.masks.flatten(1).any(1)]
    ]
    found = [
        criterion(4, num_points=40, sampler=sampler)(output, targets)
        for criterion in (ClipCriterion, Criterion)
    ]
    for ours, other in zip(*(losses.parts.values() for losses in found), strict=True):
        torch.testing.assert_close(ours, other, **FLOAT64)
    gradients = [torch.autograd.grad(losses.total, leaves, retain_graph=True) for losses in found]
    for ours, other in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, other, **FLOAT64)


@torch.no_grad()
def test_matching_is_the_cheapest_of_all_assignments_over_the_points_of_all_frames() -> None:
    output, _ = joint_output(num_levels=1)
    losses = ClipCriterion(4, num_points=30, sampler=sampler)(output, TARGETS)
    (matching,) = losses.matchings
    points = sampler((2, 30, 2), device=torch.device("cpu"))

    def at(masks: Tensor, clip: int) -> Tensor:  # (T, h, w) -> (T*P,)
        grid = 2 * points[clip][None, None].expand(len(masks), -1, -1, -1) - 1
        return F.grid_sample(masks[:, None], grid, align_corners=False).flatten()

    for clip, target in enumerate(TARGETS):
        seen = target.masks.flatten(1).any(1).nonzero()[:, 0].tolist()
        table: list[list[float]] = []
        for query in range(NUM_QUERIES):
            logit = at(output.mask_logits[clip, query], clip)
            probability = output.class_logits[clip, query, 0].softmax(0)
            row = []
            for instance in seen:
                truth = at(F.pad(target.masks[instance].double(), (0, 0, 0, 24)), clip)
                entropy = F.binary_cross_entropy_with_logits(logit, truth)
                shares = logit.sigmoid()
                overlap = (2 * (shares * truth).sum() + 1) / (shares.sum() + truth.sum() + 1)
                cost = 5 * entropy + 5 * (1 - overlap) - 2 * probability[target.labels[instance]]
                row.append(cost.item())
            table.append(row)
        cheapest = min(
            permutations(range(NUM_QUERIES), len(seen)),
            key=lambda queries: sum(table[q][column] for column, q in enumerate(queries)),
        )
        wanted = torch.full((len(target), NUM_FRAMES), -1)
        wanted[seen] = torch.tensor(cheapest)[:, None]
        assert torch.equal(matching.table(clip), wanted)


def test_the_sampler_is_asked_for_points_of_clips_and_then_of_every_frames_mask() -> None:
    asked = []

    def spy(shape: tuple[int, ...], *, device: torch.device) -> Tensor:
        asked.append(shape)
        return sampler(shape, device=device)

    output, _ = joint_output()
    rows = NUM_FRAMES * sum(int(clip.masks.flatten(1).any(1).sum()) for clip in TARGETS)
    ClipCriterion(4, num_points=40, sampler=spy)(output, TARGETS)
    assert asked == 2 * [(2, 40, 2), (rows, 120, 2), (rows, 10, 2)]


@pytest.mark.parametrize("num_frames", [1, 2, 5])
def test_mask_losses_are_sums_over_frames_divided_by_instances(num_frames: int) -> None:
    output, _ = joint_output(num_frames, num_levels=1)
    constant = replace(output, mask_logits=torch.ones_like(output.mask_logits))
    masks = torch.ones(2, num_frames, *SIZE[1:], dtype=torch.bool)
    clip = ClipTargets(torch.tensor([0, 3]), masks, torch.arange(2))

    def inside(shape: tuple[int, ...], *, device: torch.device) -> Tensor:
        return torch.full(shape, 0.25, device=device)

    losses = ClipCriterion(4, num_points=10, sampler=inside)(constant, [clip, clip])
    wanted = num_frames * F.softplus(torch.tensor(-1.0, dtype=torch.float64))
    torch.testing.assert_close(losses.parts["mask"][0], wanted, **FLOAT64)


def test_one_that_is_absent_in_a_frame_is_matched_there_and_one_absent_from_all_is_not() -> None:
    masks = torch.zeros(3, *SIZE, dtype=torch.bool)
    masks[0, 1, :20, :20] = masks[2, :, 20:, 20:] = True  # instance 1 is nowhere
    clip = ClipTargets(torch.tensor([1, 2, 3]), masks, torch.tensor([7, 8, 9]))
    output, _ = joint_output()
    losses = ClipCriterion(4, num_points=20, sampler=sampler)(output, [NO_INSTANCES, clip])
    for matching in losses.matchings:
        assert matching.table(0).shape == (0, NUM_FRAMES)
        table = matching.table(1)
        assert (table[[0, 2]] >= 0).all()
        assert (table[1] == -1).all()
        assert torch.equal(table, table[:, :1].expand_as(table))
        assert sorted(set(matching.ids.tolist())) == [7, 9]


def test_no_instances_at_all_leave_the_class_loss_alone() -> None:
    for criterion, boxes in ((ClipCriterion, False), (SeqFormerCriterion, True)):
        output, leaves = joint_output(boxes=boxes)
        losses = criterion(4, num_points=20)(output, [NO_INSTANCES, NO_INSTANCES])
        logits = output.class_logits[:, :, 0].flatten(0, 1)
        wanted = F.cross_entropy(logits, torch.full((len(logits),), 4))
        torch.testing.assert_close(losses.parts["class"][0], wanted, **FLOAT64)
        assert all(part.eq(0).all() for name, part in losses.parts.items() if name != "class")
        assert all(g.isfinite().all() for g in torch.autograd.grad(losses.total, leaves))


def test_queries_in_another_order_are_matched_alike() -> None:
    output, _ = joint_output(num_levels=1)
    order = torch.tensor([3, 5, 0, 1, 4, 2])
    other = replace(
        output,
        class_logits=output.class_logits[:, order],
        mask_logits=output.mask_logits[:, order],
    )
    criterion = ClipCriterion(4, num_points=30, sampler=sampler)
    ours, theirs = criterion(output, TARGETS), criterion(other, TARGETS)
    torch.testing.assert_close(ours.total, theirs.total, **FLOAT64)
    for clip in range(2):
        found = theirs.matchings[0].table(clip)
        again = torch.where(found >= 0, order[found], -1)
        assert torch.equal(again, ours.matchings[0].table(clip))


def test_boxes_are_compared_where_an_instance_is_present() -> None:
    output, leaves = joint_output(boxes=True)
    criterion = SeqFormerCriterion(4, num_points=30, sampler=sampler)
    losses = criterion(output, TARGETS)
    without = ClipCriterion(4, num_points=30, sampler=sampler)(output, TARGETS)
    assert set(losses.parts) - set(without.parts) == {"box", "giou"}
    for level, (prediction, matching) in enumerate(
        zip(output.levels, losses.matchings, strict=True)
    ):
        assert torch.equal(matching.queries, without.matchings[level].queries)
        apart = []
        for clip, target in enumerate(TARGETS):
            padded = F.pad(target.masks, (0, 0, 0, 24))
            for instance, time in target.masks.flatten(2).any(2).nonzero().tolist():
                query = matching.table(clip)[instance, time]
                truth = mask_boxes(padded[instance, time]).double()
                apart.append((prediction.boxes[clip, query, time] - truth).abs().sum())
        wanted = torch.stack(apart).mean()
        torch.testing.assert_close(losses.parts["box"][level], wanted, rtol=1e-6, atol=1e-6)
    total = without.total + (5 * losses.parts["box"] + 2 * losses.parts["giou"]).sum()
    torch.testing.assert_close(losses.total, total, **FLOAT64)
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(losses.total, leaves))


def test_outputs_and_targets_that_do_not_fit_are_named() -> None:
    output, _ = joint_output()
    criterion = ClipCriterion(4, num_points=10)
    with pytest.raises(ValueError, match=r"targets\[1\].masks must have 2 frames, got 3"):
        criterion(output, [TARGETS[0], random_targets(1, (3, *SIZE[1:]))])
    with pytest.raises(ValueError, match="output must have 5 classes and no instance, got 5 cla"):
        ClipCriterion(5)(output, TARGETS)
    with pytest.raises(ValueError, match="output must have boxes, got none"):
        SeqFormerCriterion(4, num_points=10)(output, TARGETS)
