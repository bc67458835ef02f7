"""Overlaps: the kernel against the reference, both against dense masks, and what is malformed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from vis.support.run_lengths import compressed, masks, mutated, plain_counts

from vidgap_vis import native
from vidgap_vis.evaluation.overlaps import Backend, MaskError, VideoOverlaps, overlaps
from vidgap_vis.formats.results import Track
from vidgap_vis.formats.rle import Rle

EXTENSION = native._native
needs_native = pytest.mark.skipif(EXTENSION is None, reason="the extension is not built")
BACKENDS: list[Backend] = ["reference", "auto"]
SIZES = st.sampled_from([(1, 1), (1, 7), (6, 1), (5, 7), (40, 33)])
HUGE = [(46341, 46341), (70000, 70000), (2**16, 2**17)]


@st.composite
def videos(draw: st.DrawFn) -> tuple[list[Track], list[Track]]:
    """Found and true tracks of a video; none of them, some without a mask, in one frame or more."""
    size, num_frames = draw(SIZES), draw(st.integers(1, 4))
    mask = st.none() | masks(size)
    one = st.lists(mask, min_size=num_frames, max_size=num_frames)
    several = st.lists(one.map(lambda track: Track(1, 0, tuple(track))), max_size=4)
    return draw(several), draw(several)


def dense(tracks: Sequence[Track], num_frames: int, size: tuple[int, int]) -> np.ndarray:
    """(M, T, H, W) bool."""
    volume = np.zeros((len(tracks), num_frames, *size), bool)
    for m, track in enumerate(tracks):
        for t, mask in enumerate(track.masks):
            if mask is not None:
                volume[m, t] = mask.decode()
    return volume


def assert_dense(got: VideoOverlaps, found: Sequence[Track], true: Sequence[Track]) -> None:
    present = [mask for track in [*found, *true] for mask in track.masks if mask]
    size = present[0].size if present else (1, 1)
    num_frames = len([*found, *true][0].masks) if [*found, *true] else 0
    first, second = dense(found, num_frames, size), dense(true, num_frames, size)
    assert got.found.areas.tolist() == first.sum(axis=(2, 3)).tolist()
    assert got.true.areas.tolist() == second.sum(axis=(2, 3)).tolist()
    wanted = (first.swapaxes(0, 1)[:, :, None] & second.swapaxes(0, 1)[:, None]).sum(axis=(3, 4))
    assert got.shared.shape == (num_frames, len(found), len(true))
    assert got.shared.tolist() == wanted.tolist()


@settings(max_examples=200, deadline=None)
@given(video=videos())
def test_every_backend_counts_what_dense_masks_share(video: tuple[list[Track], list[Track]]):
    for backend in BACKENDS:
        assert_dense(overlaps(1, *video, backend=backend), *video)


@needs_native
@settings(max_examples=100, deadline=None)
@given(video=videos())
def test_the_environment_chooses_the_reference_which_gives_the_same(
    video: tuple[list[Track], list[Track]],
) -> None:
    by_kernel = overlaps(1, *video, backend="native")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDGAP_BACKEND", "reference")
        by_reference = overlaps(1, *video)
    for one, other in (
        (by_kernel.shared, by_reference.shared),
        (by_kernel.found.areas, by_reference.found.areas),
        (by_kernel.true.areas, by_reference.true.areas),
    ):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(0, 0, 3), (0, 2, 3), (2, 0, 3), (2, 2, 1), (3, 1, 0)], ids=str)
def test_nothing_at_all_is_fine(backend: Backend, shape: tuple[int, int, int]) -> None:
    num_found, num_true, num_frames = shape
    absent = Track(1, 0, (None,) * num_frames)
    found, true = [absent] * num_found, [absent] * num_true
    got = overlaps(1, found, true, backend=backend)
    length = num_frames if found or true else 0
    assert got.shared.shape == (length, num_found, num_true)
    assert not got.shared.any()
    assert got.found.areas.shape == (num_found, length)
    assert got.track_ious().tolist() == [[0.0] * num_true] * num_found


@pytest.mark.parametrize("backend", BACKENDS)
def test_runs_that_touch_are_one_run(backend: Backend) -> None:
    pieces = Rle((10, 1), compressed([0, 2, 0, 3, 0, 0, 0, 1, 4]))
    whole = Rle((10, 1), compressed([0, 6, 4]))
    tail = Rle((10, 1), compressed([5, 5]))
    found, true = [Track(1, 0, (pieces,))], [Track(1, 0, (whole,)), Track(1, 0, (tail,))]
    got = overlaps(1, found, true, backend=backend)
    assert got.found.areas.tolist() == [[6]]
    assert got.shared.tolist() == [[[6, 1]]]
    assert got.found.first_alike.tolist() == [0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_masks_that_interleave_share_nothing(backend: Backend) -> None:
    even = np.indices((9, 8)).sum(axis=0) % 2 == 0
    found, true = Rle.encode(even), Rle((9, 8), compressed(plain_counts(~even)))
    got = overlaps(1, [Track(1, 0, (found,))], [Track(1, 0, (true,))], backend=backend)
    assert got.shared.item() == 0
    assert got.found.areas.item() + got.true.areas.item() == 72


@pytest.mark.parametrize("size", HUGE, ids=str)
def test_more_pixels_than_the_kernel_counts_are_counted_all_the_same(size: tuple[int, int]) -> None:
    pixels = size[0] * size[1]
    assert EXTENSION is None or pixels > EXTENSION.MOST_PIXELS
    most = Rle(size, compressed([5, pixels - 7, 2]))
    ends = Rle(size, compressed([0, 6, pixels - 9, 3]))
    found, true = [Track(1, 0, (most, None))], [Track(1, 0, (m, most)) for m in (most, ends)]
    got = overlaps(1, found, true)
    assert got.shared.tolist() == [[[pixels - 7, 2]], [[0, 0]]]
    assert got.true.areas.tolist() == [[pixels - 7] * 2, [9, pixels - 7]]
    assert got.frame_ious()[0].tolist() == [[1.0, 2 / pixels]]


@needs_native
def test_the_kernel_counts_up_to_its_limit() -> None:
    size = (EXTENSION.MOST_PIXELS, 1)
    full, rest = Rle(size, compressed([0, size[0]])), Rle(size, compressed([1, size[0] - 1]))
    got = overlaps(1, [Track(1, 0, (full,))], [Track(1, 0, (rest,))], backend="native")
    assert got.shared.item() == size[0] - 1
    assert EXTENSION.area(full.counts, size[0]) == size[0]


@st.composite
def strings(draw: st.DrawFn) -> tuple[str, tuple[int, int]]:
    """Strings that are masks, nearly masks, or nothing of the kind."""
    size = draw(SIZES)
    kind = draw(st.sampled_from(["mask", "mutated", "text", "digits", "numbers"]))
    if kind == "text":
        return draw(st.text(max_size=12)), size
    if kind == "digits":
        return draw(st.text("0123PQo_`~/p", max_size=30)), size
    if kind == "numbers":
        pixels = size[0] * size[1]
        number = st.sampled_from([0, 1, -1, pixels, 2**31, 2**34, -(2**34), 2**40, 2**64])
        return compressed(draw(st.lists(number, min_size=1, max_size=6))), size
    text = draw(masks(size)).counts
    return (text if kind == "mask" else mutated(draw, text, st.text(max_size=3))), size


def area_or_none(mask: Rle) -> int | None:
    try:
        return mask.checked().area()
    except ValueError:
        return None


@needs_native
@settings(max_examples=1500, deadline=None)
@given(case=strings())
@example(("", (1, 1)))
@example(("\ud800", (1, 1)))
@example(("\0", (1, 1)))
@example(("01é", (1, 1)))
@example(("P" * 7 + "1", (1, 1)))
@example(("oooooo1", (1, 1)))
def test_the_kernel_accepts_just_what_the_reader_accepts(case: tuple[str, tuple[int, int]]) -> None:
    text, size = case
    wanted = area_or_none(Rle(size, text))
    got = EXTENSION.area(text, size[0] * size[1])
    assert got == (-1 if wanted is None else wanted)


BROKEN = {
    "empty": ("", "RLE counts are empty"),
    "short": (compressed([5]), r"RLE counts must sum to 2x3 = 6, got 5"),
    "long": (compressed([5, 2]), r"RLE counts must sum to 2x3 = 6, got more"),
    "negative": (compressed([7, -1]), "RLE counts must not be negative, got -1"),
    "cut": ("0P", "RLE counts end inside a number"),
    "huge": (compressed([2**40]), "RLE counts hold a number that is too large"),
    "not ASCII": ("0é", "RLE counts hold a character that is not ASCII"),
    "half a character": ("0\udc80", "RLE counts hold a character that is not ASCII"),
    "foreign": ("0 6", "RLE counts hold a character outside"),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("among", ["found", "true"])
@pytest.mark.parametrize(("text", "reason"), BROKEN.values(), ids=list(BROKEN))
def test_a_malformed_mask_is_named_with_its_track_and_frame(
    backend: Backend, among: str, text: str, reason: str
) -> None:
    right, wrong = Rle((2, 3), compressed([2, 4])), Rle((2, 3), text)
    good = Track(4, 0, (right, None, right))
    bad = Track(4, 0, (None, right, wrong), source="this one")
    groups = {"found": [good, good], "true": [good], among: [good, bad, good]}
    with pytest.raises(MaskError, match=f"video 4 frame 2: {reason}") as caught:
        overlaps(4, groups["found"], groups["true"], backend=backend)
    assert caught.value.track is bad
    assert caught.value.frame == 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_first_malformed_mask_is_named_found_ones_first(backend: Backend) -> None:
    right, wrong = Rle((2, 3), compressed([2, 4])), Rle((2, 3), "5")
    late, early = Track(1, 0, (right, wrong)), Track(1, 1, (wrong, right))
    with pytest.raises(MaskError) as caught:
        overlaps(1, [late], [late, early], backend=backend)
    assert caught.value.track is early
    with pytest.raises(MaskError) as caught:
        overlaps(1, [late], [late], backend=backend)
    assert (caught.value.track, caught.value.frame) == (late, 1)


def test_a_backend_that_is_not_there_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDGAP_BACKEND", "reference")
    with pytest.raises(ValueError, match=r"overlaps\(backend='native'\): VIDGAP_BACKEND=reference"):
        overlaps(1, [], [], backend="native")


def test_an_absent_extension_warns_once_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(native, "_native", None)
    monkeypatch.setattr(native, "_why_absent", "no module of that name")
    monkeypatch.setattr(native, "_warned", set())
    wanted = (
        r"^evaluation runs on its reference in Python.*reinstall vidgap-vis where a C\+\+17 comp"
    )
    with pytest.warns(RuntimeWarning, match=wanted):
        overlaps(1, [], [])
    overlaps(1, [], [])  # another warning would be an error
