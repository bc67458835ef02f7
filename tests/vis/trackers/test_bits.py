"""Masks in bits: overlaps and duplicates against plain loops, with the kernel and without."""

from __future__ import annotations

import numpy as np
import pytest

from vidgap_vis.trackers.bits import MaskBits, mask_iou, packed_masks, without_duplicates


@pytest.fixture(params=["", "reference"], autouse=True)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDGAP_BACKEND", request.param)


def test_mask_iou_against_loops() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((3, 5, 7)) > 0.5, rng.random((4, 5, 7)) > 0.3
    first[0] = second[0] = False
    wanted = [[(a & b).sum() / max((a | b).sum(), 1) for b in second] for a in first]
    np.testing.assert_allclose(mask_iou(first, second), wanted, rtol=1e-6)
    assert mask_iou(first[:0], second).shape == (0, 4)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8), (9, 17), (40, 31)], ids=str)
def test_shared_cells_and_areas_are_counted(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.random((num, *size)) < rng.random((num, 1, 1)) for num in (7, 5))
    first[1] = second[2] = False  # nothing in it
    first[2, size[0] // 2 :] = second[3, : size[0] // 2] = False
    one, other = MaskBits.of(first), MaskBits.of(second)
    wanted = [[(a & b).sum() for b in second] for a in first]
    assert one.shared(other).tolist() == wanted
    assert one.areas.tolist() == first.sum(axis=(1, 2)).tolist()
    rows = np.array([4, 0, 4])
    assert one[rows].shared(other).tolist() == [wanted[row] for row in rows]
    assert MaskBits(one.words[::2]).shared(other).tolist() == wanted[::2]
    assert one.shared(other[rows[:0]]).shape == (7, 0)
    assert one[rows[:0]].shared(other).shape == (0, 5)
    assert MaskBits.of(np.asfortranarray(first)[:, ::-1]).areas.tolist() == one.areas.tolist()


def test_masks_of_other_sizes_are_named() -> None:
    masks = np.ones((2, 9, 17), np.bool_)
    with pytest.raises(ValueError, match="masks must be of one size, got 3 and 2 words"):
        mask_iou(masks, masks[:, :7])


def test_masks_without_a_cell_share_none() -> None:
    masks = np.zeros((2, 0, 3), np.bool_)
    assert packed_masks(masks).shape == (2, 0)
    assert mask_iou(masks, masks).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("iou", [0.0, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("size", [(3, 5), (8, 8), (9, 17)], ids=str)
def test_duplicates_are_those_of_plain_loops(size: tuple[int, int], iou: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        masks = rng.random((12, *size)) < rng.random((12, 1, 1))
        masks[4] = masks[9] = False
        kept: list[int] = []
        for index, mask in enumerate(masks):
            pairs = [((mask & masks[k]).sum(), (mask | masks[k]).sum()) for k in kept]
            if not any(union == 0 or shared > iou * union for shared, union in pairs):
                kept.append(index)
        assert without_duplicates(MaskBits.of(masks), iou).tolist() == kept
    assert without_duplicates(MaskBits.of(masks[:0]), iou).tolist() == []


def test_at_equality_the_epsilon_decides() -> None:
    masks = np.zeros((2, 1, 8), np.bool_)
    masks[0, 0, :3] = masks[1, 0, 1:4] = True  # share 2 of 4
    assert without_duplicates(MaskBits.of(masks), 0.5).tolist() == [0, 1]
    assert without_duplicates(MaskBits.of(masks), 0.5, 1e-6).tolist() == [0]
