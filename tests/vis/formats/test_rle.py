"""Masks: every form decodes to the pixels that pycocotools gives, and garbage is only an error."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from vidgap_vis.formats.rle import Polygons, Rle, parse_rle, parse_segmentation

# pycocotools 2.0.11 decodes with an `__array__` of NumPy 1; we only decode with it to compare.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MASKS = st.tuples(st.integers(1, 9), st.integers(1, 40)).flatmap(
    lambda size: arrays(np.bool_, size, elements=st.booleans())
)


def counts_by_loop(mask: np.ndarray) -> list[int]:
    counts, inside = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != inside:
            counts.append(0)
            inside = pixel
        counts[-1] += 1
    return counts


@settings(deadline=None)
@given(MASKS)
def test_encoding_and_decoding_gives_the_same_pixels(mask: np.ndarray) -> None:
    rle = Rle.encode(mask)
    assert rle.size == mask.shape
    np.testing.assert_array_equal(rle.decode(), mask)
    assert rle.run_lengths().tolist() == counts_by_loop(mask)
    assert rle.area() == mask.sum()


@settings(deadline=None)
@given(MASKS)
def test_plain_compressed_and_bytes_agree_with_pycocotools(mask: np.ndarray) -> None:
    compressed = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    plain = {"size": list(mask.shape), "counts": counts_by_loop(mask)}
    for value in (compressed, plain, {**compressed, "counts": compressed["counts"].decode()}):
        rle = parse_rle(value, mask.shape)
        np.testing.assert_array_equal(rle.decode(), coco_mask.decode(compressed))
        assert coco_mask.area(dict(rle.to_dict())) == rle.area()


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 70000), (70000, 1), (720, 1280), (1100, 2000)], ids=str
)
def test_large_run_lengths_survive(size: tuple[int, int]) -> None:
    mask = np.zeros(size, np.bool_)
    mask[size[0] // 2 :, size[1] // 3 :] = True
    np.testing.assert_array_equal(Rle.encode(mask).decode(), mask)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=[chr(c) for c in range(48, 112)], min_size=1, max_size=30))
def test_any_string_decodes_to_its_size_or_is_an_error(text: str) -> None:
    rle = Rle((5, 7), text)
    try:
        rle.checked()
    except ValueError:
        return
    mask = rle.decode()
    assert mask.shape == (5, 7)
    np.testing.assert_array_equal(mask, coco_mask.decode(dict(rle.to_dict())))


BROKEN_RLES = {
    "another size": ({"size": [16, 12], "counts": [192]}, r"size must be \[12, 16\], got \[16, 12"),
    "no size": ({"counts": [192]}, r"size must be \[12, 16\], got null"),
    "no counts": ({"size": [12, 16]}, "counts must be a string or a list, got null"),
    "a number": ({"size": [12, 16], "counts": 5}, "counts must be a string or a list, got 5"),
    "too few": ({"size": [12, 16], "counts": [100, 91]}, "must sum to 12x16 = 192, got 191"),
    "too many": ({"size": [12, 16], "counts": [100, 93]}, "must sum to 12x16 = 192, got more"),
    "none": ({"size": [12, 16], "counts": []}, "must sum to 12x16 = 192, got 0"),
    "negative": ({"size": [12, 16], "counts": [200, -8]}, "at most 192, got 200"),
    "negative first": ({"size": [12, 16], "counts": [-8, 100, 100]}, "negative, got -8"),
    "beyond 64 bits": ({"size": [12, 16], "counts": [2**70]}, "at most 192, got 1180591620717"),
    "not integers": ({"size": [12, 16], "counts": [191.5, 0.5]}, "must be integers, got 191.5"),
    "booleans": ({"size": [12, 16], "counts": [True] * 192}, "must be integers, got True"),
    "lists": ({"size": [12, 16], "counts": [[192]]}, r"must be integers, got \[192\]"),
}


@pytest.mark.parametrize(("value", "message"), BROKEN_RLES.values(), ids=list(BROKEN_RLES))
def test_a_broken_rle_object_is_refused_when_read(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_segmentation(value, (12, 16))


BROKEN_STRINGS = {
    "empty": ("", "counts are empty"),
    "ends inside a number": ("0P", "end inside a number"),
    "below the alphabet": ("0 0", "character outside '0'..'o'"),
    "above the alphabet": ("0~0", "character outside '0'..'o'"),
    "a null byte": ("0\0", "character outside '0'..'o'"),
    "not ASCII": ("0é", "not ASCII"),
    "a huge number": ("oooooooooooo0", "too large"),
    "32 bits": ("ooooooO", "sum to 12x16|negative"),
    "negative": ("O", "negative, got -1"),
    "sums to too little": ("5", "must sum to 12x16 = 192, got 5"),
    "a billion runs": ("0" * 100_000, "must sum to 12x16 = 192, got 0"),
}


@pytest.mark.parametrize(("counts", "message"), BROKEN_STRINGS.values(), ids=list(BROKEN_STRINGS))
def test_a_broken_string_is_refused_when_used(counts: str, message: str) -> None:
    rle = parse_rle({"size": [12, 16], "counts": counts}, (12, 16))
    for use in (rle.decode, rle.area, rle.checked, rle.to_dict):
        with pytest.raises(ValueError, match=message):
            use()


def test_garbage_bytes_do_not_crash_the_process() -> None:
    code = (
        "import random\n"
        "from vidgap_vis.formats.rle import parse_rle\n"
        "draw = random.Random(0)\n"
        "for _ in range(1000):\n"
        "    counts = draw.randbytes(draw.randrange(40))\n"
        "    try:\n"
        "        parse_rle({'size': [480, 640], 'counts': counts}, (480, 640)).decode()\n"
        "    except ValueError:\n"
        "        pass\n"
        "print('alive')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


def test_polygons_are_filled_as_pycocotools_does_and_united() -> None:
    rings = [[1.0, 1.0, 9.5, 1.0, 1.0, 8.0], [4, 4, 12, 4, 12, 10, 4, 10], [-3, 5, 20, 5, 20, 7]]
    segmentation = parse_segmentation(rings, (12, 16))
    assert isinstance(segmentation, Polygons)
    union = np.zeros((12, 16), dtype=bool)
    for ring in rings:
        filled = coco_mask.frPyObjects([[float(number) for number in ring]], 12, 16)
        union |= coco_mask.decode(filled)[:, :, 0].astype(bool)
    assert 0 < union.sum() < union.size
    np.testing.assert_array_equal(segmentation.decode(), union)


def test_a_polygon_with_no_pixel_is_an_empty_mask() -> None:
    assert parse_segmentation([[3.0] * 6], (12, 16)).decode().sum() == 0


BROKEN_POLYGONS = {
    "no polygon": ([], "must have a polygon, got an empty list"),
    "two corners": ([[1, 2, 3, 4]], "x, y of 3 corners or more, got 4 numbers"),
    "odd": ([[1, 2, 3, 4, 5, 6, 7]], "x, y of 3 corners or more, got 7 numbers"),
    "flat": ([1, 2, 3, 4, 5, 6], "a polygon must be a list of numbers, got 1"),
    "text": ([["1", 2, 3, 4, 5, 6]], "a polygon must be a list of numbers, got '1'"),
    "null": ([[None, 2, 3, 4, 5, 6]], "a polygon must be a list of numbers, got null"),
    "far outside": ([[1, 2, 3, 1e9, 5, 6]], r"polygon y must be in \[-12, 24\], got 1e\+09"),
    "far left": ([[-17, 2, 3, 4, 5, 6]], r"polygon x must be in \[-16, 32\], got -17"),
    "not a number": ([[float("nan"), 2, 3, 4, 5, 6]], r"polygon x must be .*, got nan"),
    "neither": ("circle", "an RLE object or a list of polygons, got 'circle'"),
}


@pytest.mark.parametrize(("value", "message"), BROKEN_POLYGONS.values(), ids=list(BROKEN_POLYGONS))
def test_a_broken_polygon_is_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_segmentation(value, (12, 16))


@pytest.mark.parametrize(
    "mask", [np.zeros((3, 4)), np.zeros((1, 3, 4), np.bool_)], ids=["float", "3-D"]
)
def test_only_a_bool_matrix_is_encoded(mask: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"mask must be \(H, W\) bool, got"):
        Rle.encode(mask)
