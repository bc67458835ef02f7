"""What was broken on purpose is the moment that is shown, with the frames that show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from vis.support.box_files import Boxes, BoxVideo, swapped_cats, write_files

from vidgap_vis.analysis import analyse
from vidgap_vis.analysis.moments import MOST_MOMENTS, MOST_OF_A_CAUSE, NUM_FRAMES
from vidgap_vis.evaluation import Evaluation

CAT: Boxes = [(10, 10, 20, 20)] * 12
GROWING: Boxes = [(10, 10, 5 + time, 5 + time) for time in range(12)]


def moments(folder: Path, video: BoxVideo) -> list[dict[str, Any]]:
    files = write_files(folder, [video], pictures=False)
    (line,) = analyse(Evaluation.of_files(files.results, files.truth))["videos"]
    found: list[dict[str, Any]] = line["moments"]
    return found


BROKEN: dict[str, tuple[list[tuple[int, float, Boxes]], str]] = {
    "class": ([(2, 0.9, CAT)], "class: cat 1 by <b>dog</b>, track 0, score 0.90, IoU 1.00"),
    "mask": (
        [(1, 0.9, [(12, 12, 8, 8)] * 12)],
        "mask: cat 1 by cat, track 0, score 0.90, IoU 0.16",
    ),
    "duplicate": (
        [(1, 0.9, CAT), (1, 0.8, CAT)],
        "duplicate: cat 1 by cat, track 1 (masks of 0), score 0.80, IoU 1.00",
    ),
    "background": (
        [(1, 0.9, CAT), (1, 0.8, [(40, 60, 9, 9)] * 12)],
        "background: cat, track 1, score 0.80",
    ),
    "missed": ([], "missed: cat 1"),
}


@pytest.mark.parametrize("cause", BROKEN)
def test_what_is_broken_is_shown(cause: str, tmp_path: Path) -> None:
    results, text = BROKEN[cause]
    (moment,) = moments(tmp_path, BoxVideo(12, [(1, CAT)], results))
    assert (moment["cause"], moment["text"]) == (cause, text)
    assert len(moment["frames"]) == NUM_FRAMES
    assert moment["frames"] == sorted(set(moment["frames"]))


def test_a_switch_is_shown_before_and_after(tmp_path: Path) -> None:
    found = moments(tmp_path, swapped_cats())
    assert [one["text"] for one in found] == [
        "identity switch in frame 4: cat 1, track 0 to 1",
        "identity switch in frame 4: cat 2, track 1 to 0",
        "missed: <b>dog</b> 3",
    ]
    assert found[0]["frames"] == [2, 3, 4, 5, 6]
    assert found[0]["tracks"] == [0, 1]


def test_who_switches_most_comes_first(tmp_path: Path) -> None:
    steady: Boxes = [(40, 60, 20, 20)] * 12
    pieces: list[tuple[int, float, Boxes]] = [
        (1, 0.9, [box if 4 * n <= time < 4 * n + 4 else None for time, box in enumerate(CAT)])
        for n in range(3)
    ]
    halves: list[tuple[int, float, Boxes]] = [
        (2, 0.8, [*steady[:6], *[None] * 6]),
        (2, 0.7, [*[None] * 6, *steady[6:]]),
    ]
    found = moments(tmp_path, BoxVideo(12, [(2, steady), (1, CAT)], [*pieces, *halves]))
    assert [one["text"] for one in found[:2]] == [
        "identity switch in frame 4, the first of 2: cat 2, track 0 to 1",
        "identity switch in frame 6: <b>dog</b> 1, track 3 to 4",
    ]


def test_what_is_not_shown_has_no_moment(tmp_path: Path) -> None:
    """A weak prediction; one of the same masks is named with what it is drawn as."""
    away: Boxes = [(40, 60, 9, 9)] * 12
    results: list[tuple[int, float, Boxes]] = [(1, 0.9, CAT), (1, 0.05, away), (2, 0.4, CAT)]
    (moment,) = moments(tmp_path, BoxVideo(12, [(1, CAT)], results))
    assert (
        moment["text"] == "class: cat 1 by <b>dog</b>, track 2 (masks of 0), score 0.40, IoU 1.00"
    )


def test_a_switch_over_a_gap_shows_both_of_its_ends(tmp_path: Path) -> None:
    first: Boxes = [*CAT[:2], *[None] * 10]
    last: Boxes = [*[None] * 9, *CAT[9:]]
    video = BoxVideo(12, [(1, CAT)], [(1, 0.9, first), (1, 0.8, last)])
    assert moments(tmp_path, video)[0]["frames"] == [0, 1, 9, 10, 11]


def test_a_missed_truth_is_shown_where_it_is_largest(tmp_path: Path) -> None:
    (moment,) = moments(tmp_path, BoxVideo(12, [(1, GROWING)]))
    assert 11 in moment["frames"]


def test_poor_masks_are_shown_where_they_are_poorest(tmp_path: Path) -> None:
    poor: Boxes = [(10, 10, 20, 9) if time != 5 else (10, 10, 2, 2) for time in range(12)]
    (moment,) = moments(tmp_path, BoxVideo(12, [(1, CAT)], [(1, 0.9, poor)]))
    assert 5 in moment["frames"]


def test_one_frame(tmp_path: Path) -> None:
    (moment,) = moments(tmp_path, BoxVideo(1, [(1, CAT[:1])]))
    assert moment["frames"] == [0]


def test_there_are_few_of_a_video_and_one_of_a_truth(tmp_path: Path) -> None:
    truths: list[Any] = [(1 + n % 2, [(7 * n, 4 * n, 6, 30)] * 12) for n in range(9)]
    results: list[Any] = [(1, 0.9 - 0.1 * n, [(7 * n, 4 * n, 6, 12)] * 12) for n in range(9)]
    found = moments(tmp_path, BoxVideo(12, truths, results))
    assert len(found) == MOST_MOMENTS
    causes = [one["cause"] for one in found]
    assert max(map(causes.count, causes)) == MOST_OF_A_CAUSE
    shown = [one["truth"] for one in found if one["truth"] is not None]
    assert len(shown) == len(set(shown))
