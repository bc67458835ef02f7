"""DVIS's targets: an instance keeps the query that it has when it first appears."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from vis.support.shown import (
    NUM_CLASSES,
    NUM_QUERIES,
    SIZE,
    looks_like,
    make_criterion,
    make_targets,
    no_targets,
)

from vidgap_segmenter import ClipTargets, NonFiniteLoss, Prediction
from vidgap_segmenter.frame_targets import FrameTargets
from vidgap_vis.trackers.dvis import ReferringLoss, RefinerLoss, consistent_matching


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def predict(targets: ClipTargets, likes: Sequence[Sequence[int]]) -> Prediction:
    logits, masks = looks_like(targets, likes)
    return Prediction(logits[None].requires_grad_(), masks[None].requires_grad_())


def queries(
    targets: ClipTargets, likes: Sequence[Sequence[int]], *, reuse: bool = False
) -> list[int]:
    listed = FrameTargets.from_whole_clips([targets], SIZE, list_unseen=True)
    prediction = predict(targets, likes)
    matching = consistent_matching(
        make_criterion(), prediction, [targets], listed, reuse_queries=reuse
    )
    found: list[int] = matching.tables()[0].tolist()
    return found


def test_an_instance_keeps_the_query_of_its_first_frame() -> None:
    targets = make_targets([[1, 1, 1]])
    assert queries(targets, [[3, 5, 5]]) == [3]


def test_one_that_is_away_in_the_first_frames_takes_the_query_it_appears_in() -> None:
    targets = make_targets([[1, 1, 1], [0, 1, 0]])
    assert queries(targets, [[3, 3, 3], [-1, 2, 5]]) == [3, 2]


def test_a_newcomer_takes_a_free_query_unless_it_may_share() -> None:
    targets = make_targets([[1, 0], [0, 1]])
    likes = [[3, -1], [-1, 3]]
    own, free = queries(targets, likes)
    assert own == 3
    assert free != 3
    assert queries(targets, likes, reuse=True) == [3, 3]


def test_one_that_no_frame_shows_has_no_query() -> None:
    assert queries(make_targets([[0, 0], [1, 0]]), [[0, 0], [2, -1]]) == [-1, 2]


def test_more_instances_than_queries_leave_some_without() -> None:
    targets = make_targets([[1]] * 8)
    found = queries(targets, [[n % NUM_QUERIES] for n in range(8)])
    assert sorted(query for query in found if query >= 0) == list(range(NUM_QUERIES))
    assert found.count(-1) == 2
    late = make_targets([[1, 1]] * NUM_QUERIES + [[0, 1]])
    assert queries(late, [[n, n] for n in range(NUM_QUERIES)] + [[-1, 0]])[-1] == -1


def test_absent_frames_learn_the_class_and_an_empty_mask() -> None:
    targets = make_targets([[1, 0]])
    prediction = predict(targets, [[1, 1]])
    losses = ReferringLoss(make_criterion())([prediction], [targets], SIZE)
    losses.total.backward()
    assert prediction.mask_logits.grad is not None
    assert prediction.class_logits.grad is not None
    moved = prediction.mask_logits.grad[0].abs().flatten(2).sum(2) > 0  # (Q, T)
    assert moved.nonzero().tolist() == [[1, 0], [1, 1]]
    assert (prediction.mask_logits.grad[0, 1, 1, :, 0] > 0).all()  # pushed down where it was shown
    assert (prediction.class_logits.grad[0, 1, :, 0] < 0).all()
    assert losses.matchings[0].table(0).tolist() == [[1, 1]]


@pytest.mark.parametrize("loss", [ReferringLoss, RefinerLoss])
def test_a_guide_decides_for_all_layers(loss: type[ReferringLoss | RefinerLoss]) -> None:
    targets = make_targets([[1, 1]])
    one, other = predict(targets, [[1, 1]]), predict(targets, [[4, 4]])
    criterion = loss(make_criterion())
    alone = criterion([one, other], [targets], SIZE)
    guided = criterion([one, other], [targets], SIZE, other)
    first = [[int(m.queries[0]) for m in losses.matchings] for losses in (alone, guided)]
    assert first == [[1, 4], [4, 4]]
    assert guided.parts["mask"][0] > alone.parts["mask"][0]
    torch.testing.assert_close(
        guided.total,
        sum(criterion.criterion.weights[name] * part.sum() for name, part in guided.parts.items()),
    )


@pytest.mark.parametrize("loss", [ReferringLoss, RefinerLoss])
def test_a_clip_without_instances_learns_no_instance(
    loss: type[ReferringLoss | RefinerLoss],
) -> None:
    targets = no_targets(2)
    prediction = predict(targets, [])
    losses = loss(make_criterion())([prediction], [targets], SIZE)
    assert losses.parts["mask"].tolist() == losses.parts["dice"].tolist() == [0.0]
    losses.total.backward()
    assert prediction.class_logits.grad is not None
    assert (prediction.class_logits.grad[..., -1] < 0).all()


@pytest.mark.parametrize("loss", [ReferringLoss, RefinerLoss])
def test_clips_of_a_batch_do_not_mix(loss: type[ReferringLoss | RefinerLoss]) -> None:
    clips = [make_targets([[1, 1], [0, 1]]), no_targets(2), make_targets([[1, 0]])]
    likes: list[list[list[int]]] = [[[1, 1], [-1, 2]], [], [[5, -1]]]
    pairs = [looks_like(*pair) for pair in zip(clips, likes, strict=True)]
    batch = Prediction(*(torch.stack(tensors) for tensors in zip(*pairs, strict=True)))
    losses = loss(make_criterion())([batch], clips, SIZE)
    found = losses.matchings[0].tables()[:, :, 0]
    assert found.tolist() == [[1, 2], [-1, -1], [5, -1]]


def test_the_refiner_compares_padded_frames_as_they_lie() -> None:
    """Frames of 16 x 32 pixels in padded ones of 32 x 32: the second begins at row 32."""
    targets = make_targets([[1, 1]])
    logits, masks = looks_like(targets, [[2, 2]])
    padded = torch.full((NUM_QUERIES, 2, 8, 8), -20.0)
    padded[:, :, :4] = masks * 5
    losses = RefinerLoss(make_criterion())(
        [Prediction(logits[None], padded[None])], [targets], (32, 32)
    )
    assert losses.parts["dice"].item() < 0.3


@pytest.mark.parametrize("loss", [ReferringLoss, RefinerLoss])
def test_what_does_not_fit_is_named(loss: type[ReferringLoss | RefinerLoss]) -> None:
    targets = make_targets([[1, 1]])
    prediction = predict(targets, [[1, 1]])
    criterion = loss(make_criterion())
    with pytest.raises(ValueError, match="targets must be of 1 clips, got 2"):
        criterion([prediction], [targets, targets], SIZE)
    with pytest.raises(ValueError, match="masks must have 2 frames, got 1"):
        criterion([prediction], [make_targets([[1]])], SIZE)
    with pytest.raises(ValueError, match=r"within the padded \(8, 8\), got \(16, 32\)"):
        criterion([prediction], [targets], (8, 8))
    fewer = Prediction(prediction.class_logits[..., 1:], prediction.mask_logits)
    with pytest.raises(ValueError, match=f"of {NUM_CLASSES} classes and no instance, got 4"):
        criterion([fewer], [targets], SIZE)
    with pytest.raises(ValueError, match=f"of {NUM_CLASSES} classes and no instance, got 4"):
        criterion([prediction], [targets], SIZE, fewer)
    broken = Prediction(prediction.class_logits, prediction.mask_logits * torch.nan)
    with pytest.raises(NonFiniteLoss, match="matching costs must be finite"):
        criterion([broken], [targets], SIZE)


@pytest.mark.parametrize("loss", [ReferringLoss, RefinerLoss])
def test_losses_are_float32_under_autocast(loss: type[ReferringLoss | RefinerLoss]) -> None:
    targets = make_targets([[1, 1]])
    logits, masks = looks_like(targets, [[1, 1]])
    half = Prediction(logits[None].bfloat16(), masks[None].bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        losses = loss(make_criterion())([half], [targets], SIZE, half)
    assert losses.total.dtype == torch.float32
    assert {part.dtype for part in losses.parts.values()} == {torch.float32}
