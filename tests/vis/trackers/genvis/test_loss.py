"""GenVIS's targets: over the clips of a video, an instance keeps its query and shares it never."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
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
from vidgap_vis.trackers.genvis import UnifiedLoss
from vidgap_vis.trackers.vita import SimilarityInputs


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def clips_of(
    targets: ClipTargets, likes: Sequence[Sequence[int]], length: int = 1
) -> list[list[JointPrediction]]:
    """Predict each clip with one layer and one level."""
    logits, masks = looks_like(targets, likes)
    return [
        [JointPrediction(own.mean(1)[None, None], shown[None, None])]
        for own, shown in zip(logits.split(length, 1), masks.split(length, 1), strict=True)
    ]


def tables(
    targets: ClipTargets, likes: Sequence[Sequence[int]], *, forget_absent: bool = False
) -> list[list[int]]:
    """Return the query of each instance in each clip of one frame."""
    loss = UnifiedLoss(clip_criterion(), forget_absent=forget_absent)
    state, found = None, []
    for time, layers in enumerate(clips_of(targets, likes)):
        shown = ClipTargets(targets.labels, targets.masks[:, [time]], targets.ids)
        _, matchings, state = loss.step(layers, [shown], SIZE, state)
        found.append(matchings[0].tables()[0].tolist())
    return found


def test_an_instance_keeps_its_query_over_clips() -> None:
    assert tables(make_targets([[1, 1, 0, 1]]), [[3, 5, -1, 5]]) == [[3], [3], [-1], [3]]


def test_a_newcomer_takes_a_free_query() -> None:
    targets = make_targets([[1, 0, 1], [0, 1, 1]])
    likes = [[3, -1, 3], [-1, 3, 3]]
    first, second, third = tables(targets, likes)
    assert (first, second[0], third[0]) == ([3, -1], -1, 3)
    assert second[1] == third[1] != 3
    assert tables(targets, likes, forget_absent=True) == [[3, -1], [-1, 3], [3, 3]]


def test_one_that_finds_no_query_waits() -> None:
    """Seven instances, six queries: the release frees a query by forgetting, the right way not."""
    targets = make_targets([[1, 0]] + [[1, 1]] * 6)
    likes = [[0, -1]] + [[n % NUM_QUERIES, n % NUM_QUERIES] for n in range(1, 7)]
    first, second = tables(targets, likes)
    assert sorted(first) == [-1, 0, 1, 2, 3, 4, 5]
    without = first.index(-1)
    assert second[without] == -1
    assert (tables(targets, likes, forget_absent=True)[1][without] >= 0) == (without > 0)


def test_losses_are_sums_over_clips() -> None:
    targets = make_targets([[1, 1, 1], [0, 1, 1]])
    clips = clips_of(targets, [[3, 3, 3], [-1, 2, 2]], length=2)
    losses = UnifiedLoss(clip_criterion())(clips, [targets], SIZE)
    assert [(name, len(part)) for name, part in losses.parts.items()] == [
        ("class", 1),
        ("mask", 1),
        ("dice", 1),
    ]
    weights = clip_criterion().weights
    total = sum(weights[name] * part.sum() for name, part in losses.parts.items())
    torch.testing.assert_close(losses.total, total)


def test_the_query_of_an_absent_instance_learns_no_instance() -> None:
    targets = make_targets([[1, 0]])
    clips = clips_of(targets, [[3, 3]])
    last = clips[1][0]
    last.class_logits.requires_grad_()
    UnifiedLoss(clip_criterion())(clips, [targets], SIZE).total.backward()
    assert last.class_logits.grad is not None
    assert last.class_logits.grad[0, 0, 3, -1] < 0


def test_a_video_without_instances_and_levels_with_similarity() -> None:
    clips = []
    for layers in clips_of(no_targets(2), []):
        prediction = layers[0]
        both = (torch.cat([x, x]) for x in (prediction.class_logits, prediction.mask_logits))
        clips.append([JointPrediction(*both)])
    similarity = SimilarityInputs(
        torch.randn(2, 1, 1, 5, 8),
        torch.randn(2, 1, NUM_QUERIES, 8),
        torch.zeros(2, 1, 0, 1, dtype=torch.int64),
    )
    losses = UnifiedLoss(clip_criterion())(clips, [no_targets(2)], SIZE, [similarity] * 2)
    assert losses.parts["similarity"].tolist() == [0.0]
    assert losses.parts["mask"].tolist() == [0.0]


def test_what_does_not_fit_is_named() -> None:
    targets = make_targets([[1, 1]])
    clips = clips_of(targets, [[3, 3]])
    loss = UnifiedLoss(clip_criterion())
    with pytest.raises(ValueError, match=r"targets\[0\].masks must have 2 frames, .* got 1"):
        loss(clips, [make_targets([[1]])], SIZE)
    shown = make_targets([[1]])
    _, _, state = loss.step(clips[0], [shown], SIZE)
    with pytest.raises(ValueError, match=r"instances of the clip before, \[1\], got \[2\]"):
        loss.step(clips[1], [make_targets([[1], [1]])], SIZE, state)
    with pytest.raises(ValueError, match="state must be of 2 layers as the clip, got 1"):
        loss.step(clips[1] * 2, [shown], SIZE, state)
    prediction = clips[0][0]
    with pytest.raises(ValueError, match=r"class_logits must be \(L, B, cQ, K\+1\)"):
        loss.step(
            [JointPrediction(prediction.class_logits[0], prediction.mask_logits[0])], [shown], SIZE
        )
    with pytest.raises(ValueError, match=r"class_logits must be .* and mask_logits"):
        JointPrediction(prediction.class_logits, prediction.mask_logits[0])


def test_losses_are_float32_under_autocast() -> None:
    targets = make_targets([[1, 1]])
    clips = [
        [JointPrediction(x.class_logits.bfloat16(), x.mask_logits.bfloat16()) for x in layers]
        for layers in clips_of(targets, [[3, 3]])
    ]
    similarity = SimilarityInputs(
        torch.randn(1, 1, 1, 5, 8).bfloat16(),
        torch.randn(1, 1, NUM_QUERIES, 8).bfloat16(),
        torch.zeros(1, 1, 1, 1, dtype=torch.int64),
    )
    with torch.autocast("cpu", torch.bfloat16):
        losses = UnifiedLoss(clip_criterion())(clips, [targets], SIZE, [similarity] * 2)
    assert losses.total.dtype == torch.float32
    assert {part.dtype for part in losses.parts.values()} == {torch.float32}
