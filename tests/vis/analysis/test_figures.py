"""Figures: strips of frames as PNG, of the videos asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from vis.support.box_files import SIZE, Boxes, BoxFiles, BoxVideo, swapped_cats, write_files

from vidgap_vis.analysis.figures import LONGEST, MOST, NUM_FRAMES, drawn_frame, frames_of
from vidgap_vis.analysis.strips import StripFrame, reduced_mask, reduced_size
from vidgap_vis.formats.images import decode_file
from vidgap_vis.formats.rle import Rle
from vidgap_vis.video.overlay import track_colour

GOOD: Boxes = [(20, 20, 30, 30)] * 8

Run = Callable[..., list[str]]
Fails = Callable[..., str]


@pytest.fixture
def files(tmp_path: Path) -> BoxFiles:
    """The worst video first, then a good one of one truth and one of two."""
    second: Boxes = [(4, 70, 20, 20)] * 8
    one = BoxVideo(8, [(1, GOOD)], [(1, 0.9, GOOD)])
    two = BoxVideo(8, [(1, GOOD), (1, second)], [(1, 0.9, GOOD), (1, 0.8, second)])
    return write_files(tmp_path, [swapped_cats(), one, two])


def test_a_row_for_truth_and_for_results(files: BoxFiles, tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "figures"
    arguments = ("analyze", files.results, "--gt", files.truth, "--images", files.images)
    run(*arguments, "--figures", folder, "--num_videos", "1")
    assert [path.name for path in folder.iterdir()] == ["video_7.png"]
    one = decode_file(folder / "video_7.png")
    other = tmp_path / "other.json"
    other.write_text("[]")
    run(*arguments, "--figures", folder, "--num_videos", "1", "--against", other)
    two = decode_file(folder / "video_7.png")
    assert two.shape[1] == one.shape[1] >= NUM_FRAMES * SIZE[1]
    assert two.shape[0] - one.shape[0] > SIZE[0]
    assert np.array_equal(one, two[: len(one)])


def count(picture: np.ndarray, colour: int) -> int:
    return int((picture == np.array(track_colour(colour))).all(axis=-1).sum())


def test_a_track_has_the_colour_of_its_truth(files: BoxFiles, tmp_path: Path, run: Run) -> None:
    run(
        *("analyze", files.results, "--gt", files.truth, "--images", files.images),
        *("--figures", tmp_path, "--videos", "8"),
    )
    picture = decode_file(tmp_path / "video_8.png")
    half = len(picture) // 2
    for part in (picture[:half], picture[half:]):
        assert count(part, 0) > 100
        assert count(part, 1) == 0


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ("worst", ["video_7.png"]),
        ("best", ["video_9.png"]),
        ("8,7", ["video_7.png", "video_8.png"]),
    ],
)
def test_the_videos_that_are_chosen(
    choice: str, wanted: list[str], files: BoxFiles, tmp_path: Path, run: Run
) -> None:
    folder = tmp_path / "figures"
    run(
        *("analyze", files.results, "--gt", files.truth, "--figures", folder),
        *("--videos", choice, "--num_videos", "1"),
    )
    assert sorted(path.name for path in folder.iterdir()) == wanted


def test_without_pictures_masks_lie_on_grey(tmp_path: Path, run: Run) -> None:
    files = write_files(tmp_path, [swapped_cats()], pictures=False)
    arguments = ("analyze", files.results, "--gt", files.truth, "--figures", tmp_path / "figures")
    bare = run(*arguments)
    said = run(*arguments, "--images", files.images)
    assert not any("no such image file" in line for line in bare)
    (line,) = (line for line in said if "no such image file" in line)
    assert line.startswith(f"{NUM_FRAMES} frames cannot be shown: ")
    assert line.endswith("; and 1 others.")


def test_what_is_wrong_is_said(files: BoxFiles, tmp_path: Path, fails: Fails) -> None:
    arguments = ("analyze", files.results, "--gt", files.truth, "--figures", tmp_path / "new")
    assert "--videos: wanted ids of the truth, which has no 99" in fails(
        2, *arguments, "--videos", "99"
    )
    assert "wanted worst, best, or ids" in fails(2, *arguments, "--videos", "some")
    file = tmp_path / "file"
    file.write_text("")
    said = fails(1, *arguments[:-1], file)
    assert "a folder is wanted here, got a file" in said


def test_other_frames_are_far_from_the_moments() -> None:
    assert frames_of({"frames": 20, "moments": [{"frames": [8, 9, 10]}]}) == [0, 4, 8, 9, 10, 19]


@pytest.mark.parametrize("size", [(1000, 10), (1, 4000), (720, 1280), (64, 96)])
def test_pictures_of_any_shape_have_a_sane_size(size: tuple[int, int]) -> None:
    most = max(size[0], LONGEST), max(size[1], LONGEST)
    frame = StripFrame(0, reduced_size(size, MOST), None, "", [[]])
    drawn = drawn_frame(frame, [])
    assert drawn.shape[0] <= most[0]
    assert drawn.shape[1] <= most[1]


def test_a_pixel_of_a_large_frame_is_a_pixel_of_its_picture() -> None:
    mask = np.zeros((4320, 7680), np.bool_)
    mask[4000, 7000] = True
    small = reduced_mask(Rle.encode(mask), (180, 320)).decode()
    assert np.argwhere(small).tolist() == [[4000 * 180 // 4320, 7000 * 320 // 7680]]
    nothing = reduced_mask(Rle.encode(np.zeros((4320, 7680), np.bool_)), (180, 320))
    assert not nothing.area()


@pytest.mark.parametrize("length", [1, 2, NUM_FRAMES, 4000])
def test_frames_of_short_and_long_videos(length: int) -> None:
    moment = {"frames": [length // 2, length - 1]}
    for moments in ([], [moment]):
        frames = frames_of({"frames": length, "moments": moments})
        assert frames == sorted(set(frames))
        assert len(frames) == min(length, NUM_FRAMES)
        assert all(0 <= frame < length for frame in frames)
