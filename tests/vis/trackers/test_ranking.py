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
