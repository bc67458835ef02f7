"""CTVIS's tracker on exact detections: what goes on, begins, ends and is taken back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from vis.support.queries import NUM_QUERIES, Scene

from vidgap_vis.trackers import Assignment, Detections
from vidgap_vis.trackers.base import size_of
from vidgap_vis.trackers.ctvis import CTVISAssociator, CTVISOptions

LONELY = CTVISOptions(min_score=0.1, new_track_score=0.1)
"""Background queries score 0.01 and are dropped."""


def run(
    scene: Scene,
    frames: list[dict[int, float]],
    options: CTVISOptions = LONELY,
    cells: list[dict[int, int]] | None = None,
) -> tuple[list[dict[int, int]], list[Assignment]]:
    """Track a video; return the id of each object in each frame, and all assignments."""
    associator = CTVISAssociator(options)
    ids, assignments = [], []
    for time, shown in enumerate(frames):
        order = scene.rng.permutation(NUM_QUERIES)
        frame, queries = scene.frame(shown, order, (cells or [{}] * len(frames))[time])
        assignments.append(associator.update(frame))
        ids.append({name: int(assignments[-1].ids[q]) for name, q in queries.items()})
    return ids, assignments


def scene(num: int = 4, seed: int = 0, similarity: float = 0.0) -> Scene:
    """Objects whose embeddings are of one length, long enough for a softmax of dot products."""
    made = Scene(num, seed, similarity)
    made.looks *= 8 / np.linalg.norm(made.looks, axis=1, keepdims=True)
    return made


def test_ids_go_through_a_crossing_that_overlap_would_lose() -> None:
    """Two objects change places between two frames: each stands where the other stood."""
    places = [{0: 0, 1: 1}] * 3 + [{0: 1, 1: 0}] * 3
    ids, _ = run(scene(2), [{0: 0.9, 1: 0.8}] * 6, cells=places)
    assert ids == [{0: 1, 1: 2}] * 6


def test_look_alikes_keep_their_ids() -> None:
    ids, _ = run(scene(3, seed=1, similarity=0.6), [{0: 0.9, 1: 0.8, 2: 0.7}] * 12)
    assert ids == [{0: 1, 1: 2, 2: 3}] * 12


def test_what_reappears_is_known_and_what_is_new_begins() -> None:
    both, one = {0: 0.9, 1: 0.8}, {0: 0.9}
    frames = [both] * 4 + [one] * 10 + [both] * 2 + [{**both, 2: 0.7}] * 2
    ids, assignments = run(scene(3), frames)
    assert ids[-3] == {0: 1, 1: 2}
    assert ids[-1] == {0: 1, 1: 2, 2: 3}
    assert not any(assignment.ended or assignment.retracted for assignment in assignments)


def test_a_track_unseen_for_too_long_has_ended_and_its_object_is_new() -> None:
    both, one = {0: 0.9, 1: 0.8}, {0: 0.9}
    frames = [both] * 4 + [one] * 21 + [both]
    ids, assignments = run(scene(2), frames)
    assert [a.ended for a in assignments if a.ended] == [(2,)]
    assert assignments[24].ended == (2,)
    assert ids[-1] == {0: 1, 1: 3}


def test_a_duplicate_is_dropped_and_the_better_one_kept() -> None:
    ids, _ = run(scene(2), [{0: 0.6, 1: 0.9}], cells=[{0: 3, 1: 3}])
    assert ids == [{0: 0, 1: 1}]


def test_short_tracks_are_taken_back_and_may_return_under_their_id() -> None:
    """Judged after frame 8: seen in fewer than 3 frames, and missing from the last 2."""
    both, one = {0: 0.9, 1: 0.8}, {0: 0.9}
    frames = [one, both, both] + [one] * 9 + [both] * 3
    ids, assignments = run(scene(2), frames)
    assert {t: a.retracted for t, a in enumerate(assignments) if a.retracted} == {9: ((2, 1, 2),)}
    assert [shown[1] for shown in ids[-3:]] == [2, 2, 2]


def test_a_short_track_that_ends_first_is_taken_back_with_its_end() -> None:
    options = CTVISOptions(min_score=0.1, new_track_score=0.1, max_gap=2)
    frames = [{0: 0.9, 1: 0.8}] + [{0: 0.9}] * 4
    _, assignments = run(scene(2), frames, options)
    assert [(t, a.ended, a.retracted) for t, a in enumerate(assignments) if a.ended] == [
        (3, (2,), ((2, 0, 0),))
    ]


def test_of_a_frame_without_a_good_detection_the_best_goes_on_but_begins_nothing() -> None:
    one = scene(1)
    ids, _ = run(one, [{0: 0.05}, {0: 0.9}, {0: 0.05}])
    assert ids == [{0: 0}, {0: 1}, {0: 1}]


def test_of_several_tracks_above_the_threshold_the_longer_one_goes_on() -> None:
    """Two tracks with nearly the same memory: a bi-softmax of about a half for both."""
    embedding = np.array([[3.0, 0.0]], np.float32)
    masks = np.zeros((2, 4, 4), np.bool_)
    masks[0, 0], masks[1, 3] = True, True

    def frame(scores: tuple[float, float], first: float, second: float) -> Detections:
        probabilities = np.array(scores, np.float32)[:, None]
        return Detections(probabilities, embedding * np.array([[first], [second]]), masks)

    def last(*, frame_weight: bool) -> int:
        options = CTVISOptions(min_score=0.1, new_track_score=0.1, frame_weight=frame_weight)
        associator = CTVISAssociator(options)
        for _ in range(3):
            associator.update(frame((0.9, 0.0), 1.0, 0.0))
        associator.update(frame((0.9, 0.8), 1.0, 1.01))  # the second begins a track of its own
        return int(associator.update(frame((0.9, 0.0), 1.0, 0.0)).ids[0])

    assert last(frame_weight=True) == 1
    assert last(frame_weight=False) == 2


def test_empty_frames_and_a_video_of_one_frame() -> None:
    nothing = Detections(
        np.zeros((3, 2), np.float32), np.ones((3, 4), np.float32), np.zeros((3, 5, 5), np.bool_)
    )
    associator = CTVISAssociator()
    for _ in range(30):
        assignment = associator.update(nothing)
        assert not assignment.ids.any()
        assert (assignment.ended, assignment.retracted) == ((), ())
    ids, _ = run(scene(2), [{0: 0.9, 1: 0.8}])
    assert ids == [{0: 1, 1: 2}]


def test_a_resumed_video_goes_on_as_if_nothing_had_happened() -> None:
    shown = [{name: 0.9 - 0.1 * name for name in range(4) if (t + 3 * name) % 7} for t in range(40)]
    made = scene(4, similarity=0.5)
    frames = [made.frame(s, made.rng.permutation(NUM_QUERIES))[0] for s in shown]
    straight, first, second = (CTVISAssociator() for _ in range(3))
    for time, frame in enumerate(frames):
        wanted = straight.update(frame)
        if time == 17:
            second.load_state_dict(first.state_dict())
        got = (first if time < 17 else second).update(frame)
        assert np.array_equal(got.ids, wanted.ids)
        assert (got.ended, got.retracted) == (wanted.ended, wanted.retracted)


@pytest.mark.slow
def test_state_stays_as_small_over_a_hundred_thousand_frames() -> None:
    rng = np.random.default_rng(0)
    associator = CTVISAssociator(CTVISOptions(min_score=0.3, new_track_score=0.3))
    sizes = []
    masks = np.eye(4, dtype=np.bool_).reshape(4, 2, 2)
    for time in range(100_000):
        probabilities = rng.random((4, 2), np.float32)
        embeddings = rng.normal(size=(4, 3)).astype(np.float32)
        associator.update(Detections(probabilities, embeddings, masks))
        if time >= 1000 and time % 1000 == 0:
            sizes.append(size_of(associator.state_dict()))
    assert max(sizes[50:]) <= 1.5 * max(sizes[:50])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min_score": 1.5}, r"min_score must be in \[0, 1\], got 1\.5"),
        ({"match_threshold": -0.1}, r"match_threshold must be in \[0, 1\], got -0\.1"),
        ({"memory_size": 0}, "memory_size must be at least 1, got 0"),
        ({"max_gap": -1}, "max_gap must be at least 0, got -1"),
        ({"short_gap": 0}, "short_gap must be at least 1, got 0"),
        ({"memory": "first"}, "memory must be one of similarity_guided, momentum, last, got first"),
    ],
    ids=str,
)
def test_options_that_mean_nothing_are_refused(wrong: Mapping[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CTVISOptions(**wrong)  # type: ignore[arg-type]
