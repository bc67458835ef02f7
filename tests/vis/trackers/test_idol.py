"""IDOL's tracker on exact detections: what goes on, begins, ends and is taken back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from vis.support.queries import NUM_QUERIES, Scene

from vidgap_vis.trackers import Assignment, Detections
from vidgap_vis.trackers.base import size_of
from vidgap_vis.trackers.idol import IDOLAssociator, IDOLOptions
from vidgap_vis.trackers.idol.memory import RecentMemory


def run(
    scene: Scene,
    frames: list[dict[int, float]],
    options: IDOLOptions | None = None,
    cells: list[dict[int, int]] | None = None,
) -> tuple[list[dict[int, int]], list[Assignment]]:
    """Track a video; return the id of each object in each frame, and all assignments."""
    associator = IDOLAssociator(options)
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


def test_ids_go_through_a_crossing() -> None:
    places = [{0: 0, 1: 1}] * 3 + [{0: 1, 1: 0}] * 3
    ids, _ = run(scene(2), [{0: 0.9, 1: 0.8}] * 6, cells=places)
    assert ids == [{0: 1, 1: 2}] * 6


def test_look_alikes_keep_their_ids() -> None:
    ids, _ = run(scene(3, seed=1, similarity=0.6), [{0: 0.9, 1: 0.8, 2: 0.7}] * 12)
    assert ids == [{0: 1, 1: 2, 2: 3}] * 12


def test_what_reappears_is_known_and_what_is_new_begins() -> None:
    both, one = {0: 0.9, 1: 0.8}, {0: 0.9}
    frames = [both] * 4 + [one] * 9 + [both] * 2 + [{**both, 2: 0.7}] * 2
    ids, assignments = run(scene(3), frames)
    assert ids[-3] == {0: 1, 1: 2}
    assert ids[-1] == {0: 1, 1: 2, 2: 3}
    assert not any(assignment.ended or assignment.retracted for assignment in assignments)


def test_a_track_unseen_for_ten_frames_has_ended_and_its_object_is_new() -> None:
    both, one = {0: 0.9, 1: 0.8}, {0: 0.9}
    ids, assignments = run(scene(2), [both] * 4 + [one] * 10 + [both])
    assert {time: a.ended for time, a in enumerate(assignments) if a.ended} == {13: (2,)}
    assert ids[-1] == {0: 1, 1: 3}


def test_a_duplicate_of_any_class_by_its_mask_is_dropped() -> None:
    ids, _ = run(scene(2), [{0: 0.6, 1: 0.9}], cells=[{0: 3, 1: 3}])
    assert ids == [{0: 0, 1: 1}]


def test_a_duplicate_of_its_class_by_its_box_is_dropped() -> None:
    """Both masks span the frame and share nothing."""
    rows, columns = np.mgrid[:8, :8]
    masks = np.stack([(rows + columns) % 2 == 0, (rows + columns) % 2 == 1])

    def ids(probabilities: list[list[float]], boxes: np.ndarray | None = None) -> list[int]:
        frame = Detections(np.float32(probabilities), np.eye(2, dtype=np.float32), masks, boxes)
        return [int(id_) for id_ in IDOLAssociator().update(frame).ids]

    assert ids([[0.8, 0], [0.9, 0]]) == [0, 1]
    assert ids([[0.8, 0], [0, 0.9]]) == [2, 1]
    apart = np.float32([[0.2, 0.2, 0.1, 0.1], [0.7, 0.7, 0.1, 0.1]])  # the network's boxes count
    assert ids([[0.8, 0], [0.9, 0]], apart) == [2, 1]


def test_short_tracks_are_taken_back_and_may_return_under_their_id() -> None:
    both, one = {0: 0.9, 1: 0.8}, {0: 0.9}
    frames = [one, both, both] + [one] * 9 + [both] * 3
    ids, assignments = run(scene(2), frames)
    assert {t: a.retracted for t, a in enumerate(assignments) if a.retracted} == {9: ((2, 1, 2),)}
    assert [shown[1] for shown in ids[-3:]] == [2, 2, 2]


def test_of_a_frame_without_a_good_detection_the_best_goes_on_but_begins_nothing() -> None:
    ids, _ = run(scene(1), [{0: 0.05}, {0: 0.9}, {0: 0.05}])
    assert ids == [{0: 0}, {0: 1}, {0: 1}]


def test_the_first_track_has_a_threshold_of_its_own() -> None:
    options = IDOLOptions(new_track_score=0.5)
    both = {0: 0.3, 1: 0.25}
    ids, _ = run(scene(3), [both, {**both, 2: 0.4}, {**both, 2: 0.6}], options)
    assert ids == [{0: 1, 1: 2}, {0: 1, 1: 2, 2: 0}, {0: 1, 1: 2, 2: 3}]


def test_memories_are_weighted_by_score_and_recency() -> None:
    memory = RecentMemory(3)
    looks, scores = np.eye(4), np.array([0.9, 0.5, 0.7, 0.3])
    memory.begin(looks[:1], scores[:1])
    for time in (1, 2, 3):
        memory.see(np.array([0]), looks[[time]], scores[[time]])
        if time == 1:
            wanted = np.array([0.9 + 1 / 2, 0.5 + 1, 0, 0])
            np.testing.assert_allclose(memory.means[0], wanted / wanted.sum())
    wanted = np.array([0, 0.5 + 1 / 3, 0.7 + 2 / 3, 0.3 + 1])
    np.testing.assert_allclose(memory.means[0], wanted / wanted.sum())


def test_empty_frames_no_queries_and_a_video_of_one_frame() -> None:
    for num in (0, 3):
        nothing = Detections(
            np.zeros((num, 2), np.float32),
            np.ones((num, 4), np.float32),
            np.zeros((num, 5, 5), bool),
        )
        associator = IDOLAssociator()
        for _ in range(15):
            assignment = associator.update(nothing)
            assert not assignment.ids.any()
            assert (assignment.ended, assignment.retracted) == ((), ())
    ids, _ = run(scene(2), [{0: 0.9, 1: 0.8}])
    assert ids == [{0: 1, 1: 2}]


def test_a_resumed_video_goes_on_as_if_nothing_had_happened() -> None:
    shown = [{name: 0.9 - 0.1 * name for name in range(4) if (t + 3 * name) % 7} for t in range(40)]
    made = scene(4, similarity=0.5)
    frames = [made.frame(s, made.rng.permutation(NUM_QUERIES))[0] for s in shown]
    straight, first, second = (IDOLAssociator() for _ in range(3))
    for time, frame in enumerate(frames):
        wanted = straight.update(frame)
        if time == 17:
            second.load_state_dict(first.state_dict())
        got = (first if time < 17 else second).update(frame)
        assert np.array_equal(got.ids, wanted.ids)
        assert (got.ended, got.retracted) == (wanted.ended, wanted.retracted)


def test_the_state_stays_as_small() -> None:
    rng, associator = np.random.default_rng(0), IDOLAssociator()
    masks, sizes = np.eye(4, dtype=np.bool_).reshape(4, 2, 2), []
    for _ in range(2000):
        probabilities = rng.random((4, 2), np.float32)
        embeddings = 3 * rng.normal(size=(4, 3)).astype(np.float32)
        associator.update(Detections(probabilities, embeddings, masks))
        sizes.append(size_of(associator.state_dict()))
    assert max(sizes[1000:]) <= 1.5 * max(sizes[100:1000])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min_score": 1.5}, r"min_score must be in \[0, 1\], got 1\.5"),
        ({"first_track_score": -1}, r"first_track_score must be in \[0, 1\], got -1"),
        ({"box_duplicate_iou": 2}, r"box_duplicate_iou must be in \[0, 1\], got 2"),
        ({"match_threshold": float("nan")}, r"match_threshold must be in \[0, 1\], got nan"),
        ({"memory_size": 0}, "memory_size must be at least 1, got 0"),
        ({"max_gap": -1}, "max_gap must be at least 0, got -1"),
        ({"short_gap": 0}, "short_gap must be at least 1, got 0"),
    ],
    ids=str,
)
def test_options_that_mean_nothing_are_refused(wrong: Mapping[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IDOLOptions(**wrong)  # type: ignore[arg-type]


def test_embeddings_that_are_not_finite_are_refused() -> None:
    detections = Detections(
        np.full((2, 3), 0.9, np.float32),
        np.array([[1, 2], [np.nan, 0]], np.float32),
        np.ones((2, 4, 4), np.bool_),
    )
    with pytest.raises(ValueError, match="embeddings must be finite, got nan or inf"):
        IDOLAssociator().update(detections)
