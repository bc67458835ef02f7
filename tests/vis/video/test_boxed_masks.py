"""Masks inside their boxes: the kernel and NumPy against masks of the whole frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vis.support.run_lengths import compressed, masks

from vidgap_vis import native
from vidgap_vis.formats.rle import Rle
from vidgap_vis.video.boxed_masks import BoxedMask

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 12))


def ways() -> list[str]:
    return ["", "reference"] if native.obstacle() is None else ["reference"]


def boxed(rle: Rle, way: str) -> BoxedMask:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDGAP_BACKEND", way)
        return BoxedMask.of(rle)


@pytest.mark.parametrize("way", ways())
@settings(deadline=None, max_examples=300)
@given(rle=SIZES.flatmap(masks))
def test_a_box_holds_all_of_its_mask_and_nothing_else(rle: Rle, way: str) -> None:
    whole = rle.decode()
    found = boxed(rle, way)
    assert found.area == whole.sum()
    assert found.pixels.dtype == np.bool_
    rows, columns = np.nonzero(whole)
    if len(rows) == 0:
        assert (found.box, found.pixels.shape) == ((0, 0, 0, 0), (0, 0))
        return
    left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    assert found.box == (left, top, right, bottom)
    np.testing.assert_array_equal(found.pixels, whole[top:bottom, left:right])


@pytest.mark.parametrize("way", ways())
@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)], ids=str)
def test_a_frame_without_a_pixel_has_an_empty_mask(size: tuple[int, int], way: str) -> None:
    found = boxed(Rle(size, compressed([0])), way)
    assert (found.box, found.area) == ((0, 0, 0, 0), 0)


@pytest.mark.parametrize("way", ways())
@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ("", "RLE counts are empty"),
        (compressed([4, 9]), "RLE counts must sum to 3x4 = 12, got more"),
        (compressed([4, 7]), "RLE counts must sum to 3x4 = 12, got 11"),
        (compressed([4, -1, 9]), "RLE counts must not be negative, got -1"),
        ("o", "RLE counts end inside a number"),
    ],
)
def test_malformed_counts_are_named(counts: str, message: str, way: str) -> None:
    with pytest.raises(ValueError, match=message):
        boxed(Rle((3, 4), counts), way)


def test_more_pixels_than_the_kernel_counts_are_for_numpy() -> None:
    if native.obstacle() is not None:
        pytest.skip("the kernel is not there")
    size = (1, 2**31)
    found = BoxedMask.of(Rle(size, compressed([2**31 - 3, 2, 1])))
    assert (found.box, found.area) == ((2**31 - 3, 0, 2**31 - 1, 1), 2)


@pytest.mark.parametrize("scale", [2, 3, 7])
@settings(deadline=None, max_examples=60)
@given(rle=SIZES.flatmap(masks))
def test_an_enlarged_box_is_that_of_the_enlarged_frame(rle: Rle, scale: int) -> None:
    whole = rle.decode()
    if not whole.any():
        return
    large = np.ascontiguousarray(slowly_enlarged(whole, scale))
    found = BoxedMask.of(rle).enlarged(scale, rle.size)
    assert found.area == large.sum()
    left, top, right, bottom = found.box
    np.testing.assert_array_equal(found.pixels, large[top:bottom, left:right])


def slowly_enlarged(mask: np.ndarray, scale: int) -> np.ndarray:
    """Interpolate between the middles of pixels, those at the edges going on beyond them."""
    taps = []
    for length in mask.shape:
        at = ((np.arange(scale * length) + 0.5) / scale - 0.5).clip(0, length - 1)
        taps.append(np.maximum(0, 1 - np.abs(at[:, None] - np.arange(length))))
    return taps[0] @ mask @ taps[1].T > 0.5
