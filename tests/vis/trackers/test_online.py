"""A tracker of an associator: classes, the ranking, steps of any length, bounded state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from vis.support.queries import NUM_QUERIES, Scene

from vidgap_segmenter import ClipOutput
from vidgap_vis.trackers import (
    Assignment,
    Associator,
    ClipTracks,
    Detections,
    IndexAssociator,
    MemoryOptions,
    MinVISAssociator,
    OnlineTracker,
    QueryAssociator,
    QueryOptions,
    detections_of,
)
from vidgap_vis.trackers.base import Need, StateDict
from vidgap_vis.trackers.idol import IDOLAssociator
from vidgap_vis.trackers.masktrack import MaskTrackAssociator

MASKS = np.ones((2, 2, 2), np.bool_)
ASSOCIATORS: list[Callable[[], Associator]] = [
    QueryAssociator,
    IndexAssociator,
    MinVISAssociator,
    IDOLAssociator,
    MaskTrackAssociator,
]


def make(num: int = 4, classes: int = 2, channels: int = 3) -> Detections:
    return Detections(
        np.zeros((num, classes), np.float32),
        np.zeros((num, channels), np.float32),
        np.zeros((num, 2, 2), np.bool_),
    )


def video(length: int, seed: int = 0) -> list[Detections]:
    """Four look-alikes in queries that are shuffled, some hidden now and then."""
    scene = Scene(4, seed, similarity=0.6)
    frames = []
    for step in range(length):
        shown = {name: 0.9 - 0.1 * name for name in range(4) if (step + 3 * name) % 7}
        frames.append(scene.frame(shown, scene.rng.permutation(NUM_QUERIES))[0])
    return frames


def by_frame(tracks: ClipTracks) -> list[dict[int, tuple[int, list[float]]]]:
    """Return the query and the class scores of each visible track, frame by frame."""
    return [
        {
            int(tracks.ids[row]): (
                int(tracks.queries[row, time]),
                tracks.class_scores[row, time].tolist(),
            )
            for row in tracks.visible(time)
        }
        for time in range(tracks.queries.shape[1])
    ]


@pytest.mark.parametrize("associator", ASSOCIATORS)
@pytest.mark.parametrize("lengths", [(1,) * 12, (5, 1, 6), (12,)], ids=str)
def test_steps_of_any_length_say_the_same(
    associator: Callable[[], Associator], lengths: tuple[int, ...]
) -> None:
    frames = video(12)
    whole = by_frame(OnlineTracker(associator()).step(frames))
    tracker, parts, first = OnlineTracker(associator()), [], 0
    for length in lengths:
        tracks = tracker.step(frames[first : first + length])
        assert tracks.first_frame == first
        assert tracks.ids.tolist() == sorted(tracks.ids.tolist())
        parts += by_frame(tracks)
        first += length
    assert parts == whole
    assert any(whole)


@pytest.mark.parametrize("associator", ASSOCIATORS)
def test_a_tracker_goes_on_from_its_state(associator: Callable[[], Associator]) -> None:
    frames = video(20)
    straight, resumed = OnlineTracker(associator()), OnlineTracker(associator())
    straight.step(frames[:9])
    resumed.load_state_dict(straight.state_dict())
    for tracker in (straight, resumed):
        tracker.step(frames[9:12])
    one, other = (tracker.step(frames[12:]) for tracker in (straight, resumed))
    assert one.first_frame == other.first_frame == 12
    assert by_frame(one) == by_frame(other)
    np.testing.assert_array_equal(straight.finish().scores, resumed.finish().scores)


def test_class_scores_are_the_mean_over_visible_frames() -> None:
    scene = Scene(1)
    tracker = OnlineTracker(QueryAssociator(QueryOptions(min_score=0.3)))
    tracks = tracker.step([scene.frame({0: score})[0] for score in (0.4, 0.0, 0.8)])
    assert (tracks.queries[0] >= 0).tolist() == [True, False, True]
    wanted = [[0.4, 0.01, 0.01], [0, 0, 0], [0.6, 0.01, 0.01]]
    np.testing.assert_allclose(tracks.class_scores[0], wanted, rtol=1e-6)


def ranked(probabilities: list[list[list[float]]]) -> OnlineTracker:
    """A tracker that has seen (T, Q, K) class probabilities; the surest query is track 1."""
    num_queries = len(probabilities[0])
    tracker = OnlineTracker(IndexAssociator(MemoryOptions(min_score=0.0)))
    masks = np.eye(num_queries, dtype=np.bool_)[:, None]
    looks = np.eye(num_queries, dtype=np.float32)
    tracker.step([Detections(np.float32(p), looks, masks) for p in probabilities])
    return tracker


def test_a_score_is_the_mean_class_probability_times_the_mean_mask_score() -> None:
    tracker = ranked([[[0.2, 0.6], [0.9, 0.1]], [[0.4, 0.4], [0.9, 0.1]]])
    for scores in ([0.5, 1.0], [0.5, 0.5]):
        tracker.score_masks(np.array([1, 2]), np.float32(scores), np.array([5, 7]))
    found = tracker.finish()
    wanted = [(1, 0, 0.45), (2, 1, 0.375), (2, 0, 0.225), (1, 1, 0.05)]
    pairs = list(zip(found.ids.tolist(), found.labels.tolist(), strict=True))
    assert pairs == [pair[:2] for pair in wanted]
    np.testing.assert_allclose(found.scores, [pair[2] for pair in wanted], rtol=1e-6)


def test_of_equal_scores_the_older_track_comes_first() -> None:
    found = ranked([[[0.5, 0.5], [0.5, 0.5]]]).finish()
    assert list(zip(found.ids.tolist(), found.labels.tolist(), strict=True)) == [
        (1, 0),
        (1, 1),
        (2, 0),
        (2, 1),
    ]


def test_without_mask_scores_a_fragment_ranks_below_a_track_that_holds() -> None:
    scene = Scene(2)
    tracker = OnlineTracker(QueryAssociator())
    tracker.step([scene.frame(shown)[0] for shown in ({0: 0.9, 1: 0.8}, {1: 0.8}, {1: 0.8})])
    found = tracker.finish().best(2, min_score=0.1)
    assert found.ids.tolist() == [2, 1]
    np.testing.assert_allclose(found.scores, [0.8, 0.3], rtol=1e-6)


def test_only_the_best_pairs_are_listed() -> None:
    found = ranked([[[0.5, 0.4], [0.25, 0.2]]]).finish()
    assert len(found.ids) == 4
    assert found.best(2, 0.3).ids.tolist() == [1, 1]
    assert list(found.best(2, 0.45)) == [(1, 0, 0.5)]
    with pytest.raises(ValueError, match="top_k must be at least 1, got 0"):
        found.best(0)


def test_a_video_without_frames_or_tracks_lists_nothing() -> None:
    tracker = OnlineTracker(QueryAssociator())
    assert len(tracker.finish().ids) == 0
    tracks = tracker.step([make()])
    assert (tracks.queries.shape, tracks.class_scores.shape) == ((0, 1), (0, 1, 2))
    nothing = np.zeros(0, np.int64)
    tracker.score_masks(nothing, np.zeros(0, np.float32), nothing)
    assert len(tracker.finish().ids) == 0


def test_the_state_is_bounded_and_keeps_the_best_of_what_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept, num_frames = 20, 400
    monkeypatch.setattr("vidgap_vis.trackers.online.MAX_ENDED", kept)
    scene = Scene(8)
    tracker = OnlineTracker(QueryAssociator(QueryOptions(max_gap=0)))
    sizes = []
    for step in range(num_frames):
        # Another object in each frame, so that each begins a track; one in 40 is sure.
        score = 0.4 if step % 40 else 0.9
        tracker.step([scene.frame({step % 8: score}, cells={step % 8: step % 11}, noise=0.0)[0]])
        sizes.append(tracker.state_size())
    assert max(sizes[100:]) == max(sizes[:100])
    found = tracker.finish()
    assert found.ids.max() > 300
    assert len(np.unique(found.ids)) <= 2 * kept + 1
    np.testing.assert_allclose(found.best(num_frames // 40).scores * num_frames, 0.9, rtol=1e-6)


def test_a_frame_is_taken_once() -> None:
    tracker = OnlineTracker(QueryAssociator())
    with pytest.raises(ValueError, match="repeated must be 0: each frame is taken once, got 2"):
        tracker.step([make()], repeated=2)


@pytest.mark.parametrize("associator", ASSOCIATORS)
def test_other_numbers_of_queries_classes_or_channels_are_named(
    associator: Callable[[], Associator],
) -> None:
    tracker = OnlineTracker(associator())
    tracker.step([make()])
    for other, got in (
        (make(num=5), r"\(5, 2, 3\)"),
        (make(classes=3), r"\(4, 3, 3\)"),
        (make(channels=5), r"\(4, 2, 5\)"),
    ):
        with pytest.raises(ValueError, match=rf"must be \(4, 2, 3\), as .*, got {got}"):
            tracker.step([other])


def test_a_first_frame_without_detections_has_the_classes_of_the_others() -> None:
    tracker = OnlineTracker(QueryAssociator(), any_number=True)
    assert tracker.step([make(num=0, classes=3)]).class_scores.shape == (0, 1, 3)
    assert tracker.step([make(num=4, classes=3)]).class_scores.shape[2] == 3


class Scripted:
    """Says what it was told to say."""

    needs: frozenset[Need] = frozenset()

    def __init__(self, assignments: list[Assignment]) -> None:
        self.assignments = assignments

    def update(self, frame: Detections) -> Assignment:  # noqa: ARG002
        return self.assignments.pop(0)

    def state_dict(self) -> StateDict:
        return {}

    def load_state_dict(self, state: StateDict) -> None: ...


def test_of_several_detections_of_a_track_the_last_counts() -> None:
    probabilities = np.float32([[0.9], [0.5], [0.3]])
    frame = Detections(probabilities, np.eye(3, dtype=np.float32), np.ones((3, 2, 2), np.bool_))
    tracker = OnlineTracker(Scripted([Assignment(np.array([7, 2, 7]))] * 2))
    tracks = tracker.step([frame] * 2)
    assert tracks.ids.tolist() == [2, 7]
    assert tracks.queries.tolist() == [[1, 1], [2, 2]]
    np.testing.assert_allclose(tracks.class_scores[:, :, 0], [[0.5, 0.5], [0.3, 0.3]], rtol=1e-6)


def test_what_is_retracted_is_not_ranked_and_begins_anew() -> None:
    """Track 7 is seen in frames 0 to 2, taken back in frame 3, and seen again in frame 4."""
    seen, nothing = Assignment(np.array([7, 8])), Assignment(np.array([0, 8]))
    back = replace(nothing, retracted=((7, 0, 2),))
    tracker = OnlineTracker(Scripted([seen, seen, seen, back, seen]))
    frame = Detections(np.float32([[0.9], [0.5]]), np.eye(2, dtype=np.float32), MASKS)
    first = tracker.step([frame])
    assert (first.ids.tolist(), first.retracted) == ([7, 8], ())
    second = tracker.step([frame] * 3)
    assert second.retracted == ((7, 0, 2),)
    assert second.queries.tolist() == [[-1, -1, -1], [1, 1, 1]]  # nor said in this step
    assert tracker.finish().ids.tolist() == [8]
    tracker.step([frame])
    np.testing.assert_allclose(tracker.finish().scores, [0.5, 0.9 / 5], rtol=1e-6)


def test_a_networks_answer_is_taken_as_it_is() -> None:
    generator = torch.Generator().manual_seed(0)
    clip = ClipOutput(
        class_logits=4 * torch.randn(1, 6, 4, 3, generator=generator),
        mask_logits=torch.randn(1, 6, 4, 8, 8, generator=generator),
        embeddings=torch.randn(1, 6, 4, 5, generator=generator),
        auxiliary=(),
        frame_size=(32, 32),
        padded_size=(32, 32),
    )
    one = OnlineTracker(QueryAssociator()).step(clip)
    other = OnlineTracker(QueryAssociator()).step(detections_of(clip))
    assert by_frame(one) == by_frame(other)
    assert len(one.ids) > 0


def test_a_state_is_arrays_and_numbers() -> None:
    tracker = OnlineTracker(QueryAssociator())
    tracker.step(video(3))

    def leaves(state: StateDict) -> Iterator[object]:
        for value in state.values():
            yield from leaves(value) if isinstance(value, dict) else [value]

    for leaf in leaves(tracker.state_dict()):
        assert isinstance(leaf, (np.ndarray, int, float))
        assert not isinstance(leaf, np.ndarray) or leaf.dtype != object


def test_clip_tracks_check_their_shapes() -> None:
    ids, scores = np.array([1, 2]), np.zeros((2, 3, 4), np.float32)
    with pytest.raises(ValueError, match=r"queries must be \(2, T\), got \(3, 3\)"):
        ClipTracks(0, ids, np.zeros((3, 3), np.int64), scores)
    with pytest.raises(ValueError, match=r"class_scores must be \(2, 5\) \+ \(K,\), got"):
        ClipTracks(0, ids, np.zeros((2, 5), np.int64), scores)
    with pytest.raises(ValueError, match=r"mask_logits must be \(2, 3\) \+ \(h, w\), got \(5, 7\)"):
        ClipTracks(0, ids, np.zeros((2, 3), np.int64), scores, torch.zeros(5, 7))
