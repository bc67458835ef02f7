"""The temporal refiner reads whole videos, of one frame too, and mixes nothing that it must not."""

from __future__ import annotations

import pytest
import torch
from tolerances import TOLERANCE
from torch import Tensor
from vis.support.following import CHANNELS, drifting, small_refiner

from vidgap_vis.trackers.dvis import TemporalRefiner, mask_logits

EXACT = TOLERANCE[torch.float64]


@torch.no_grad()
@pytest.mark.parametrize("num_frames", [1, 2, 9])
def test_each_query_has_one_class_and_a_mask_embedding_a_frame(num_frames: int) -> None:
    queries = drifting(num_frames, clips=2)
    prediction = small_refiner()(queries, drifting(num_frames, clips=2, seed=1))
    assert prediction.class_logits.shape == (2, 7, num_frames, 5)
    assert torch.equal(
        prediction.class_logits, prediction.class_logits[:, :, :1].expand(-1, -1, num_frames, -1)
    )
    assert prediction.mask_embeddings.shape == queries.shape
    assert prediction.auxiliary == ()


@torch.no_grad()
def test_videos_of_a_batch_do_not_mix_and_queries_have_no_order() -> None:
    refiner = small_refiner()
    queries, frames = drifting(5, clips=2), drifting(5, clips=2, seed=1)
    both = refiner(queries, frames)
    order = torch.tensor([3, 1, 0, 2, 6, 5, 4])
    alone = refiner(queries[1:, order], frames[1:].flip(1))
    for name in ("class_logits", "mask_embeddings", "queries"):
        torch.testing.assert_close(getattr(both, name)[1:, order], getattr(alone, name), **EXACT)


@torch.no_grad()
def test_a_still_video_is_as_one_frame() -> None:
    """Ends are replicated: convolutions see no edge where nothing moves."""
    refiner = small_refiner()
    queries, frames = drifting(1), drifting(1, seed=1)
    one = refiner(queries, frames)
    many = refiner(queries.expand(-1, -1, 6, -1), frames.expand(-1, -1, 6, -1))
    wanted = one.mask_embeddings.expand(-1, -1, 6, -1)
    torch.testing.assert_close(many.mask_embeddings, wanted, **EXACT)
    torch.testing.assert_close(many.class_logits[:, :, :1], one.class_logits, **EXACT)


@torch.no_grad()
def test_half_precision_weighs_frames_in_float32() -> None:
    refiner = small_refiner().float()
    queries, frames = drifting(5).float(), drifting(5, seed=1).float()
    exact = refiner(queries, frames)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = refiner(queries, frames)
    gap = (half.class_logits.float() - exact.class_logits).abs().max()
    assert gap < 0.1 * exact.class_logits.abs().max()


@torch.no_grad()
def test_windows_split_the_masks_alone() -> None:
    prediction = small_refiner()(drifting(7), drifting(7, seed=1))
    features = torch.randn(1, 7, CHANNELS, 3, 4, dtype=torch.float64)
    whole = mask_logits(prediction.mask_embeddings, features)
    pairs = zip(prediction.mask_embeddings.split(3, 2), features.split(3, 1), strict=True)
    torch.testing.assert_close(torch.cat([mask_logits(*p) for p in pairs], 2), whole, **EXACT)


@pytest.mark.parametrize(
    ("queries", "frame_queries", "message"),
    [
        (drifting(2)[..., :8], drifting(2), r"^queries must be \(B, Q, T, 16\)"),
        (drifting(2), drifting(2)[..., :8], r"^frame_queries must be \(B, Q, T, 16\)"),
        (drifting(2), drifting(3), r"frame_queries must be \(1, Q, 2, 16\) to match queries"),
        (drifting(2), drifting(2, clips=2), r"frame_queries must be \(1, Q, 2, 16\) to match"),
        (drifting(1)[:, :, :0], drifting(1), "queries must have a frame, T >= 1"),
    ],
    ids=["channels", "frames' channels", "frames", "clips", "no frame"],
)
def test_wrong_queries_are_named(queries: Tensor, frame_queries: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small_refiner()(queries, frame_queries)


def test_no_layer_is_an_error() -> None:
    with pytest.raises(ValueError, match="num_layers must be at least 1, got 0"):
        TemporalRefiner(CHANNELS, 3, num_layers=0)
