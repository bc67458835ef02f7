"""VITA's losses: clips at several levels, and which queries show the same instance."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from vis.support.shown import (
    NUM_QUERIES,
    SIZE,
    clip_criterion,
    looks_like,
    make_targets,
    no_targets,
)

from vidgap_segmenter import ClipTargets
from vidgap_segmenter.joint.prediction import JointPrediction
from vidgap_vis.trackers.vita import SimilarityInputs, VITALoss
from vidgap_vis.trackers.vita.loss import similarity_loss


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def layer_of(targets: ClipTargets, likes: list[list[int]]) -> JointPrediction:
    """Predict a clip at one level for each list of queries, (L, 1, Q, ...)."""
    pairs = []
    for queries in likes:
        logits, masks = looks_like(targets, [[q] * targets.masks.shape[1] for q in queries])
        pairs.append((logits.mean(1), masks))
    logits, masks = (torch.stack(tensors)[:, None] for tensors in zip(*pairs, strict=True))
    return JointPrediction(logits, masks)


def test_every_level_is_matched_by_itself() -> None:
    targets = make_targets([[1, 1], [0, 1], [0, 0]])
    losses, matchings = VITALoss(clip_criterion())(
        [layer_of(targets, [[1, 4, 0], [5, 2, 0]])], [targets], SIZE
    )
    assert matchings[0].tables().tolist() == [[1, 4, -1], [5, 2, -1]]
    assert losses.parts.keys() == {"class", "mask", "dice"}


def test_similarity_is_the_mean_over_pairs_of_matched_queries() -> None:
    inputs = SimilarityInputs(
        torch.randn(2, 1, 3, 5, 8),
        torch.randn(2, 1, NUM_QUERIES, 8),
        torch.tensor([[[[0, 1, -1], [2, -1, -1]]], [[[4, 4, 4], [3, 2, -1]]]]),
    )
    clip_queries = torch.tensor([[3, 1], [2, -1]])
    sums, count = torch.zeros(()), 0
    for level in range(2):
        vectors, ids = [], []
        for instance in range(2):
            for time in range(3):
                query = int(inputs.frame_queries[level, 0, instance, time])
                if query >= 0:
                    vectors.append(inputs.frames[level, 0, time, query])
                    ids.append(instance)
            query = int(clip_queries[level, instance])
            if query >= 0:
                vectors.append(inputs.clips[level, 0, query])
                ids.append(instance)
        for one, first in zip(vectors, ids, strict=True):
            for other, second in zip(vectors, ids, strict=True):
                same = torch.tensor(float(first == second))
                sums = sums + F.binary_cross_entropy_with_logits(one @ other, same)
                count += 1
    torch.testing.assert_close(similarity_loss(inputs, clip_queries), sums / count)


def test_layers_and_their_weights_add_up() -> None:
    targets = make_targets([[1, 1]])
    layers = [layer_of(targets, [[1]]), layer_of(targets, [[2]])]
    similarity = SimilarityInputs(
        torch.randn(1, 1, 2, 5, 8),
        torch.randn(1, 1, NUM_QUERIES, 8),
        torch.tensor([[[[0, 4]]]]),
    )
    loss = VITALoss(clip_criterion(), similarity_weight=0.25)
    losses, matchings = loss(layers, [targets], SIZE, similarity)
    assert [m.tables().tolist() for m in matchings] == [[[1]], [[2]]]
    assert {name: len(part) for name, part in losses.parts.items()} == {
        "class": 2,
        "mask": 2,
        "dice": 2,
        "similarity": 1,
    }
    weights = {**clip_criterion().weights, "similarity": 0.25}
    total = sum(weights[name] * part.sum() for name, part in losses.parts.items())
    torch.testing.assert_close(losses.total, total)


def test_a_clip_without_instances_learns_no_instance() -> None:
    losses, _ = VITALoss(clip_criterion())([layer_of(no_targets(2), [[]])], [no_targets(2)], SIZE)
    assert losses.parts["mask"].tolist() == [0.0]


def test_more_instances_than_queries_leave_some_without() -> None:
    targets = make_targets([[1]] * 8)
    layer = layer_of(targets, [[n % NUM_QUERIES for n in range(8)]])
    _, matchings = VITALoss(clip_criterion())([layer], [targets], SIZE)
    assert (matchings[0].tables() >= 0).sum() == NUM_QUERIES


def test_what_does_not_fit_is_named() -> None:
    frames, clips = torch.zeros(1, 1, 2, 5, 8), torch.zeros(1, 1, 3, 8)
    given = torch.zeros(1, 1, 4, 2, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"frames must be \(L, B, T, fQ, C\)"):
        SimilarityInputs(frames[0], clips, given)
    with pytest.raises(ValueError, match=r"frames must be \(1, 1\) \+ \(T, fQ, 8\)"):
        SimilarityInputs(frames[..., :4], clips, given)
    with pytest.raises(ValueError, match=r"frame_queries must be \(1, 1\) \+ \(N, 2\)"):
        SimilarityInputs(frames, clips, given[..., :1])
    with pytest.raises(ValueError, match="frame_queries must be of 3 instances in 1 clips"):
        similarity_loss(SimilarityInputs(frames, clips, given), torch.zeros(1, 3).long())
