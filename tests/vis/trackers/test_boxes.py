"""Boxes of masks, their overlaps, and duplicates among them."""

from __future__ import annotations

import numpy as np
import pytest

from vidgap_vis.trackers.boxes import box_iou, boxes_of_masks, without_duplicate_boxes


def turned(boxes: list[list[float]]) -> list[list[float]]:
    """Those of masks the other way round, in another order."""
    return [[1 - x if wide else 0, y, wide, tall] for x, y, wide, tall in boxes[::-1]]


@pytest.mark.parametrize("backend", ["", "reference"])
def test_boxes_are_those_of_the_masks(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDGAP_BACKEND", backend)
    masks = np.zeros((3, 4, 10), np.bool_)
    masks[0, 1:3, 2:7] = True
    masks[1, 3, 9] = masks[1, 0, 0] = True
    wanted = [[0.45, 0.5, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0], [0, 0, 0, 0]]
    np.testing.assert_allclose(boxes_of_masks(masks), wanted, rtol=1e-6)
    np.testing.assert_allclose(boxes_of_masks(masks[::-1, :, ::-1]), turned(wanted), rtol=1e-6)
    assert boxes_of_masks(masks[:0]).shape == (0, 4)
    assert boxes_of_masks(np.zeros((2, 0, 3), np.bool_)).tolist() == [[0, 0, 0, 0]] * 2


def test_overlaps_agree_with_counted_cells() -> None:
    rng = np.random.default_rng(0)
    corners = np.sort(rng.integers(0, 12, (2, 9, 2, 2)), axis=2)  # of boxes in whole cells
    boxes = np.concatenate([corners.mean(axis=2), corners[:, :, 1] - corners[:, :, 0]], axis=2)
    cells = np.zeros((2, 9, 12, 12), np.bool_)
    for index in np.ndindex(2, 9):
        (x, y), (x_end, y_end) = corners[index]
        cells[index][y:y_end, x:x_end] = True
    shared = (cells[0][:, None] & cells[1][None]).sum((2, 3))
    union = (cells[0][:, None] | cells[1][None]).sum((2, 3))
    np.testing.assert_allclose(box_iou(boxes[0], boxes[1]), shared / np.maximum(union, 1))


def test_whole_pixels_count_one_more() -> None:
    one = np.array([[0.5, 0.5, 1.0, 1.0]])  # pixels 0 and 1, both inside
    other = np.array([[1.5, 0.5, 1.0, 1.0]])
    assert box_iou(one, other, 1.0).tolist() == [[2 / 6]]
    assert box_iou(one, other).tolist() == [[0.0]]


def test_a_duplicate_is_one_of_what_is_kept_and_of_its_class() -> None:
    boxes = np.array([[x, 0.5, 0.4, 0.4] for x in (0.5, 0.55, 0.6, 0.5)])
    labels = np.array([0, 0, 0, 1])
    assert without_duplicate_boxes(boxes, labels, 0.7).tolist() == [0, 2, 3]
    assert without_duplicate_boxes(boxes[:0], labels[:0], 0.7).tolist() == []
