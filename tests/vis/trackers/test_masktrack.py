"""MaskTrack R-CNN's association on exact detections, and its network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from vidgap_segmenter import ClipOutput, HeadInputs
from vidgap_vis.trackers import Detections, OnlineTracker, ScoreRecipe
from vidgap_vis.trackers.base import size_of
from vidgap_vis.trackers.masktrack import (
    MaskTrackAssociator,
    MaskTrackOptions,
    RegionFeatures,
    TrackHead,
    with_track_embeddings,
)

NUM, CLASSES = 5, 3
LOOKS = 8 * (np.eye(NUM) - 1 / NUM).astype(np.float32)
"""Of objects: dot products with oneself are positive, with others negative."""

Object = tuple[int, float, int, float]
"""Look, score, label, and x of the box."""


def frame(*objects: Object) -> Detections:
    """Show objects; the other queries show nothing."""
    probabilities = np.zeros((NUM, CLASSES), np.float32)
    embeddings = np.zeros((NUM, NUM), np.float32)
    boxes = np.full((NUM, 4), 0.1, np.float32)
    for query, (look, score, label, x) in enumerate(objects):
        probabilities[query, label] = score
        embeddings[query], boxes[query, 0] = LOOKS[look], x
    return Detections(probabilities, embeddings, np.zeros((NUM, 2, 2), np.bool_), boxes)


def run(*frames: Detections, options: MaskTrackOptions | None = None) -> list[list[int]]:
    """Return the ids of the detections of each frame, without the last ones that are none."""
    associator = MaskTrackAssociator(options)
    found = [associator.update(one).ids.tolist() for one in frames]
    return [ids[: max((i + 1 for i, id_ in enumerate(ids) if id_), default=0)] for ids in found]


def test_a_crossing_a_return_and_a_newcomer() -> None:
    first, second = (0, 0.9, 0, 0.2), (1, 0.8, 0, 0.8)
    crossed = ((1, 0.8, 0, 0.2), (0, 0.9, 0, 0.8))
    alone, new = frame((0, 0.9, 0, 0.8)), (2, 0.7, 1, 0.5)
    ids = run(frame(first, second), frame(*crossed), *[alone] * 30, frame(*crossed, new))
    assert ids == [[1, 2], [2, 1], *[[1]] * 30, [2, 1, 3]]


def test_overlap_tells_look_alikes_apart() -> None:
    left, right = (0, 0.9, 0, 0.2), (0, 0.8, 0, 0.8)
    wider = (0, 0.8, 0, 0.79)
    associator = MaskTrackAssociator()
    associator.update(frame(left))
    associator._ids, associator._num_begun = np.array([1, 2]), 2  # two tracks with one look
    associator._embeddings = np.repeat(associator._embeddings, 2, axis=0)
    associator._boxes = np.array([[0.2, 0.1, 0.1, 0.1], [0.8, 0.1, 0.1, 0.1]], np.float32)
    associator._labels = associator._last_visible = np.zeros(2, np.int64)
    assert associator.update(frame(left, wider)).ids[:2].tolist() == [1, 2]
    assert associator.update(frame(right, left)).ids[:2].tolist() == [2, 1]


def test_of_two_detections_of_a_track_the_better_one_has_it() -> None:
    """The surer one is elsewhere, the other stands where the track was."""
    before = frame((0, 0.9, 0, 0.2))
    both = frame((0, 0.9, 0, 0.8), (0, 0.85, 0, 0.2))
    assert run(before, both) == [[1], [0, 1]]
    assert run(before, both, options=MaskTrackOptions(masktrack_compat=True)) == [[1], [1, 1]]
    swapped = frame((0, 0.9, 0, 0.2), (0, 0.85, 0, 0.8))
    for compat in (False, True):
        options = MaskTrackOptions(masktrack_compat=compat)
        assert run(before, swapped, options=options) == [[1], [1]]


def test_of_a_track_that_a_frame_has_twice_the_last_counts() -> None:
    recipe = ScoreRecipe(classes="votes", masks="none", above=0.0)
    tracker = OnlineTracker(MaskTrackAssociator(MaskTrackOptions(masktrack_compat=True)), recipe)
    both = frame((0, 0.9, 0, 0.8), (0, 0.85, 0, 0.2))
    tracks = tracker.step([frame((0, 0.95, 0, 0.2)), both])
    assert tracks.queries.tolist() == [[0, 1]]
    assert list(tracker.finish()) == [(1, 0, pytest.approx(0.9))]


@pytest.mark.parametrize("compat", [False, True], ids=["last label", "first label"])
def test_the_label_that_a_track_is_compared_with(compat: bool) -> None:
    associator = MaskTrackAssociator(MaskTrackOptions(masktrack_compat=compat))
    associator.update(frame((0, 0.9, 0, 0.2)))
    again = frame((0, 0.9, 1, 0.2))
    bare = associator.scores(again)
    assert associator.update(again).ids[0] == 1
    assert associator.scores(again)[0, 1] - bare[0, 1] == pytest.approx(0 if compat else 10)


def test_frames_without_detections_and_without_queries() -> None:
    assert run(frame(), frame((0, 0.9, 0, 0.2)), frame(), frame((0, 0.9, 0, 0.2))) == [
        [],
        [1],
        [],
        [1],
    ]
    none = Detections(
        np.zeros((0, 2), np.float32), np.zeros((0, 4), np.float32), np.zeros((0, 3, 3), np.bool_)
    )
    assert run(none, none) == [[], []]


def test_only_the_best_detections_are_kept_and_duplicates_of_a_class_dropped() -> None:
    objects = ((0, 0.9, 0, 0.2), (1, 0.8, 0, 0.2), (2, 0.7, 1, 0.2), (3, 0.6, 0, 0.8))
    assert run(frame(*objects)) == [[1, 0, 2, 3]]
    assert run(frame(*objects), options=MaskTrackOptions(max_detections=2)) == [[1, 0, 2]]


def test_a_resumed_video_goes_on_and_old_tracks_are_forgotten() -> None:
    rng, options = np.random.default_rng(0), MaskTrackOptions(max_gap=5)
    straight, resumed = MaskTrackAssociator(options), MaskTrackAssociator(options)
    sizes, ended = [], 0
    for time in range(200):
        shown: list[Object] = [
            (look, rng.uniform(0.1, 0.9), int(rng.integers(CLASSES)), 0.2 + 0.3 * row)
            for row, look in enumerate(rng.permutation(NUM)[:2].tolist())
        ]
        if time == 100:
            resumed.load_state_dict(straight.state_dict())
        wanted = straight.update(frame(*shown))
        ended += len(wanted.ended)
        if time >= 100:
            got = resumed.update(frame(*shown))
            assert (got.ids.tolist(), got.ended) == (wanted.ids.tolist(), wanted.ended)
        sizes.append(size_of(straight.state_dict()))
    assert ended
    assert max(sizes[100:]) <= 2 * max(sizes[:100])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min_score": -0.5}, r"min_score must be in \[0, 1\], got -0\.5"),
        ({"box_duplicate_iou": 1.1}, r"box_duplicate_iou must be in \[0, 1\], got 1\.1"),
        ({"max_detections": 0}, "max_detections must be at least 1, got 0"),
        ({"label_weight": -1}, "label_weight must be at least 0, got -1"),
        ({"iou_offset": float("inf")}, "iou_offset must be at least 0, got inf"),
        ({"max_gap": -1}, "max_gap must be at least 0, got -1"),
    ],
    ids=str,
)
def test_options_that_mean_nothing_are_refused(wrong: Mapping[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MaskTrackOptions(**wrong)  # type: ignore[arg-type]


def test_the_head_has_the_releases_weights_and_a_zero_for_new() -> None:
    torch.manual_seed(0)
    head = TrackHead(6, 4)
    assert {name: tuple(weight.shape) for name, weight in head.state_dict().items()} == {
        "fcs.0.weight": (4, 6),
        "fcs.0.bias": (4,),
        "fcs.1.weight": (4, 4),
        "fcs.1.bias": (4,),
    }
    features = torch.randn(3, 6)
    embeddings = head(features)
    logits = head.logits(embeddings, embeddings[:2])
    assert logits.shape == (3, 3)
    assert logits[:, 0].tolist() == [0, 0, 0]
    torch.testing.assert_close(logits[:, 1:], embeddings @ embeddings[:2].T)
    np.testing.assert_array_equal(head.embed(features.numpy()), embeddings.detach().numpy())


def output(boxes: torch.Tensor | None, pyramid: tuple[torch.Tensor, ...]) -> ClipOutput:
    num = 3
    maps = pyramid[0]
    return ClipOutput(
        torch.zeros(1, num, 2, 4),
        torch.zeros(1, num, 2, 16, 32),
        torch.zeros(1, num, 2, 5),
        (),
        (64, 128),
        (64, 128),
        boxes=boxes,
        head_inputs=HeadInputs(torch.zeros(1, 1, num, 2, 5), maps, maps, pyramid),
    )


def test_regions_are_read_where_the_boxes_are_from_the_map_of_their_size() -> None:
    """A map's two channels are its x in pixels, and its stride."""
    strides = (4, 8)
    pyramid = []
    for stride in strides:
        x = ((torch.arange(128 // stride) + 0.5) * stride).expand(1, 2, 1, 128 // stride, -1)
        pyramid.append(torch.cat([x, torch.full_like(x, stride)], dim=2))
    boxes = torch.tensor([[0.25, 0.5, 0.1, 0.2], [0.5, 0.5, 0.25, 0.5], [0.5, 0.5, 0.9, 0.9]])
    boxes = boxes[None, :, None].repeat(1, 1, 2, 1)  # (B, Q, T, 4)
    boxes[0, 0, 1, 0] = 0.75  # moves
    regions = RegionFeatures(strides, size=2)
    found = regions(pyramid, boxes, (128, 128)).unflatten(3, (2, 2, 2))  # (B, Q, T, C, 2, 2)
    assert found[0, :2, :, 1].unique().tolist() == [4]
    assert found[0, 2, :, 1].unique().tolist() == [8]
    torch.testing.assert_close(
        found[0, :2, :, 0].mean((2, 3)), torch.tensor([[32.0, 96.0], [64.0, 64.0]])
    )
    torch.testing.assert_close(found[0, 0, 0, 0, 0], torch.tensor([32 - 3.2, 32 + 3.2]))


def test_a_networks_output_gets_the_embeddings_of_its_boxes() -> None:
    torch.manual_seed(0)
    pyramid = (torch.randn(1, 2, 3, 16, 32),)
    boxes = torch.full((1, 3, 2, 4), 0.3)
    regions, head = RegionFeatures((4,), size=7), TrackHead(3 * 49, 8)
    given = output(boxes, pyramid)
    found = with_track_embeddings(given, head, regions)
    assert found.embeddings.shape == (1, 3, 2, 8)
    torch.testing.assert_close(found.embeddings, head(regions(pyramid, boxes, (64, 128))))
    with pytest.raises(ValueError, match="boxes must be there for features of regions, got None"):
        with_track_embeddings(output(None, pyramid), head, regions)
    with pytest.raises(ValueError, match=r"pyramid must hold a map for each of strides \(4, 8\)"):
        with_track_embeddings(given, head, RegionFeatures((4, 8)))
