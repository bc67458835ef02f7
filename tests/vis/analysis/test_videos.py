"""Timelines: what they say agrees with the metrics, and the worst videos come first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from vis.support.box_files import Boxes, BoxVideo, swapped_cats, write_files
from vis.support.scenes import HEIGHT, WIDTH, random_scene

from vidgap_vis.analysis import analyse
from vidgap_vis.analysis.colours import track_colours
from vidgap_vis.analysis.videos import MOST_TRACKS, spans
from vidgap_vis.classes import from_categories
from vidgap_vis.evaluation import Evaluation
from vidgap_vis.formats.youtube_vis import VideoInfo, VideoInstance, VideoSet

THERE: Boxes = [(10, 10, 20, 20)] * 6


def evaluate(folder: Path, *videos: BoxVideo) -> Evaluation:
    files = write_files(folder, videos, pictures=False)
    return Evaluation.of_files(files.results, files.truth)


def random_evaluation(seed: int) -> Evaluation:
    scene = random_scene(seed, num_videos=6)
    videos = []
    for video_id in scene.video_ids:
        true = [one for one in scene.truths if one.video_id == video_id]
        instances = tuple(
            VideoInstance(100 * video_id + n, t.label, t.masks) for n, t in enumerate(true)
        )
        both = [one for one in (*true, *scene.predictions) if one.video_id == video_id]
        length = len(both[0].masks) if both else 3
        names = tuple(f"{video_id}/{time}.png" for time in range(length))
        videos.append(VideoInfo(video_id, names, (HEIGHT, WIDTH), instances))
    classes = from_categories([(k + 1, f"class {k}") for k in range(3)])
    truth = VideoSet(Path("t.json"), None, classes, tuple(videos), annotated=True)
    return Evaluation.of_tracks(truth, scene.predictions)


@pytest.mark.parametrize("seed", range(8))
def test_timelines_agree_with_the_metrics(seed: int) -> None:
    evaluation = random_evaluation(seed)
    data = analyse(evaluation, min_score=0.2)
    lines = {line["id"]: line for line in data["videos"]}
    assert {id_: line["switches"] for id_, line in lines.items()} == evaluation.switches(
        min_score=0.2
    )
    found = evaluation.causes()
    assert sum(line["lost"] for line in lines.values()) == sum(
        truth.outcome != "right" for truth in found.true
    )
    for cause, row in data["causes"].items():
        assert sum(line["causes"].get(cause, 0) for line in lines.values()) == row["count"]
    order = [(line["lost"], line["switches"]) for line in data["videos"]]
    assert order == sorted(order, reverse=True)
    for overlaps in evaluation.videos:
        line = lines[overlaps.video_id]
        alone = evaluation.table.only_groups([evaluation.videos.index(overlaps)]).summary()
        assert line["AP50"] == alone["AP50"]
        assert line["hidden"] + len(line["tracks"]) == len(overlaps.found)
        for row, lane in enumerate(line["truths"]):
            there = np.zeros(line["frames"], np.bool_)
            for first, last in lane["present"]:
                there[first : last + 1] = True
            assert np.array_equal(there, overlaps.true.areas[row] > 0)
            for first, last, track in lane["found"]:
                ious = overlaps.frame_ious()[first : last + 1, track, row]
                assert (ious >= 0.5).all()


@pytest.mark.parametrize("seed", range(8))
def test_a_colour_is_one_identity(seed: int) -> None:
    for line in analyse(random_evaluation(seed))["videos"]:
        colour_of = {lane["drawn_as"]: lane["colour"] for lane in line["tracks"]}
        assert len(set(colour_of.values())) == len(colour_of)
        for lane in line["tracks"]:
            assert lane["colour"] == colour_of[lane["drawn_as"]]


def test_a_track_has_the_colour_of_the_truth_that_it_finds_most(tmp_path: Path) -> None:
    left: Boxes = [(10, 10, 20, 20)] * 6
    right: Boxes = [(10, 60, 20, 20)] * 6
    tracks: list[tuple[int, float, Boxes]] = [
        (1, 0.9, [*right[:4], *left[4:]]),
        (1, 0.8, [*left[:4], *right[4:]]),
        (2, 0.7, [(50, 80, 9, 9)] * 6),
    ]
    (line,) = analyse(evaluate(tmp_path, BoxVideo(6, [(1, left), (1, right)], tracks)))["videos"]
    assert {lane["track"]: lane["colour"] for lane in line["tracks"]} == {0: 1, 1: 0, 2: 2}
    assert line["truths"][0]["found"] == [[0, 3, 1], [4, 5, 0]]
    assert line["truths"][0]["switches"] == [4]
    assert line["switches"] == 2


def test_who_finds_a_truth_second_most_has_another_colour() -> None:
    """Truth 1 is found by a track that finds truth 0 more often, and by nobody else."""
    owners = np.array([[0, -1], [0, -1], [-1, 0], [2, -1]])
    assert track_colours(owners, [5]) == {0: 0, 2: 2, 5: 3}
    assert track_colours(np.zeros((0, 2), np.int64), []) == {}


def test_many_tracks_are_counted_not_listed(tmp_path: Path) -> None:
    weak: list[tuple[int, float, Boxes]] = [
        (1, 0.5 - 0.001 * n, [(40, 2 * n, 9, 2)] * 6) for n in range(MOST_TRACKS + 5)
    ]
    finder: tuple[int, float, Boxes] = (1, 0.2, THERE)
    below: tuple[int, float, Boxes] = (2, 0.05, THERE)
    (line,) = analyse(evaluate(tmp_path, BoxVideo(6, [(1, THERE)], [*weak, finder, below])))[
        "videos"
    ]
    assert len(line["tracks"]) == MOST_TRACKS
    assert line["hidden"] == 7
    listed = [lane["track"] for lane in line["tracks"]]
    assert len(weak) in listed  # it finds the truth, weak as it is
    assert {track for moment in line["moments"] for track in moment["tracks"]} <= {*listed}


def test_the_worst_come_first(tmp_path: Path) -> None:
    good = BoxVideo(6, [(1, THERE)], [(1, 0.9, THERE)], name="good")
    missed = BoxVideo(6, [(1, THERE)], [], name="missed")
    data = analyse(evaluate(tmp_path, good, missed, swapped_cats()))
    assert [line["name"] for line in data["videos"]] == ["v", "missed", "good"]


def test_spans() -> None:
    assert spans(np.array([True, True, False, True])) == [[0, 1], [3, 3]]
    assert spans(np.zeros(3, np.bool_)) == []
    assert spans(np.zeros(0, np.bool_)) == []
