"""The referring tracker follows what its segmenter shuffles, in steps of any length."""

from __future__ import annotations

import pytest
import torch
from tolerances import TOLERANCE
from torch import Tensor
from vis.support.following import CHANNELS, NUM_QUERIES, drifting, shuffled, small_tracker

from vidgap_vis.trackers.dvis import (
    QueryPrediction,
    ReferringState,
    ReferringTracker,
    align,
    mask_logits,
)

EXACT = TOLERANCE[torch.float64]


def assert_same(one: QueryPrediction, other: QueryPrediction) -> None:
    for name in ("class_logits", "mask_embeddings", "queries"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), **EXACT)


@torch.no_grad()
@pytest.mark.parametrize("clips", [1, 2])
def test_queries_that_trade_places_change_nothing(clips: int) -> None:
    queries = drifting(9, clips)
    mixed, places = shuffled(queries)
    tracker = small_tracker()
    plain, still, _ = tracker.step(queries)
    followed, order, _ = tracker.step(mixed)
    assert torch.equal(still, torch.arange(NUM_QUERIES)[None, :, None].expand_as(still))
    assert torch.equal(order, places)
    assert_same(followed, plain)


@torch.no_grad()
def test_the_inverse_alignment_loses_them_and_is_right_for_exchanged_pairs() -> None:
    queries = drifting(9)
    mixed, places = shuffled(queries)
    assert not torch.equal(small_tracker(inverse_alignment=True).step(mixed)[1], places)
    pairs = queries.clone()
    pairs[:, :, 1::2] = queries[:, [1, 0, 3, 2, 4, 5, 6], 1::2]
    right, inverse = (small_tracker(inverse_alignment=i).step(pairs) for i in (False, True))
    assert torch.equal(right[1], inverse[1])
    assert_same(right[0], inverse[0])


def test_one_that_returns_finds_its_own_slot_and_newcomers_take_what_is_free() -> None:
    queries = drifting(6)
    strangers = drifting(6, seed=5)
    queries[:, 2, 2:4] = strangers[:, 2, 2:4]  # away for two frames
    queries[:, 4, 3:] = strangers[:, 4, 3:]  # another instance from frame 3 on
    mixed, places = shuffled(queries)
    assert torch.equal(align(mixed, None), places)


@torch.no_grad()
@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("lengths", [[1] * 8, [3, 5], [7, 1], [2, 1, 1, 4]], ids=str)
def test_where_a_video_is_cut_changes_nothing(lengths: list[int], inverse: bool) -> None:
    mixed, _ = shuffled(drifting(8, clips=2))
    tracker = small_tracker(inverse_alignment=inverse)
    whole, order, end = tracker.step(mixed)
    state: ReferringState | None = None
    parts, orders = [], []
    for part in mixed.split(lengths, dim=2):
        prediction, part_order, state = tracker.step(part, state)
        parts.append(prediction)
        orders.append(part_order)
    assert torch.equal(torch.cat(orders, dim=2), order)
    joined = QueryPrediction(
        *(
            torch.cat([getattr(part, name) for part in parts], dim=2)
            for name in ("class_logits", "mask_embeddings", "queries")
        )
    )
    assert_same(joined, whole)
    assert state is not None
    torch.testing.assert_close(state.outputs, end.outputs, **EXACT)
    assert state.aligned.untyped_storage().nbytes() == state.aligned.nbytes


@torch.no_grad()
def test_a_first_frame_is_a_frame_by_itself() -> None:
    tracker = small_tracker()
    queries = drifting(4, clips=2)
    alone = tracker.frame_forward(queries)
    first, _, _ = tracker.step(queries[:, :, :1])
    torch.testing.assert_close(first.queries, alone[:, :, :1], **EXACT)
    for time in range(4):
        frame = tracker.frame_forward(queries[:, :, time : time + 1])
        torch.testing.assert_close(frame, alone[:, :, time : time + 1], **EXACT)


def test_layers_wait_for_nothing() -> None:
    tracker = small_tracker()
    identity, last, frame = drifting(3)[0].transpose(0, 1)[:, None]
    whole = torch.compile(tracker.refer, backend="eager", fullgraph=True)
    for before in (None, last):
        for one, other in zip(
            whole(identity, before, frame), tracker.refer(identity, before, frame), strict=True
        ):
            torch.testing.assert_close(one, other, **EXACT)


def test_gradients_flow_from_frame_to_frame_and_over_a_cut() -> None:
    tracker = small_tracker().train()
    gradients = []
    for lengths in ([4], [2, 2]):
        queries = drifting(4).requires_grad_()
        state = None
        for part in queries.split(lengths, dim=2):
            prediction, _, state = tracker.step(part, state)
        assert len(prediction.auxiliary) == len(tracker.layers) - 1
        (gradient,) = torch.autograd.grad(prediction.class_logits[:, :, -1].square().sum(), queries)
        gradients.append(gradient)
    assert gradients[0][:, :, 0].abs().sum() > 0
    torch.testing.assert_close(*gradients, **EXACT)


@torch.no_grad()
def test_half_precision_finds_the_order_that_float32_does() -> None:
    # nearly alike: bfloat16 could not tell them apart
    queries = (drifting(1) + 3e-3 * drifting(6, seed=3)).float()
    queries = queries[:, :1] + 3e-3 * queries
    mixed, places = shuffled(queries)
    tracker = small_tracker().float()
    exact, order, _ = tracker.step(mixed)
    assert torch.equal(order, places)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half, half_order, state = tracker.step(mixed)
    assert torch.equal(half_order, places)
    assert state.aligned.dtype == torch.float32
    gap = (half.class_logits.float() - exact.class_logits).abs().max()
    assert gap < 0.1 * exact.class_logits.abs().max()


def wrong(shape: tuple[int, ...]) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64)


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        (wrong((1, 7, 2, 15)), r"queries must be \(B, Q, T, 16\), got shape \(1, 7, 2, 15\)"),
        (wrong((7, 2, 16)), r"queries must be \(B, Q, T, 16\), got shape \(7, 2, 16\)"),
        (wrong((1, 7, 0, 16)), r"queries must have a frame, T >= 1"),
        (wrong((1, 6, 2, 16)), r"queries must be \(1, 7, T, 16\), as in the frames before"),
        (wrong((2, 7, 2, 16)), r"queries must be \(1, 7, T, 16\), as in the frames before"),
        (drifting(2) * torch.nan, "queries must be finite, got nan or inf"),
    ],
    ids=["channels", "axes", "no frame", "queries", "clips", "nan"],
)
def test_wrong_queries_are_named(queries: Tensor, message: str) -> None:
    tracker = small_tracker()
    _, _, state = tracker.step(drifting(1))
    with pytest.raises(ValueError, match=message):
        tracker.step(queries, state)


def test_other_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="num_layers must be at least 1, got 0"):
        ReferringTracker(CHANNELS, 3, num_layers=0)
    with pytest.raises(ValueError, match="queries must have a frame"):
        small_tracker().frame_forward(drifting(1)[:, :, :0])
    with pytest.raises(ValueError, match=r"mask_features must be \(1, 2, 16, h, w\)"):
        mask_logits(drifting(2), torch.zeros(1, 3, CHANNELS, 4, 4))
