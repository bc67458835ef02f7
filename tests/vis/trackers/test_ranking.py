"""How the scores of a track's frames make one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vidgap_vis.trackers import Assignment, Detections, OnlineTracker, ScoreRecipe
from vidgap_vis.trackers.base import Need, StateDict

CTVIS = ScoreRecipe(classes="logits", masks="pixels")
MASKS = np.ones((1, 2, 2), np.bool_)


class Same:
    """All is one track."""

    needs: frozenset[Need] = frozenset()

    def update(self, frame: Detections) -> Assignment:  # noqa: ARG002
        return Assignment(np.ones(1, np.int64))

    def state_dict(self) -> StateDict:
        return {}

    def load_state_dict(self, state: StateDict) -> None:
        pass


def frame(logits: list[float], num_classes: int) -> Detections:
    values = torch.tensor([logits])
    chosen = values.softmax(-1)[:, :num_classes] if len(logits) > num_classes else values.sigmoid()
    return Detections(
        chosen.numpy(), np.ones((1, 3), np.float32), MASKS, class_logits=values.numpy()
    )


@pytest.mark.parametrize("num_classes", [2, 3], ids=["one of classes and none", "independent"])
def test_a_mean_of_logits_becomes_probabilities(num_classes: int) -> None:
    tracker = OnlineTracker(Same(), CTVIS)
    rows = [[4.0, -1.0, 0.0], [0.0, 1.0, 2.0]]
    tracker.step([frame(row, num_classes) for row in rows])
    mean = torch.tensor(rows).mean(0)
    wanted = mean.softmax(-1)[:2] if num_classes == 2 else mean.sigmoid()
    found = tracker.finish()
    np.testing.assert_allclose(found.scores[np.argsort(found.labels)], wanted, rtol=1e-6)
    assert tracker.needs == {"class_logits"}


def test_masks_count_by_their_pixels() -> None:
    one = ScoreRecipe(masks="pixels")
    for recipe, factor in ((one, (0.9 * 30 + 0.5 * 10) / 40), (ScoreRecipe(), (0.9 + 0.5) / 3)):
        tracker = OnlineTracker(Same(), recipe)
        tracker.step([frame([9.0, 0.0, 0.0], 2)] * 3)
        for score, area in ((0.9, 30), (0.5, 10)):
            tracker.score_masks(np.array([1]), np.float32([score]), np.array([area]))
        best = torch.tensor([9.0, 0.0, 0.0]).softmax(-1)[0]
        assert tracker.finish().scores[0] == pytest.approx(factor * float(best), rel=1e-6)


def probabilities(*rows: tuple[float, ...]) -> list[Detections]:
    return [Detections(np.array([row]), np.ones((1, 3), np.float32), MASKS) for row in rows]


def test_masks_need_not_count_and_classes_have_to_be_above_a_score() -> None:
    tracker = OnlineTracker(Same(), ScoreRecipe(masks="none", above=0.05))
    tracker.step(probabilities((0.5, 0.04, 0.2), (0.7, 0.06, 0.0)))
    tracker.score_masks(np.array([1]), np.float32([0.3]), np.array([10]))
    assert list(tracker.finish()) == [(1, 0, 0.6), (1, 2, 0.1)]


def test_votes_give_the_class_that_most_frames_have_the_mean_of_the_best() -> None:
    tracker = OnlineTracker(Same(), ScoreRecipe(classes="votes", masks="none", above=0.0))
    tracker.step(probabilities((0.1, 0.0, 0.9), (0.4, 0.2, 0.1), (0.0, 0.0, 0.5)))
    assert list(tracker.finish()) == [(1, 2, pytest.approx(0.6))]
    tracker.step(probabilities((0.4, 0.2, 0.1)))  # as many for the lower one
    assert list(tracker.finish()) == [(1, 0, pytest.approx(0.55))]


def test_a_recipe_says_how_masks_are_resized() -> None:
    for resize in ("bilinear", "nearest"):
        tracks = OnlineTracker(Same(), ScoreRecipe(mask_resize=resize)).step(probabilities((0.5,)))
        assert tracks.mask_resize == resize


def test_a_recipe_without_what_it_reads_says_so() -> None:
    bare = Detections(np.ones((1, 2), np.float32), np.ones((1, 3), np.float32), MASKS)
    with pytest.raises(ValueError, match=r"class_logits must be there .* got None"):
        OnlineTracker(Same(), CTVIS).step([bare])


def test_a_resumed_video_keeps_all_sums() -> None:
    straight, first, second = (OnlineTracker(Same(), CTVIS) for _ in range(3))
    frames = [frame([float(i), 1.0, 0.0], 2) for i in range(4)]
    for tracker, part in ((straight, frames), (first, frames[:2])):
        tracker.step(part)
        tracker.score_masks(np.array([1]), np.float32([0.7]), np.array([12]))
    second.load_state_dict(first.state_dict())
    second.step(frames[2:])
    np.testing.assert_array_equal(second.finish().scores, straight.finish().scores)
