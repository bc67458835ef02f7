"""IDOL's targets: several queries learn one instance, and no query learns two."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vidgap_vis.trackers.idol import (
    FrameCosts,
    FrameInstances,
    ReidLoss,
    ReidTargets,
    one_to_many,
)


def frame(costs: object, ious: object) -> FrameCosts:
    """One frame, all of whose instances are there."""
    table = np.asarray(costs, np.float64)[None]
    present = np.ones((1, table.shape[2]), np.bool_)
    return FrameCosts(table, np.asarray(ious, np.float64)[None], present)


def taken(costs: object, ious: object, *, idol_compat: bool = False) -> list[list[int]]:
    """Return the queries of each instance."""
    found = one_to_many(frame(costs, ious), 10, idol_compat=idol_compat)
    return [np.flatnonzero(row).tolist() for row in found.taken[0]]


def test_the_sum_of_ious_says_how_many() -> None:
    costs = [[0.0], [1.0], [2.0], [3.0]]
    assert taken(costs, [[0.9], [0.8], [0.5], [0.1]]) == [[0, 1]]
    assert taken(costs, [[0.1], [0.0], [0.0], [0.0]]) == [[0]]
    assert one_to_many(frame(costs, [[0.9]] * 4), 1).taken.sum() == 1
    assert one_to_many(frame(costs, [[0.9]] * 4), 10).best.tolist() == [[0]]


@pytest.mark.parametrize("idol_compat", [False, True])
def test_a_query_that_two_take_goes_to_the_cheaper(idol_compat: bool) -> None:
    costs = [[0.0, 0.5], [1.0, 2.0], [9.0, 3.0]]
    assert taken(costs, np.full((3, 2), 0.1), idol_compat=idol_compat) == [[0], [1]]


def test_of_several_that_are_left_the_cheapest_chooses_first() -> None:
    costs = [[0.0, 0.1, 0.2], [9.0, 2.0, 1.0], [9.0, 3.0, 4.0]]
    assert taken(costs, np.full((3, 3), 0.1)) == [[0], [2], [1]]


@pytest.mark.parametrize("idol_compat", [False, True])
def test_one_that_finds_no_free_query_gets_one_that_another_can_spare(idol_compat: bool) -> None:
    """The release would go on for ever."""
    costs = [[0.0, 5.0], [1.0, 4.0]]
    assert taken(costs, [[0.9, 0.1], [1.2, 0.1]], idol_compat=idol_compat) == [[0], [1]]


@pytest.mark.parametrize("idol_compat", [False, True])
def test_more_instances_than_queries_leave_some_without(idol_compat: bool) -> None:
    found = one_to_many(frame([[0.0, 1.0, 2.0]], [[0.5, 0.5, 0.5]]), 10, idol_compat=idol_compat)
    assert found.taken.any(2).sum() >= 1
    assert found.best[0, 0] == 0
    if not idol_compat:
        assert found.best.tolist() == [[0, -1, -1]]


def test_the_release_alone_changes_costs() -> None:
    costs = [[0.0, 0.5], [1.0, 2.0], [9.0, 3.0]]
    for idol_compat in (False, True):
        given = frame(costs, np.full((3, 2), 0.1))
        one_to_many(given, 10, idol_compat=idol_compat)
        assert (given.costs[0] == costs).all() != idol_compat


def instances(boxes: list[list[float]], present: list[bool] | None = None) -> FrameInstances:
    there = [True] * len(boxes) if present is None else present
    return FrameInstances(
        torch.zeros(1, len(boxes), dtype=torch.int64),
        torch.tensor(boxes).reshape(1, -1, 4),
        torch.tensor([there], dtype=torch.bool).reshape(1, -1),
    )


def test_costs_know_centres_and_boxes() -> None:
    truth = instances([[0.5, 0.5, 0.4, 0.4]])
    boxes = torch.tensor(
        [[[0.5, 0.5, 0.4, 0.4], [0.6, 0.5, 0.4, 0.4], [0.9, 0.9, 0.1, 0.1]]], dtype=torch.float64
    )
    probabilities = torch.full((1, 3, 2), 0.5, dtype=torch.float64)
    costs = FrameCosts.of(probabilities, boxes, truth).costs[0, :, 0]
    one = 0.5**2 * (0.75 - 0.25) * np.log(0.5)  # positive minus negative focal loss at 0.5
    assert costs[0] == pytest.approx(one - 3, abs=1e-5)
    assert costs[1] == pytest.approx(one - 3 * 0.6 + 100, abs=1e-5)
    assert costs[2] > 10_000


def targets_for(key: FrameInstances, reference: FrameInstances, boxes: Tensor) -> ReidTargets:
    probabilities = torch.full((1, boxes.shape[1], 1), 0.5)
    frames = (FrameCosts.of(probabilities, boxes, shown) for shown in (key, reference))
    return ReidTargets.of(*frames)


def test_an_instance_that_one_of_the_frames_lacks_is_no_item() -> None:
    boxes = [[0.3, 0.3, 0.2, 0.2], [0.7, 0.7, 0.2, 0.2]]
    own = torch.tensor([[*boxes, [0.5, 0.9, 0.1, 0.1]]])
    for present in ([True, False], [False, True]):
        there, both = instances(boxes, present), instances(boxes)
        for key, reference in ((there, both), (both, there)):
            targets = targets_for(key, reference, own)
            assert (targets.anchors[0] >= 0).tolist() == present
            assert targets.positives[0].any(1).tolist() == present
    nobody = instances(boxes, [False, False])
    embeddings = torch.randn(1, 3, 4, requires_grad=True)
    losses = ReidLoss()(embeddings, embeddings, targets_for(nobody, nobody, own))
    assert [loss.item() for loss in losses.values()] == [0.0, 0.0]
    sum(losses.values()).backward()  # type: ignore[union-attr]
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()


def test_losses_are_those_of_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    key, reference = torch.randn(2, 2, 5, 4, dtype=torch.float64, generator=generator)
    positives = torch.tensor([[[1, 1, 0, 0, 0]], [[0, 0, 0, 1, 0]]]).bool()
    negatives = torch.tensor([[[0, 0, 0, 1, 1]], [[1, 1, 1, 0, 0]]]).bool()
    targets = ReidTargets(torch.tensor([[2], [3]]), positives, negatives)
    got = ReidLoss()(key, reference, targets)
    contrast, cosine = 0.0, 0.0
    for clip in range(2):
        anchor = key[clip, int(targets.anchors[clip, 0])]
        near, far = (reference[clip, x[clip, 0]] for x in (positives, negatives))
        pairs = (far @ anchor)[:, None] - (near @ anchor)
        contrast += float((1 + pairs.exp().sum()).log()) / 2
        squares = [
            (F.cosine_similarity(anchor, others) - label) ** 2
            for others, label in ((near, 1), (far, 0))
        ]
        cosine += float(torch.cat(squares).mean()) / 2
    assert float(got["contrast"]) == pytest.approx(contrast)
    assert float(got["cosine"]) == pytest.approx(cosine)


def test_so_many_negatives_are_drawn_for_each_positive() -> None:
    targets = ReidTargets(
        torch.zeros(1, 1, dtype=torch.int64),
        (torch.arange(30) < 2)[None, None],
        (torch.arange(30) >= 2)[None, None],
    )
    counts = {n: int(ReidLoss(negatives=n)._drawn(targets).sum()) for n in (1, 3, 10, 20)}
    assert counts == {1: 2, 3: 6, 10: 20, 20: 28}


def test_training_tells_instances_apart() -> None:
    torch.manual_seed(0)
    embeddings = torch.nn.Parameter(torch.randn(2, 1, 6, 8))
    targets = ReidTargets(
        torch.tensor([[0, 1]]),
        torch.tensor([[[1, 0, 0, 0, 0, 1], [0, 1, 0, 0, 0, 0]]]).bool(),
        torch.tensor([[[0, 1, 1, 1, 0, 0], [1, 0, 1, 1, 0, 1]]]).bool(),
    )
    loss, optimizer = ReidLoss(), torch.optim.Adam([embeddings], 0.1)
    values = []
    for _ in range(40):
        parts = loss(*embeddings, targets)
        total = sum(loss.weights[name] * part for name, part in parts.items())
        assert isinstance(total, Tensor)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        values.append(float(total.detach()))
    assert values[-1] < 0.2 * values[0]


def test_what_does_not_fit_is_named() -> None:
    labels, boxes = torch.zeros(1, 2, dtype=torch.int64), torch.zeros(1, 2, 4)
    present = torch.ones(1, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"labels must be \(B, N\) int64"):
        FrameInstances(labels.float(), boxes, present)
    with pytest.raises(ValueError, match=r"boxes must be \(1, 2, 4\)"):
        FrameInstances(labels, boxes[:, :1], present)
    with pytest.raises(ValueError, match=r"present must be \(1, 2\) bool"):
        FrameInstances(labels, boxes, present.long())
    shown = FrameInstances(labels, boxes + 0.5, present)
    with pytest.raises(ValueError, match=r"probabilities must be \(1, Q, K\)"):
        FrameCosts.of(torch.zeros(2, 3, 1), torch.zeros(1, 3, 4), shown)
    with pytest.raises(ValueError, match=r"boxes must be \(1, 3, 4\)"):
        FrameCosts.of(torch.zeros(1, 3, 1), torch.zeros(1, 2, 4), shown)
    with pytest.raises(ValueError, match="must be finite"):
        FrameCosts.of(torch.full((1, 3, 1), torch.nan), torch.rand(1, 3, 4), shown)
    with pytest.raises(ValueError, match=r"reference must be of \(1, 1\) frames and instances"):
        ReidTargets.of(frame([[0.0]], [[0.0]]), frame([[0.0, 0.0]], [[0.0, 0.0]]))
    with pytest.raises(ValueError, match="negatives must be at least 1, got 0"):
        ReidLoss(negatives=0)
    targets = ReidTargets.of(frame([[0.0]], [[0.0]]), frame([[0.0]], [[0.0]]))
    with pytest.raises(ValueError, match=r"key and reference must be \(B, Q, C\)"):
        ReidLoss()(torch.zeros(1, 1, 4), torch.zeros(1, 2, 4), targets)
    with pytest.raises(ValueError, match=r"targets must be of \(1, 3\) clips and queries"):
        ReidLoss()(torch.zeros(1, 3, 4), torch.zeros(1, 3, 4), targets)
