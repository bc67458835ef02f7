"""Masks by occlusion, and queries that stay with their instance."""

from __future__ import annotations

import numpy as np
import pytest

from vidgap_vis.formats.youtube_vis import VideoInfo, VideoInstance
from vidgap_vis.inference.mechanism import mask_quality, staying
from vidgap_vis.inference.sights import Sights

ABSENT = -1


def sights(best: list[list[int]], ious: list[list[float]]) -> Sights:
    """Of N instances and T frames; ABSENT where one is not there."""
    queries = np.array(best)
    num, length = queries.shape
    none = np.zeros((num, length, 2))
    visible = queries != ABSENT
    return Sights(none.astype("f4"), none.astype("f4"), none, visible, queries, np.array(ious))


def test_masks_are_told_apart_by_how_much_is_hidden() -> None:
    words = ("no_occlusion", "severe_occlusion", "severe_occlusion", None)
    instances = (
        VideoInstance(1, 0, (None,) * 4, words),
        VideoInstance(2, 0, (None,) * 4, None),
    )
    video = VideoInfo(1, ("a", "b", "c", "d"), (4, 4), instances)
    seen = sights([[0, 0, 0, 0], [1, 1, 1, 1]], [[0.9, 0.6, 0.2, 0.1], [1.0] * 4])
    found = mask_quality([(video, seen), (video, seen)])
    assert found["no_occlusion"] == {"iou": pytest.approx(0.9), "found": 1.0, "num": 2}
    assert found["severe_occlusion"] == {"iou": pytest.approx(0.4), "found": 0.5, "num": 4}
    assert found["slight_occlusion"] == {"iou": None, "found": None, "num": 0}


def test_what_is_absent_has_no_mask() -> None:
    words = ("no_occlusion", None)
    video = VideoInfo(1, ("a", "b"), (4, 4), (VideoInstance(1, 0, (None,) * 2, words),))
    found = mask_quality([(video, sights([[ABSENT, 0]], [[0.0, 0.9]]))])
    assert found["no_occlusion"]["num"] == 0


def test_queries_stay_from_frame_to_frame_and_over_absences() -> None:
    seen = sights(
        [[3, 3, 4, ABSENT, 4, 4], [1, ABSENT, ABSENT, 2, 2, 2]],
        [[0.9, 0.9, 0.9, 0, 0.9, 0.3], [0.9, 0, 0, 0.9, 0.9, 0.9]],
    )
    # Pairs: 3-3, 3-4 (not), 4-4 is not found; 2-2 twice. Returns: 4-4, 1-2 (not).
    assert staying([seen]) == {"next": pytest.approx(3 / 4), "return": pytest.approx(1 / 2)}
    assert staying([]) == {"next": None, "return": None}
