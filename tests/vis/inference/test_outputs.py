"""What `predict` writes besides overlays and results."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from vis.inference.test_predict import write_folder, write_video
from vis.support.outputs import (
    OUTPUTS,
    QUIET,
    Forgetful,
    colours,
    lines_of,
    shown,
    table,
)
from vis.support.stream_model import moving_squares

from vidgap_vis.formats.mask_spool import MaskSpool, SpooledMask
from vidgap_vis.formats.mots import mots_lines
from vidgap_vis.formats.rle import Rle, parse_rle
from vidgap_vis.inference.predict import PredictOptions, predict
from vidgap_vis.trackers import OnlineTracker, QueryAssociator
from vidgap_vis.trackers.base import Assignment
from vidgap_vis.video.sources import Span


def test_lines_tell_what_happens(tmp_path: Path) -> None:
    inputs = [
        write_video(tmp_path / "a.mp4", moving_squares(7)),
        write_folder(tmp_path / "b", moving_squares(3)),
    ]
    path = tmp_path / "out" / "lines.jsonl"
    predict(inputs, colours(), jsonl=path, options=QUIET)
    lines = lines_of(path)
    videos = [line for line in lines if line["type"] == "video"]
    assert videos == [
        {"type": "video", "video": 1, "name": "a", "size": [64, 96], "fps": 12.0},
        {"type": "video", "video": 2, "name": "b", "size": [64, 96], "fps": None},
    ]
    frames = [line for line in lines if line["type"] == "frame"]
    assert [(line["video"], line["frame"]) for line in frames] == [
        *((1, frame) for frame in range(7)),
        *((2, frame) for frame in range(3)),
    ]
    assert [line["time"] for line in frames[:3]] == [0.0, 0.083333, 0.166667]
    assert frames[7]["time"] is None
    assert [len(line["tracks"]) for line in frames[:7]] == [2, 3, 3, 3, 3, 2, 3]
    births = [
        (line["video"], line["id"], line["frame"]) for line in lines if line["type"] == "birth"
    ]
    assert births == [(1, 1, 0), (1, 2, 0), (1, 3, 1), (2, 1, 0), (2, 2, 0), (2, 3, 1)]
    track = frames[1]["tracks"][0]
    assert track.keys() == {"id", "category_id", "name", "score", "bbox", "segmentation"}
    assert (track["id"], track["category_id"], track["name"]) == (1, 7, "disc")
    mask = parse_rle(track["segmentation"], (64, 96)).decode()
    left, top, width, height = track["bbox"]
    rows, columns = np.nonzero(mask)
    assert (left, left + width, top, top + height) == (
        *(columns.min(), columns.max() + 1),
        *(rows.min(), rows.max() + 1),
    )
    (end, other) = [line for line in lines if line["type"] == "end"]
    assert (end["num_frames"], other["num_frames"]) == (7, 3)
    assert {track["id"] for track in end["tracks"]} >= {1, 2, 3}
    assert list((tmp_path / "out").iterdir()) == [path]


def test_what_is_taken_back_is_nowhere_but_in_the_lines(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", moving_squares(12))
    segmenter = colours(tracker=lambda: OnlineTracker(Forgetful()))
    out = tmp_path / "out"
    options = PredictOptions(progress=False, span=Span(start=2, every=2))
    predict(
        [video],
        segmenter,
        jsonl=out / "lines.jsonl",
        csv=out / "tracks.csv",
        mots=out / "mots.txt",
        crops=out / "crops",
        options=options,
    )
    lines = lines_of(out / "lines.jsonl")
    assert [line for line in lines if line["type"] in ("retraction", "death")] == [
        {"type": "retraction", "video": 1, "id": 1, "first": 4, "last": 8},
        {"type": "death", "video": 1, "id": 2, "frame": 10},
    ]
    assert [frame for _, frame, id_ in shown(out / "lines.jsonl") if id_ == 1] == [2, 4, 6, 8]
    masks = [line.split()[:2] for line in (out / "mots.txt").read_text().splitlines()]
    assert [frame for frame, id_ in masks if id_ == "1"] == ["2"]
    rows = {row["id"]: row for row in table(out / "tracks.csv")}
    assert (rows["1"]["first_frame"], rows["1"]["last_frame"]) == ("2", "2")
    assert (rows["2"]["first_frame"], rows["2"]["last_frame"]) == ("2", "8")
    crops = sorted(path.name for path in (out / "crops" / "a" / "1").iterdir())
    assert crops == ["000002.png"]


def test_the_table_has_a_row_a_track(tmp_path: Path) -> None:
    inputs = [write_video(tmp_path / f"{name}.mp4", moving_squares(11)) for name in "ab"]
    predict(inputs, colours(), csv=tmp_path / "tracks.csv", options=QUIET)
    rows = table(tmp_path / "tracks.csv")
    assert [(row["video"], row["id"], row["class"]) for row in rows] == [
        (video, *track)
        for video in "ab"
        for track in (("1", "disc"), ("2", "square"), ("3", "disc"))
    ]
    third = rows[2]
    assert (third["first_frame"], third["last_frame"], third["num_frames"]) == ("1", "9", "8")
    assert (third["first_second"], third["last_second"]) == ("0.083", "0.750")
    assert 0.9 < float(third["mean_score"]) <= 1
    path = [point.split(":") for point in third["path"].split()]
    assert [int(frame) for frame, _, _ in path] == [1, 2, 3, 4, 6, 7, 8, 9]
    assert all(abs(float(x) - 48) < 3 and abs(float(y) - 30) < 3 for _, x, y in path)


@pytest.mark.skipif(sys.platform == "darwin", reason="its disks take UTF-8 alone")
def test_one_input_may_have_a_name_that_is_no_utf_8(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "cafe", moving_squares(3)).rename(tmp_path / "caf\udce9")
    lists = {name: tmp_path / f"r.{name}" for name in ("csv", "json", "jsonl")}
    predict(folder, colours(), **lists, options=QUIET)
    assert {row["video"] for row in table(lists["csv"])} == {"caf\\udce9"}
    assert lines_of(lists["jsonl"])[0]["name"] == "caf\udce9"


def test_mots_masks_do_not_overlap(tmp_path: Path) -> None:
    masks = np.zeros((3, 8, 10), np.bool_)
    masks[0, 1:6, 1:6] = True
    masks[1, 3:8, 3:8] = True  # shares some with the first
    masks[2, 2:4, 2:4] = True  # lies in the first
    with MaskSpool(tmp_path / "mots.txt") as spool:
        for track, (mask, score) in enumerate(zip(masks, (0.9, 0.5, 0.7), strict=True), 1):
            spool.add(0, 4, track, Rle.encode(mask), label=3, score=score)
        spool.add(0, 2, 7, Rle.encode(masks[1]), label=1, score=0.4)
        found = [line.split() for line in mots_lines(spool.by_frame(0))]
    assert not list(tmp_path.iterdir())
    assert [line[:5] for line in found] == [
        ["2", "7", "1", "8", "10"],
        ["4", "1", "3", "8", "10"],
        ["4", "2", "3", "8", "10"],
    ]
    kept = [parse_rle({"size": [8, 10], "counts": line[5]}, (8, 10)).decode() for line in found[1:]]
    assert np.array_equal(kept[0], masks[0])
    assert np.array_equal(kept[1], masks[1] & ~masks[0])


def test_several_videos_have_a_mots_file_each(tmp_path: Path) -> None:
    inputs = [write_video(tmp_path / f"{name}.mp4", moving_squares(3)) for name in "ab"]
    summary = predict(inputs, colours(), mots=tmp_path / "out", options=QUIET)
    assert summary.written == (tmp_path / "out" / "a.txt", tmp_path / "out" / "b.txt")
    lines = (tmp_path / "out" / "b.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["0", "0", "1", "1", "1", "2", "2", "2"]


def test_crops_are_the_pixels_of_the_masks(tmp_path: Path) -> None:
    frames = moving_squares(4)
    folder = write_folder(tmp_path / "clip", frames)
    options = PredictOptions(progress=False, pipeline=False)
    predict([folder], colours(), crops=tmp_path / "crops", options=options)
    found = sorted(path.relative_to(tmp_path / "crops") for path in tmp_path.rglob("crops/*/*/*"))
    assert [str(path) for path in found[:2]] == ["clip/1/000000.png", "clip/1/000001.png"]
    assert len(found) == 4 + 4 + 3
    crop = cv2.imread(str(tmp_path / "crops" / found[1]), cv2.IMREAD_UNCHANGED)
    inside = crop[crop[..., 3] > 0]
    assert (inside[:, :3] == (0, 0, 255)).all(axis=1).mean() > 0.8  # red, in OpenCV's order
    assert set(np.unique(crop[..., 3])) <= {0, 255}


@pytest.mark.parametrize("length", [1, 2])
def test_short_videos(tmp_path: Path, length: int) -> None:
    video = write_video(tmp_path / "a.mp4", moving_squares(length))
    given: dict[str, Any] = {name: tmp_path / "o" / file for name, file in OUTPUTS.items()}
    summary = predict([video], colours(), **given, options=QUIET)
    assert summary.num_frames == length


@pytest.mark.parametrize("name", ["mots", "a folder", "."])
def test_two_spools_of_an_output_are_two(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a folder").mkdir()
    monkeypatch.chdir(tmp_path)
    mask = Rle.encode(np.eye(4, dtype=np.bool_))
    with MaskSpool(Path(name)) as one:
        one.add(1, 3, 9, mask)
        with MaskSpool(Path(name)) as other:
            assert other.any_video() is None
        assert one.any_video() == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["a folder"]


def test_mots_files_may_go_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = [write_folder(tmp_path / name, moving_squares(2)) for name in "ab"]
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    predict(inputs, colours(), mots=Path(), options=QUIET)
    assert sorted(path.name for path in Path().iterdir()) == ["a.txt", "b.txt"]


class Returning(Forgetful):
    """Lists track 1 in frames 3 and 6 on; in frame 5 it takes the former back."""

    def update(self, frame: Any) -> Assignment:
        self.time += 1
        ids = QueryAssociator.update(self, frame).ids
        if self.time not in (3, *range(6, 12)):
            ids = np.where(ids == 1, 0, ids)
        return Assignment(ids, retracted=((1, 3, 3),) if self.time == 5 else ())


@pytest.mark.parametrize("latency", [1, 2, 4])
def test_a_track_is_born_where_it_is_listed_again(tmp_path: Path, latency: int) -> None:
    video = write_video(tmp_path / "a.mp4", moving_squares(12))
    segmenter = colours(tracker=lambda: OnlineTracker(Returning()))
    options = PredictOptions(progress=False, latency=latency)
    predict([video], segmenter, jsonl=tmp_path / "l.jsonl", options=options)
    lines = [line for line in lines_of(tmp_path / "l.jsonl") if line.get("id") == 1]
    listed = [frame for _, frame, id_ in shown(tmp_path / "l.jsonl") if id_ == 1]
    assert listed == [3, *range(6, 12)]
    assert [(line["type"], line.get("frame", line.get("first"))) for line in lines] == [
        ("birth", 3),
        ("retraction", 3),
        ("birth", 6),
    ]


def test_spooled_masks_come_back(tmp_path: Path) -> None:
    mask = Rle.encode(np.eye(4, dtype=np.bool_))
    with MaskSpool(tmp_path / "x") as spool:
        spool.add(1, 3, 9, mask, label=2, score=0.25, time=1.5)
        with pytest.raises(ValueError, match="track 9 has a mask in frame 3 of video 1 already"):
            spool.add(1, 3, 9, mask)
        assert list(spool.by_track(1)) == [SpooledMask(9, 3, 2, 0.25, 1.5, mask)]
        spool.drop(1)
        assert spool.any_video() is None
