"""Trackers in a stream: any one of detections, frame by frame, with masks of its own or not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from vis.support.stream_model import ColourModel, moving_squares
from vis.support.streams import collect, index_tracker, make
from vis.support.tiny_runs import MODEL

from vidgap_segmenter.inference import resize_to
from vidgap_vis import VideoSegmenter, build
from vidgap_vis.classes import from_categories
from vidgap_vis.inference.masks import finish_masks
from vidgap_vis.inference.step import ModelStep
from vidgap_vis.trackers import IndexAssociator, OnlineTracker, detections_of
from vidgap_vis.trackers.by_name import TRACKERS

CLASSES = from_categories([(1, "red"), (2, "blue")])


class Fixed(OnlineTracker):
    """Draws one mask of its own, and takes back what it said of frame 0."""

    def __init__(self, **attributes: object) -> None:
        super().__init__(IndexAssociator())
        vars(self).update(attributes)

    def step(self, clip, repeated=0):
        tracks = super().step(clip, repeated)
        masks = torch.full((*tracks.queries.shape, 16, 24), -1.0)
        masks[:, :, :4, :4] = 1
        return replace(tracks, mask_logits=masks, retracted=((1, 0, 0),))


def test_the_tracker_is_a_choice_and_new_for_each_stream() -> None:
    segmenter = make(tracker=index_tracker)
    for _ in range(2):
        with segmenter.stream() as stream:
            ids = [stream(frame).track_ids.max() for frame in moving_squares(8)]
        assert ids[0] == 2
        assert ids[-1] > 3  # the model shuffles its queries


def test_masks_and_retractions_of_a_tracker_are_handed_out() -> None:
    segmenter = make(tracker=Fixed, score_threshold=0.0)
    with segmenter.stream(latency=2) as stream:
        results = collect(stream, moving_squares(2))
    assert [result.retracted for result in results] == [((1, 0, 0),), ()]
    for result in results:
        assert len(result) > 0
        for mask in result.masks:  # 4x4 cells of stride 4, and half a cell where the edge is
            assert mask[:14, :14].all()
            assert mask.sum() <= 18 * 18


@pytest.mark.parametrize("name", ["minvis", "idol", "masktrack"])
def test_the_published_trackers_follow_what_is_there(name: str) -> None:
    kind, _, recipe = TRACKERS[name]
    segmenter = make(tracker=lambda: OnlineTracker(kind(), recipe), score_threshold=0.3)
    with segmenter.stream(latency=2) as stream:
        results = collect(stream, moving_squares(8))
        ranked = stream.finish()
    ids = set.intersection(*(set(result.track_ids.tolist()) for result in results))
    assert len(ids) == 2  # a third comes later
    assert ids <= set(ranked.ids.tolist())


def test_masks_are_resized_as_the_tracker_has_it() -> None:
    """By nearest, each pixel is one of the network's frame, here as if shown at a third of it."""
    output = ModelStep(
        ColourModel(), torch.device("cpu"), class_weights=torch.ones(2), short_edge=96
    )([torch.from_numpy(moving_squares(1)[0])], None)[0]
    logits = output.mask_logits[0, :, 0]
    height, width = output.frame_size
    large = resize_to(output, logits, (height, width))
    size = (height // 3, width // 3)
    found = np.stack([rle.decode() for rle in finish_masks(output, logits, size, "nearest").rles])
    rows, columns = (np.arange(side) * 3 for side in size)
    np.testing.assert_array_equal(found, (large > 0).numpy()[:, rows][:, :, columns])


def test_a_tracker_that_reads_what_heads_read_gets_it() -> None:
    seen = []

    class Head(Fixed):
        needs = frozenset({"queries", "mask_features"})

        def step(self, clip, repeated=0):
            seen.append(clip.head_inputs)
            return super().step(detections_of(clip), repeated)

    model = build.segmenter(MODEL, None, num_classes=2)
    segmenter = VideoSegmenter(model, CLASSES, tracker=Head, device="cpu", score_threshold=0.0)
    with segmenter.stream(latency=2) as stream:
        assert len(collect(stream, moving_squares(4))) == 4
    assert [inputs.queries.shape[3] for inputs in seen] == [2, 2]
    assert {inputs.mask_features.shape[1] for inputs in seen} == {2}


def test_a_class_that_is_not_looked_for_is_left_out_of_a_head_s_tracks() -> None:
    class Head(Fixed):
        needs = frozenset({"queries"})

        def step(self, clip, repeated=0):
            return super().step(detections_of(clip), repeated)

    model = build.segmenter(MODEL, None, num_classes=2)
    segmenter = VideoSegmenter(
        model, CLASSES, tracker=Head, device="cpu", score_threshold=0.0, keep=["blue"]
    )
    with segmenter.stream() as stream:
        results = collect(stream, moving_squares(2))
        assert {label for result in results for label in result.labels.tolist()} <= {1}
        assert set(stream.finish().labels.tolist()) == {1}


@pytest.mark.parametrize("name", ["ctvis", "minvis", "query", "masktrack"])
def test_classes_that_are_left_out_leave_the_scores_of_the_others(name: str) -> None:
    kind, _, recipe = TRACKERS[name]

    def scores(**options: object) -> list[float]:
        segmenter = make(tracker=lambda: OnlineTracker(kind(), recipe), **options)
        with segmenter.stream() as stream:
            collect(stream, moving_squares(8))
            ranked = stream.finish()
        assert options == {} or set(ranked.labels.tolist()) == {1}
        found: list[float] = ranked.scores[(ranked.labels == 1) & (ranked.scores > 0.1)].tolist()
        return found

    assert len(scores()) > 0
    assert scores(keep=["square"]) == scores()


def test_a_tracker_of_whole_videos_is_refused() -> None:
    class Offline(Fixed):
        offline = True

    with pytest.raises(ValueError, match="masks as frames come; it wants the whole video"):
        make(tracker=Offline).stream()
