"""The scores that a video's results list."""

from __future__ import annotations

import numpy as np
import pytest

from vidgap_vis.track_scores import ScoredTrack, TrackScores


def test_score_is_mean_class_probability_over_the_video_times_mean_mask_score() -> None:
    scores = TrackScores(min_score=0.0)
    ids = np.array([3, 5])
    scores.add(ids, np.float32([[0.2, 0.6], [0.9, 0.1]]), np.float32([0.5, 1.0]))
    scores.add(ids[:1], np.float32([[0.4, 0.4]]), np.float32([1.0]))
    wanted = [(5, 0, 0.45), (3, 0, 0.3), (3, 1, 0.3), (5, 1, 0.05)]
    found = scores.ranking(num_frames=2)
    assert [(track.track_id, track.label) for track in found] == [pair[:2] for pair in wanted]
    np.testing.assert_allclose([track.score for track in found], [pair[2] for pair in wanted])


def test_only_the_best_pairs_are_listed() -> None:
    scores = TrackScores(top_k=2, min_score=0.3)
    scores.add(np.array([1, 2]), np.float32([[0.5, 0.4], [0.25, 0.2]]), np.float32([1, 1]))
    assert [(track.track_id, track.label) for track in scores.ranking(1)] == [(1, 0), (1, 1)]
    strict = TrackScores(top_k=2, min_score=0.45)
    strict.add(np.array([1]), np.float32([[0.5, 0.4]]), np.float32([1]))
    assert strict.ranking(1) == [ScoredTrack(1, 0, 0.5)]


def test_a_video_without_tracks_lists_nothing() -> None:
    scores = TrackScores()
    scores.add(np.zeros(0, np.int64), np.zeros((0, 2), np.float32), np.zeros(0, np.float32))
    assert scores.ranking(4) == []


def test_top_k_must_be_positive() -> None:
    with pytest.raises(ValueError, match="top_k must be at least 1, got 0"):
        TrackScores(top_k=0)
