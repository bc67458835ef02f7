"""VITA and GenVIS as `Tracker`s of a segmenter's output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import pytest
import torch
from tolerances import TOLERANCE
from vis.support.networks import SIZES

from vidgap_segmenter import ClipOutput, HeadInputs, Mask2Former
from vidgap_vis.trackers import Tracker
from vidgap_vis.trackers.genvis import GenVIS, GenVISTracker
from vidgap_vis.trackers.vita import VITA, VITATracker

NUM_FRAMES, NUM_CLASSES, NUM_QUERIES = 5, 3, 4
EITHER: TypeAlias = Callable[[], VITATracker | GenVISTracker]


def small_head(window: int) -> VITA:
    torch.manual_seed(0)
    return VITA(
        NUM_CLASSES,
        num_frame_queries=SIZES["num_queries"],
        channels=SIZES["channels"],
        num_queries=NUM_QUERIES,
        num_encoder_layers=2,
        num_layers=2,
        ffn_channels=16,
        window=window,
    ).eval()


HEAD = small_head(window=2)
MEMORY = GenVIS(small_head(window=0), max_memory=3).eval()
TRACKERS: dict[str, EITHER] = {
    "vita": lambda: VITATracker(HEAD),
    "genvis": lambda: GenVISTracker(MEMORY),
}

both = pytest.mark.parametrize("make", TRACKERS.values(), ids=TRACKERS)


@pytest.fixture(scope="module")
def network() -> Mask2Former:
    torch.manual_seed(0)
    return Mask2Former("resnet18", NUM_CLASSES, **SIZES).eval()


@pytest.fixture(scope="module")
def outputs(network: Mask2Former) -> list[ClipOutput]:
    """Give the whole clip, then its frames in two parts."""
    generator = torch.Generator().manual_seed(0)
    frames = torch.rand(1, NUM_FRAMES, 3, 32, 64, generator=generator) * 255
    with torch.no_grad():
        return [
            network(part, with_head_inputs=True) for part in (frames, frames[:, :2], frames[:, 2:])
        ]


def inputs_of(output: ClipOutput) -> HeadInputs:
    assert output.head_inputs is not None
    return output.head_inputs


@torch.no_grad()
def test_genvis_gives_the_heads_classes_and_masks(outputs: list[ClipOutput]) -> None:
    tracker: Tracker = GenVISTracker(MEMORY, clip_frames=2, top_k=100)
    tracks = tracker.step(outputs[0])
    inputs = inputs_of(outputs[0])
    assert not tracker.offline
    assert tracks.ids.tolist() == list(range(1, NUM_QUERIES + 1))
    assert (tracks.queries == tracks.ids[:, None] - 1).all()
    assert tracks.mask_logits is not None
    state, masks, best = None, [], []
    for clip in (slice(0, 2), slice(2, 4), slice(4, 5)):
        output, state = MEMORY.step(inputs.queries[0].transpose(1, 2)[:, clip], state)
        maps = inputs.before_projection[0, clip]
        masks.append(MEMORY.vita.mask_logits(output.mask_embeddings[0], maps))
        best += [state.probabilities[0]] * len(maps)
    torch.testing.assert_close(tracks.mask_logits, torch.cat(masks, 1), **TOLERANCE[torch.float32])
    np.testing.assert_allclose(tracks.class_scores, torch.stack(best, 1), rtol=1e-5)
    ranking = tracker.finish()
    assert len(ranking.scores) == NUM_QUERIES * NUM_CLASSES
    scores = best[-1].numpy()
    np.testing.assert_allclose(ranking.scores, np.sort(scores, axis=None)[::-1], rtol=1e-5)
    np.testing.assert_allclose(scores[ranking.ids - 1, ranking.labels], ranking.scores, rtol=1e-5)


@torch.no_grad()
def test_vita_reads_all_frames_and_then_makes_masks(outputs: list[ClipOutput]) -> None:
    tracker = VITATracker(HEAD, top_k=2)
    as_tracker: Tracker = tracker
    assert as_tracker.offline
    for part in outputs[1:]:
        found = tracker.step(part)
        assert found.ids.tolist() == []
        assert found.queries.shape == (0, inputs_of(part).queries.shape[3])
    assert found.first_frame == 2
    first, last = (tracker.masks(part) for part in outputs[1:])
    inputs = inputs_of(outputs[0])
    wanted = HEAD(inputs.queries[0].transpose(1, 2))
    masks = HEAD.mask_logits(wanted.mask_embeddings, inputs.before_projection)[0]
    rows = torch.from_numpy(first.ids - 1)
    assert first.mask_logits is not None
    assert last.mask_logits is not None
    made = torch.cat([first.mask_logits, last.mask_logits], dim=1)
    torch.testing.assert_close(made, masks[rows], rtol=1e-3, atol=1e-4)
    assert (first.first_frame, last.first_frame) == (0, 2)
    probabilities = wanted.class_logits[0].softmax(-1)[:, :-1]
    np.testing.assert_allclose(last.class_scores[:, 0], probabilities[rows], rtol=1e-3)
    ranking = tracker.finish()
    assert set(ranking.ids.tolist()) == set(first.ids.tolist())
    best = probabilities.flatten().sort(descending=True)[0][:2]
    np.testing.assert_allclose(ranking.scores, best, rtol=1e-3)


@both
def test_mask_scores_count_over_pixels(make: EITHER, outputs: list[ClipOutput]) -> None:
    tracker = make()
    tracker.step(outputs[0])
    before = tracker.finish()
    ids = np.arange(1, NUM_QUERIES + 1)
    tracker.score_masks(ids, np.full(NUM_QUERIES, 0.9, np.float32), np.full(NUM_QUERIES, 10))
    tracker.score_masks(ids[:1], np.full(1, 0.5, np.float32), np.full(1, 30))
    factors = np.array([(9 + 15) / 40, *[0.9] * (NUM_QUERIES - 1)])
    after = {(id_, label): score for id_, label, score in tracker.finish()}
    assert len(after) == len(before.ids) == 10
    for id_, label, score in before:
        assert after[id_, label] == pytest.approx(score * factors[id_ - 1], rel=1e-5)
    assert list(after.values()) == sorted(after.values(), reverse=True)


@both
def test_a_resumed_video_in_parts_is_the_whole_one(make: EITHER, outputs: list[ClipOutput]) -> None:
    whole, tracker, resumed = make(), make(), make()
    whole.step(outputs[0])
    tracker.step(outputs[1])
    resumed.load_state_dict(tracker.state_dict())
    assert resumed.step(outputs[2]).first_frame == 2
    np.testing.assert_allclose(resumed.finish().scores, whole.finish().scores, rtol=1e-3)
    assert resumed.state_size() == whole.state_size()


def test_states_are_as_large_as_they_say(outputs: list[ClipOutput]) -> None:
    frames, memory = VITATracker(HEAD), GenVISTracker(MEMORY)
    sizes = []
    for _ in range(3):
        for tracker in (frames, memory):
            tracker.step(outputs[0])
        sizes.append((frames.state_size(), memory.state_size()))
    channels = SIZES["channels"]
    assert (
        np.diff(sizes, axis=0).tolist()
        == [[4 * NUM_FRAMES * SIZES["num_queries"] * channels, 0]] * 2
    )
    head = 4 * NUM_QUERIES * (channels + 2 * 3 * channels + NUM_CLASSES)
    assert sizes[0][1] == head + 2 * 8 * NUM_QUERIES


@both
def test_inputs_in_half_precision_will_do(make: EITHER, outputs: list[ClipOutput]) -> None:
    inputs = inputs_of(outputs[0])
    halves = replace(
        inputs,
        queries=inputs.queries.bfloat16(),
        before_projection=inputs.before_projection.bfloat16(),
    )
    rough = replace(outputs[0], head_inputs=halves)
    whole, half = make(), make()
    whole.step(outputs[0])
    found = half.step(rough)
    tracks = half.masks(rough) if isinstance(half, VITATracker) else found
    assert tracks.mask_logits is not None
    assert tracks.mask_logits.dtype == torch.float32
    np.testing.assert_allclose(half.finish().scores, whole.finish().scores, atol=0.05)


@both
def test_a_video_without_frames_has_no_tracks(make: EITHER) -> None:
    tracker = make()
    tracker.load_state_dict(tracker.state_dict())
    assert list(tracker.finish()) == []


@both
def test_mistakes_are_named(make: EITHER, network: Mask2Former, outputs: list[ClipOutput]) -> None:
    tracker = make()
    assert tracker.needs == {"queries", "before_projection"}
    with pytest.raises(ValueError, match="repeated must be 0: each frame is taken once, got 1"):
        tracker.step(outputs[0], repeated=1)
    with pytest.raises(ValueError, match="clip must be a network's output with head_inputs"):
        tracker.step([])
    with torch.no_grad():
        frames = torch.zeros(2, 1, 3, 32, 32)
        with pytest.raises(ValueError, match="got none in it"):
            tracker.step(network(frames))
        with pytest.raises(ValueError, match="clip must hold one clip, got 2"):
            tracker.step(network(frames, with_head_inputs=True))


def test_wrong_orders_and_options_are_named(outputs: list[ClipOutput]) -> None:
    tracker = VITATracker(HEAD)
    tracker.step(outputs[1])
    with pytest.raises(ValueError, match="clip must end by frame 2, got 3"):
        tracker.masks(outputs[2])
    tracker.masks(outputs[1])
    with pytest.raises(ValueError, match="all frames must come before masks, got more after 2"):
        tracker.step(outputs[2])
    with pytest.raises(ValueError, match="top_k must be at least 1, got 0"):
        VITATracker(HEAD, top_k=0)
    with pytest.raises(ValueError, match="clip_frames and top_k must be at least 1, got 0 and 10"):
        GenVISTracker(MEMORY, clip_frames=0)
