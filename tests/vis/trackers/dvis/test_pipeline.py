"""DVIS online as a `Tracker` of a segmenter's output."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tolerances import TOLERANCE
from vis.support.networks import SIZES

from vidgap_segmenter import ClipOutput, Mask2Former
from vidgap_vis.trackers import Tracker
from vidgap_vis.trackers.dvis import DVISHead, DVISTracker, ReferringTracker, mask_logits

NUM_FRAMES, NUM_CLASSES = 5, 3


@pytest.fixture(scope="module")
def head() -> DVISHead:
    torch.manual_seed(0)
    head = DVISHead(ReferringTracker(32, NUM_CLASSES, num_layers=2, ffn_channels=16))
    return head.eval()


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


def test_every_query_is_a_track_with_the_heads_classes_and_masks(
    head: DVISHead, outputs: list[ClipOutput]
) -> None:
    tracker: Tracker = DVISTracker(head)
    tracks = tracker.step(outputs[0])
    inputs = outputs[0].head_inputs
    assert inputs is not None
    assert tracks.ids.tolist() == list(range(1, SIZES["num_queries"] + 1))
    assert (tracks.queries == tracks.ids[:, None] - 1).all()
    with torch.no_grad():
        wanted, _, _ = head.tracker.step(inputs.queries[0])
        masks = mask_logits(wanted.mask_embeddings, inputs.mask_features)[0]
    assert tracks.mask_logits is not None
    torch.testing.assert_close(tracks.mask_logits, masks, **TOLERANCE[torch.float32])
    for time in (0, NUM_FRAMES - 1):
        mean = wanted.class_logits[0, :, : time + 1].mean(1)
        scores = mean.softmax(-1)[:, :-1].numpy()
        np.testing.assert_allclose(tracks.class_scores[:, time], scores, rtol=1e-5)
    ranking = tracker.finish()
    assert len(ranking.scores) == SIZES["num_queries"] * NUM_CLASSES
    np.testing.assert_allclose(ranking.scores, np.sort(scores, axis=None)[::-1], rtol=1e-5)
    np.testing.assert_allclose(scores[ranking.ids - 1, ranking.labels], ranking.scores, rtol=1e-5)


def test_a_resumed_video_in_parts_is_the_whole_one(
    head: DVISHead, outputs: list[ClipOutput]
) -> None:
    whole, tracker = DVISTracker(head), DVISTracker(head)
    wanted = whole.step(outputs[0])
    tracker.step(outputs[1])
    resumed = DVISTracker(head)
    resumed.load_state_dict(tracker.state_dict())
    size = resumed.state_size()
    last = resumed.step(outputs[2])
    assert last.first_frame == 2
    np.testing.assert_allclose(last.class_scores, wanted.class_scores[:, 2:], rtol=1e-3)
    np.testing.assert_allclose(resumed.finish().scores, whole.finish().scores, rtol=1e-3)
    assert resumed.state_size() == size == 4 * SIZES["num_queries"] * (2 * 32 + NUM_CLASSES + 1)


def test_a_video_without_frames_has_no_tracks(head: DVISHead) -> None:
    tracker = DVISTracker(head)
    tracker.load_state_dict(tracker.state_dict())
    assert list(tracker.finish()) == []


def test_mistakes_are_named(
    head: DVISHead, network: Mask2Former, outputs: list[ClipOutput]
) -> None:
    tracker = DVISTracker(head)
    assert tracker.needs == {"queries", "mask_features"}
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
