"""Clips of joint decoders are linked by the frames that they share."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from vidgap_segmenter import ClipOutput
from vidgap_vis.trackers import ClipTracks, Detections
from vidgap_vis.trackers.joint import JointOptions, JointTracker, soft_mask_iou

NUM_QUERIES, NUM_CLASSES = 6, 3
HEIGHT, WIDTH = 12, 16
SCORE = 0.9


def square(one: int, time: int) -> np.ndarray:
    """A square of four cells' side that moves right by half a cell a frame, in a row of its own."""
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    left = (3 * one + time // 2) % (WIDTH - 4)
    mask[4 * one : 4 * one + 4, left : left + 4] = True
    return mask


def clip_of(
    times: Sequence[int], shown: dict[int, range], order: Sequence[int], softness: float = 20.0
) -> ClipOutput:
    """What a perfect joint decoder predicts: thing `one` is query `order[one]` in all frames.

    Args:
        times: the frames of the clip.
        shown: when each thing is there.
        order: the query of each; it has its class and mask wherever the thing is in the clip.
        softness: absolute value of all mask logits.
    """
    probabilities = np.full((NUM_QUERIES, NUM_CLASSES + 1), 0.01)
    masks = np.zeros((NUM_QUERIES, len(times), HEIGHT, WIDTH), np.bool_)
    for one, when in shown.items():
        seen = [time for time in times if time in when]
        if seen:
            probabilities[order[one], one] = SCORE
        for time in seen:
            masks[order[one], times.index(time)] = square(one, time)
    probabilities[:, -1] += 1 - probabilities.sum(1)
    logits = torch.from_numpy(probabilities).log()[None, :, None].expand(-1, -1, len(times), -1)
    mask_logits = softness * (2.0 * torch.from_numpy(masks)[None] - 1)
    size = (4 * HEIGHT, 4 * WIDTH)
    embeddings = torch.zeros(*logits.shape[:3], 2)
    return ClipOutput(logits, mask_logits, embeddings, (), size, size)


def cut(num_frames: int, length: int, shared: int) -> list[tuple[list[int], int]]:
    """Cut a video in clips: the frames of each, and how many the clip before had already."""
    clips = [(list(range(length)), 0)]
    while clips[-1][0][-1] + 1 < num_frames:
        first = clips[-1][0][-1] + 1 - shared
        clips.append((list(range(first, min(first + length, num_frames))), shared))
    return clips


def seen_of(steps: Sequence[ClipTracks]) -> dict[int, list[int]]:
    """Return the frames in which each track is visible."""
    seen: dict[int, list[int]] = {}
    for step in steps:
        for time in range(step.queries.shape[1]):
            for row in step.visible(time):
                seen.setdefault(int(step.ids[row]), []).append(step.first_frame + time)
    return seen


def follow(
    tracker: JointTracker, shown: dict[int, range], clips: list[tuple[list[int], int]]
) -> list[ClipTracks]:
    """Track a video whose queries are in another order in each clip."""
    rng = np.random.RandomState(0)
    return [
        tracker.step(clip_of(times, shown, rng.permutation(NUM_QUERIES).tolist()), shared)
        for times, shared in clips
    ]


@pytest.mark.parametrize(("length", "shared"), [(4, 1), (5, 2), (8, 3), (20, 1)], ids=str)
def test_a_video_cut_in_clips_keeps_its_identities(length: int, shared: int) -> None:
    shown = dict.fromkeys(range(3), range(20))
    tracker = JointTracker(JointOptions(length, shared))
    steps = follow(tracker, shown, cut(20, length, shared))
    assert [step.first_frame for step in steps] == [
        times[0] + repeated for times, repeated in cut(20, length, shared)
    ]
    seen = seen_of(steps)
    assert seen == {id_: list(range(20)) for id_ in (1, 2, 3)}
    ranked = tracker.finish().best(3)
    assert sorted(ranked.labels.tolist()) == [0, 1, 2]
    np.testing.assert_allclose(ranked.scores, SCORE, atol=1e-6)


def test_a_newcomer_has_a_new_id_and_one_that_left_has_ended() -> None:
    shown = {0: range(20), 1: range(9), 2: range(11, 20)}
    tracker = JointTracker()
    steps = follow(tracker, shown, cut(20, 5, 2))
    seen = seen_of(steps)
    assert sorted(seen.values(), key=len) == [list(when) for when in (shown[1], shown[2], shown[0])]
    ids = {len(frames): id_ for id_, frames in seen.items()}  # by 20, 9 and 9 frames
    assert seen[3] == list(shown[2])
    assert ids[20] in (1, 2)
    assert tracker._online._living.keys() == {ids[20], 3}
    assert len(tracker.finish().best(100).ids) == 3 * NUM_CLASSES


def test_one_that_comes_back_after_the_shared_frames_is_another() -> None:
    clips = cut(14, 5, 1)  # 0-4, 4-8, 8-12, 12-13
    tracker = JointTracker()
    first = {0: range(14), 1: range(3)}
    back = {0: range(14), 1: range(5, 14)}
    steps = follow(tracker, first, clips[:1]) + follow(tracker, back, clips[1:])
    seen = seen_of(steps)
    assert sorted(map(len, seen.values())) == [3, 9, 14]


def test_a_whole_video_at_once_is_one_clip() -> None:
    shown = {0: range(6), 1: range(2, 5)}
    tracker = JointTracker()
    (step,) = follow(tracker, shown, [(list(range(6)), 0)])
    assert sorted(seen_of([step]).values(), key=len) == [[2, 3, 4], list(range(6))]


def test_a_query_continues_at_a_soft_iou_of_half_and_not_below() -> None:
    """Masks of four cells, of which the next clip has only some more."""

    def overlapping(cells: int) -> list[int]:
        tracker = JointTracker(JointOptions(match_threshold=0.5))
        masks = np.zeros((1, 3, 1, 10), np.bool_)
        masks[..., :4] = True
        later = masks.copy()
        later[..., :cells] = True
        steps = [
            tracker.step([detections(masks[:, time]) for time in range(3)]),
            tracker.step([detections(later[:, time]) for time in range(3)], 2),
        ]
        return [int(step.ids[0]) for step in steps]

    assert overlapping(8) == [1, 1]
    assert overlapping(9) == [1, 2]


def detections(masks: np.ndarray) -> Detections:
    scores = np.full((len(masks), NUM_CLASSES), 0.5, np.float32)
    return Detections(scores, np.zeros((len(masks), 2), np.float32), masks)


def test_soft_iou_is_that_of_its_formula() -> None:
    rng = np.random.RandomState(0)
    first, second = (rng.random_sample((n, 2, 3, 4)).astype(np.float32) for n in (3, 2))
    found = soft_mask_iou(first, second)
    for row, p in enumerate(first):
        for column, q in enumerate(second):
            wanted = (p * q).sum() / (p + q - p * q).sum()
            assert found[row, column] == pytest.approx(wanted, rel=1e-5)
    assert soft_mask_iou(first[:0], second).shape == (0, 2)
    assert soft_mask_iou(np.zeros_like(first), np.zeros_like(second)).tolist() == [[0, 0]] * 3


def test_unsure_masks_have_a_smaller_soft_iou() -> None:
    """Of a mask with itself it is p / (2 - p) where all probabilities are p: a third at 1/2."""
    shown = {0: range(8)}
    for softness, ids in ((20.0, [1, 1]), (0.01, [1, 2])):
        tracker = JointTracker()
        steps = [
            tracker.step(clip_of(times, shown, [0, 1], softness), shared)
            for times, shared in cut(8, 5, 2)
        ]
        assert [step.ids.tolist() for step in steps] == [[id_] for id_ in ids]


def test_queries_without_a_class_or_a_mask_show_nothing() -> None:
    output = clip_of([0, 1], {0: range(2), 1: range(5, 6)}, [2, 3])
    assert JointTracker().step(output).queries.tolist() == [[2, 2]]
    assert len(JointTracker(JointOptions(min_score=0.95)).step(output).ids) == 0


def test_a_state_resumes_a_video() -> None:
    shown = {0: range(20), 1: range(9), 2: range(11, 20)}
    clips = cut(20, 5, 2)
    whole = JointTracker()
    wanted = follow(whole, shown, clips)
    rng, found, state = np.random.RandomState(0), [], JointTracker().state_dict()
    for times, shared in clips:
        tracker = JointTracker()
        tracker.load_state_dict(state)
        order = rng.permutation(NUM_QUERIES).tolist()
        found.append(tracker.step(clip_of(times, shown, order), shared))
        state = tracker.state_dict()
    assert seen_of(found) == seen_of(wanted)
    assert list(tracker.finish()) == list(whole.finish())


def test_the_state_does_not_grow_with_the_video() -> None:
    sizes = []
    tracker = JointTracker(JointOptions(repeated=2))
    for times, shared in cut(60, 5, 2):
        shown = dict.fromkeys(range(3), range(60))
        tracker.step(clip_of(times, shown, [0, 1, 2]), shared)
        sizes.append(tracker.state_size())
    assert len(set(sizes)) == 1
    masks = 3 * 2 * HEIGHT * WIDTH * 4
    assert masks < sizes[0] < masks + 1000


def test_what_cannot_be_linked_is_named() -> None:
    shown = {0: range(20)}

    def clip(first: int, length: int = 4) -> ClipOutput:
        return clip_of(list(range(first, first + length)), shown, [0])

    tracker = JointTracker(JointOptions(clip_frames=6, repeated=3))
    with pytest.raises(ValueError, match="repeated must be 0 for the first clip, got 1"):
        tracker.step(clip(0), 1)
    for wrong in (4, 5, -1):
        message = f"leave a new one of the clip's 4 frames, got {wrong}"
        with pytest.raises(ValueError, match=re.escape(message)):
            tracker.step(clip(0), wrong)
    tracker.step(clip(0))
    for wrong in (0, 4):
        with pytest.raises(ValueError, match=f"repeated must be 1 to 3, .* got {wrong}"):
            tracker.step(clip(0, 6), wrong)
    small = [detections(np.ones((NUM_QUERIES, 2, 2), np.bool_))] * 3
    with pytest.raises(ValueError, match=r"masks must be \(12, 16\), as in the .* got \(2, 2\)"):
        tracker.step(small, 1)
    with pytest.raises(ValueError, match=r"repeated must be .* of the clip's 0 frames, got 0"):
        JointTracker().step([])
    for name, value in (("min_score", 1.5), ("match_threshold", -0.1)):
        with pytest.raises(ValueError, match=rf"{name} must be in \[0, 1\], got {value}"):
            JointOptions(**{name: value})
    with pytest.raises(ValueError, match="repeated must be at least 1, got 0"):
        JointOptions(repeated=0)
    with pytest.raises(ValueError, match="clip_frames must be at least 2, got 1"):
        JointOptions(clip_frames=1)
    for wrong in (4, 5):
        message = rf"repeated must be below clip_frames \(4\), .* got {wrong}"
        with pytest.raises(ValueError, match=message):
            JointOptions(clip_frames=4, repeated=wrong)
    with pytest.raises(ValueError, match=r"clip_frames \(6\) at most, got 7 frames"):
        tracker.step(clip(0, 7), 1)


def test_classes_that_are_not_looked_for_show_nothing() -> None:
    output = clip_of([0, 1], {0: range(2), 1: range(2)}, [2, 3])
    weights = np.array([0, 1, 0], np.float32)
    step = JointTracker(class_weights=weights).step(output)
    assert step.queries.tolist() == [[3, 3]]
    assert (step.class_scores[..., [0, 2]] == 0).all()
