"""VITA's encoder sees the windows it should, and the head takes any video and names mistakes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tolerances import TOLERANCE
from torch import Tensor
from vis.support.vita_heads import (
    CHANNELS,
    NUM_CLASSES,
    NUM_FRAME_QUERIES,
    NUM_QUERIES,
    random_queries,
    small_vita,
)

from vidgap_vis.trackers.vita import VITA, VideoResult, VITAOutput, window_edges

EXACT = TOLERANCE[torch.float64]


@torch.no_grad()
def predict(head: VITA, frame_queries: Tensor) -> VITAOutput:
    output: VITAOutput = head(frame_queries)
    return output


def assert_same(one: VITAOutput, other: VITAOutput) -> None:
    for name in ("class_logits", "mask_embeddings", "queries", "clip_similarity"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), **EXACT)


def seen_with_masks(num_frames: int, window: int, *, shifted: bool) -> Tensor:
    """Return which frame sees which, (T, T), by padding, rolling and hiding as the release does."""
    padded = -(-num_frames // window) * window
    half = -(-window // 2) if shifted else 0
    order = torch.arange(padded).roll(half)  # frame at each place after the roll
    place = torch.arange(padded)
    same = place[:, None] // window == place // window
    wrapped = place < half
    same &= (wrapped[:, None] == wrapped) | (place[:, None] >= window)
    seen = torch.zeros(padded, padded, dtype=torch.bool)
    seen[order[:, None], order] = same
    return seen[:num_frames, :num_frames]


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("window", [1, 2, 3, 6, 20])
@pytest.mark.parametrize("num_frames", [1, 2, 7, 8, 12, 13])
def test_windows_are_those_of_rolled_and_masked_frames(
    num_frames: int, window: int, shifted: bool
) -> None:
    edges = window_edges(num_frames, window, shifted=shifted)
    seen = torch.zeros(num_frames, num_frames, dtype=torch.bool)
    for first, last in itertools.pairwise(edges):
        seen[first:last, first:last] = True
    assert torch.equal(seen, seen_with_masks(num_frames, window, shifted=shifted))


@pytest.mark.parametrize("num_frames", [1, 4, 7, 8, 11])
@pytest.mark.parametrize("training", [False, True])
@torch.no_grad()
def test_the_encoder_attends_as_with_masks(num_frames: int, training: bool) -> None:
    head = small_vita(window=3).train(training)
    frames = random_queries(2, num_frames)
    wanted = frames
    layers = zip(head.encoder.attention, head.encoder.ffn, strict=True)
    for index, (attention, ffn) in enumerate(layers):
        seen = seen_with_masks(num_frames, 3, shifted=index % 2 == 1 and not training)
        sees = seen.repeat_interleave(NUM_FRAME_QUERIES, 0)
        sees = sees.repeat_interleave(NUM_FRAME_QUERIES, 1).expand(2, -1, -1)  # clips
        tokens = wanted.flatten(1, 2)
        attended = attention.attention(tokens, tokens, tokens, sees)
        wanted = ffn(attention.norm(tokens + attended)).view(frames.shape)
    torch.testing.assert_close(head.encoder(frames), wanted, **EXACT)


@pytest.mark.parametrize("num_frames", [1, 5])
def test_a_window_longer_than_the_video_is_no_window(num_frames: int) -> None:
    frames = random_queries(2, num_frames)
    whole = predict(small_vita(window=0), frames)
    # a layer with shifted windows begins with half a one
    assert_same(predict(small_vita(window=2 * num_frames), frames), whole)
    if num_frames > 1:
        split = predict(small_vita(window=num_frames), frames)
        assert not torch.allclose(split.class_logits, whole.class_logits)
    trained = small_vita(window=num_frames).train()
    assert_same(predict(trained, frames), predict(small_vita(window=0).train(), frames))


def test_levels_and_clips_are_decoded_by_themselves() -> None:
    frames = random_queries(3, 2, 4)  # L, B, T
    head = small_vita().train()
    together = predict(head, frames)
    assert together.class_logits.shape == (3, 2, NUM_QUERIES, NUM_CLASSES + 1)
    assert together.frame_similarity.shape == frames.shape
    assert len(together.auxiliary) == 1
    for level in range(3):
        alone = predict(head, frames[level])
        torch.testing.assert_close(together.class_logits[level], alone.class_logits, **EXACT)
        torch.testing.assert_close(
            together.auxiliary[0].mask_embeddings[level],
            alone.auxiliary[0].mask_embeddings,
            **EXACT,
        )
    assert predict(head.eval(), frames).auxiliary == ()


def test_gradients_reach_every_weight() -> None:
    head = small_vita().train()
    output = head(random_queries(1, 4))
    maps = torch.ones(1, 4, CHANNELS, 2, 2, dtype=torch.float64)
    levels = (output, *output.auxiliary)
    total = sum(
        level.class_logits.square().sum() + head.mask_logits(level.mask_embeddings, maps).sum()
        for level in levels
    )
    total = total + output.frame_similarity.sum() + output.clip_similarity.sum()
    total.backward()
    assert [n for n, p in head.named_parameters() if p.grad is None] == []


@torch.no_grad()
def test_masks_are_those_of_projected_maps() -> None:
    head = small_vita()
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(2, 4, CHANNELS, generator=generator, dtype=torch.float64)
    maps = torch.randn(2, 3, CHANNELS, 5, 7, generator=generator, dtype=torch.float64)
    projected = head.mask_proj(maps.flatten(0, 1)).unflatten(0, (2, 3))
    wanted = torch.einsum("bqc,btchw->bqthw", embeddings, projected)
    torch.testing.assert_close(head.mask_logits(embeddings, maps), wanted, **EXACT)


def test_mistakes_are_named() -> None:
    head = small_vita()
    with pytest.raises(ValueError, match=r"must be \(\.\.\., T, 5 queries, 16 channels\), got"):
        head(torch.zeros(1, 2, 4, CHANNELS))
    with pytest.raises(ValueError, match=r"5 queries, 16 channels\), got \(1, 2, 5, 8\)"):
        head(torch.zeros(1, 2, 5, 8))
    with pytest.raises(ValueError, match=r"5 queries, 16 channels\), got \(2, 5, 16\)"):
        head(torch.zeros(2, 5, CHANNELS))
    with pytest.raises(ValueError, match="must be of 1 frame or more"):
        head(torch.zeros(1, 0, 5, CHANNELS))
    with pytest.raises(ValueError, match=r"start must be \(1, 6, 16\), got \(1, 5, 16\)"):
        head(torch.zeros(1, 2, 5, CHANNELS), torch.zeros(1, 5, CHANNELS))
    with pytest.raises(ValueError, match=r"before_projection must be \(\.\.\., T, 16, h, w\), got"):
        head.mask_logits(torch.zeros(1, 6, CHANNELS), torch.zeros(1, 2, 8, 4, 4))
    with pytest.raises(ValueError, match="window must be 0 frames"):
        small_vita(window=-1)


@pytest.mark.parametrize("training", [False, True])
def test_it_compiles_as_one_graph(training: bool) -> None:
    head = small_vita().train(training)
    torch._dynamo.reset()
    compiled = torch.compile(head, backend="eager", fullgraph=True)
    frames = random_queries(1, 7)
    assert_same(predict(compiled, frames), predict(head, frames))
    torch._dynamo.reset()


def test_autocast_predicts_in_float32() -> None:
    head = small_vita().float()
    frames = random_queries(1, 7).float()
    exact = predict(head, frames)
    with torch.autocast("cpu", torch.bfloat16):
        rough = predict(head, frames)
    for name in ("class_logits", "mask_embeddings", "queries", "frame_similarity"):
        assert getattr(rough, name).dtype == torch.float32, name
    gap = (rough.class_logits - exact.class_logits).std() / exact.class_logits.std()
    assert gap < 0.1


def test_results_come_window_by_window() -> None:
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(6, 3, generator=generator)
    masks = torch.randn(4, 7, 4, 6, generator=generator)
    sizes = ((16, 24), (15, 20), (30, 40))
    whole, parts = VideoResult(probabilities, 4), VideoResult(probabilities, 4)
    together = whole.add(masks, *sizes)
    pieces = [parts.add(window, *sizes) for window in masks.split(3, dim=1)]
    assert torch.equal(torch.cat(pieces, dim=1), together)
    assert together.shape == (4, 7, 30, 40)
    torch.testing.assert_close(parts.scores(), whole.scores())
    assert torch.equal(whole.class_scores, probabilities.flatten().sort(descending=True)[0][:4])
    assert (probabilities[whole.queries, whole.labels] == whole.class_scores).all()
    padded = F.interpolate(masks, size=(16, 24), mode="bilinear")[..., :15, :20]
    soft = padded.sigmoid().numpy().astype(np.float64)
    inside = (soft * (soft > 0.5)).sum((1, 2, 3)) / (soft > 0.5).sum((1, 2, 3))
    np.testing.assert_allclose(whole.scores(), whole.class_scores.numpy() * inside, rtol=1e-5)
    order = whole.scores()[whole.order()]
    assert (order[:-1] >= order[1:]).all()


def test_results_name_mistakes_and_empty_masks_score_nothing() -> None:
    result = VideoResult(torch.tensor([[0.5, 0.5], [0.5, 0.1]]), 3)
    assert result.order().tolist() == [0, 2, 1]  # no masks: all 0; the lower label first
    assert not result.add(torch.full((3, 1, 2, 2), -1.0), (8, 8), (8, 8), (8, 8)).any()
    assert result.scores().tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match=r"mask_logits must be \(3, T, h, w\), got \(2, 1, 2, 2\)"):
        result.add(torch.zeros(2, 1, 2, 2), (8, 8), (8, 8), (8, 8))
    with pytest.raises(ValueError, match="top_k must be at least 1, got 0"):
        VideoResult(torch.ones(1, 1), 0)
