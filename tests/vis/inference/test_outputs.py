"""What `predict` writes besides overlays and results, and how a run goes on that ended early."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Generator
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
import torch
from vis.inference.test_predict import write_folder, write_video
from vis.support.learned_heads import small_head
from vis.support.stream_model import CLASSES, ColourModel, JointColourModel, moving_squares
from vis.support.tiny_runs import CLASSES as OF_WEIGHTS
from vis.support.tiny_runs import make_model

from vidgap_vis import VideoSegmenter
from vidgap_vis.cli.main import main
from vidgap_vis.errors import ConfigError, InputError
from vidgap_vis.formats.mask_spool import MaskSpool, SpooledMask
from vidgap_vis.formats.mots import mots_lines
from vidgap_vis.formats.rle import Rle, parse_rle
from vidgap_vis.inference import predict as predicting
from vidgap_vis.inference.draw import TRAIL, Draw, Trails, draw_result
from vidgap_vis.inference.jobs import Job
from vidgap_vis.inference.outputs.events import Finished
from vidgap_vis.inference.outputs.overlays import OverlaySink
from vidgap_vis.inference.outputs.results import ResultSink
from vidgap_vis.inference.predict import PredictOptions, Stopped, predict
from vidgap_vis.inference.rounds import Task
from vidgap_vis.trackers import OnlineTracker, QueryAssociator, QueryOptions, VideoTracks
from vidgap_vis.trackers.base import Assignment
from vidgap_vis.trackers.joint import JointOptions, JointTracker
from vidgap_vis.video.overlay import track_colour
from vidgap_vis.video.read import open_video, video_name
from vidgap_vis.video.sources import ImageFolder, Shot, SourceGoneError, Span
from vidgap_vis.video.write import OverlayWriter
from vidgap_vis.weights import save

QUIET = PredictOptions(progress=False)


def colours(model: ColourModel | None = None, **options: Any) -> VideoSegmenter:
    return VideoSegmenter(model or ColourModel(), CLASSES, device="cpu", **options)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def shown(path: Path) -> list[tuple[int, int, int]]:
    """Video, frame and track of all masks of a file of lines."""
    return [
        (line["video"], line["frame"], track["id"])
        for line in lines_of(path)
        if line["type"] == "frame"
        for track in line["tracks"]
    ]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


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


class Forgetful(QueryAssociator):
    """Takes track 1 back in frame 4, and ends track 2 there."""

    def __init__(self) -> None:
        super().__init__(QueryOptions())
        self.time = -1

    def update(self, frame: Any) -> Assignment:
        self.time += 1
        found = super().update(frame)
        if self.time != 4:
            return found
        ids = np.where(np.isin(found.ids, [1, 2]), 0, found.ids)
        return Assignment(ids, ended=(2,), retracted=((1, 1, 3),))

    def state_dict(self) -> dict[str, Any]:
        return {"time": self.time, "memory": super().state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.time = int(state["time"])
        super().load_state_dict(state["memory"])


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


def test_an_overlay_keeps_its_frames_times(tmp_path: Path) -> None:
    times = [Fraction(one, 100) for one in (0, 4, 8, 40, 44, 100)]
    with OverlayWriter(tmp_path / "vfr.mp4", 25, (64, 96)) as writer:
        for frame, time in zip(moving_squares(6), times, strict=True):
            writer.write(frame, time + 7)
    assert [frame.time for frame in open_video(tmp_path / "vfr.mp4").frames()] == times
    options = PredictOptions(progress=False, span=Span(start=1, end=5))
    predict([tmp_path / "vfr.mp4"], colours(), out=tmp_path / "out.mp4", options=options)
    found = [frame.time for frame in open_video(tmp_path / "out.mp4").frames()]
    assert found == [time - times[1] for time in times[1:5]]


@pytest.mark.parametrize("every", [1, 3])
def test_every_few_frames_take_as_long(tmp_path: Path, every: int) -> None:
    video = write_video(tmp_path / "a.mp4", moving_squares(13))
    options = PredictOptions(progress=False, span=Span(every=every))
    predict([video], colours(), out=tmp_path / "out.mp4", options=options)
    frames = list(open_video(tmp_path / "out.mp4").frames())
    assert [frame.time for frame in frames] == [Fraction(k, 12) for k in range(0, 13, every)]
    folder = write_folder(tmp_path / "b", moving_squares(13))  # taken for 10 frames a second
    predict([folder], colours(), out=tmp_path / "b.mp4", options=options)
    frames = list(open_video(tmp_path / "b.mp4").frames())
    assert [frame.time for frame in frames] == [Fraction(k, 10) for k in range(0, 13, every)]


def test_parts_of_tracks_are_drawn_as_asked() -> None:
    frame = moving_squares(2)[1]
    result = colours().stream()(frame)
    assert result is not None
    plain = draw_result(frame, result, 1, Draw(trails=True))
    assert np.array_equal(plain, frame)
    boxed = draw_result(frame, result, 1, Draw(boxes=True))
    red = np.array(track_colour(1))
    changed = (boxed != frame).any(axis=-1)
    assert (boxed[changed][0] == red).all()
    assert 0 < changed.sum() < 3 * 4 * 20
    assert Draw(ids=True).caption("cat", 3, 0.5) == "3"
    assert Draw(labels=True).caption("cat", 3, 0.5) == "cat 0.50"
    assert Draw.of(Draw.usual).caption("cat", 3, 0.5) == "cat 3 0.50"
    trails = [[(10.0, 10.0), (80.0, 10.0)], [], [(5.0, 50.0)]]
    drawn = draw_result(frame, result, 2, Draw(trails=True), trails)
    assert (drawn[20, 60] == red).all()


def test_trails_are_short_and_end() -> None:
    with colours().stream() as stream:
        results = [stream(frame) for frame in moving_squares(3 * TRAIL)]
    trails = Trails()
    for count, result in enumerate(results, 1):
        assert result is not None
        found = trails.add(result)
        assert len(found) == len(result)
        assert len(found[0]) == min(count, TRAIL)
    empty = result.above(2.0)
    for _ in range(TRAIL):
        trails.add(empty)
    assert not trails._centres


@pytest.mark.parametrize("names", [["masks", "hats"], []], ids=str)
def test_what_cannot_be_drawn_is_named(names: list[str]) -> None:
    got = "hats" if names else "nothing"
    with pytest.raises(ValueError, match=rf"draw must be of masks, boxes, .*, got {got}"):
        PredictOptions(draw=names)


class Stopping(ColourModel):
    """Sends Ctrl-C, or dies, in one of its steps."""

    def __init__(self, at: int, how: Callable[[], object]) -> None:
        super().__init__()
        self.at, self.how = at, how

    def step(self, frames: torch.Tensor, state: list[torch.Tensor] | None) -> Any:
        self.at -= 1
        if self.at == 0:
            self.how()
        return super().step(frames, state)


class KilledError(Exception):
    pass


def die() -> None:
    raise KilledError


OUTPUTS = {"out": "out", "jsonl": "lines.jsonl", "csv": "tracks.csv", "mots": "mots"}


@pytest.mark.parametrize("how", ["killed", "interrupted"])
@pytest.mark.parametrize("span", [Span(), Span(start=2, every=2)], ids=["whole", "excerpt"])
def test_a_run_that_ended_goes_on(tmp_path: Path, how: str, span: Span) -> None:
    inputs = [
        write_video(tmp_path / "a.mp4", moving_squares(9)),
        write_video(tmp_path / "b.mp4", moving_squares(40)),
        write_video(tmp_path / "c.mp4", moving_squares(5)),
    ]
    options = PredictOptions(progress=False, latency=2, save_every=4, span=span)

    def run(folder: str, model: ColourModel, **more: Any) -> dict[str, bytes]:
        given: dict[str, Any] = {name: tmp_path / folder / file for name, file in OUTPUTS.items()}
        predict(inputs, colours(model), **given, **more, options=options)
        files = sorted(path for path in (tmp_path / folder).rglob("*") if path.is_file())
        return {str(path.relative_to(tmp_path / folder)): path.read_bytes() for path in files}

    whole = run("whole", ColourModel())
    assert [*whole] == [
        *("lines.jsonl", "mots/a.txt", "mots/b.txt", "mots/c.txt"),
        *("out/a.mp4", "out/b.mp4", "out/c.mp4", "tracks.csv"),
    ]
    ends: tuple[Any, type[BaseException]] = (die, KilledError)
    if how == "interrupted":
        ends = (lambda: os.kill(os.getpid(), signal.SIGINT)), Stopped
    at = 13 if span == Span() else 8  # in the second video
    with pytest.raises(ends[1]):
        run("parts", Stopping(at, ends[0]))
    before = (tmp_path / "parts" / "lines.jsonl").read_bytes()
    assert 0 < before.count(b'"frame"') < whole["lines.jsonl"].count(b'"frame"')
    assert (tmp_path / "parts" / "lines.jsonl.state").is_file()
    going = ColourModel()
    assert run("parts", going, resume=True) == whole
    assert sum(going.step_lengths) < sum(1 for _ in lines_of(tmp_path / "whole" / "lines.jsonl"))


def test_what_was_taken_back_stays_so_where_a_run_goes_on(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", moving_squares(30))
    options = PredictOptions(progress=False, save_every=3, span=Span(start=3, every=2))
    files = {"csv": "t.csv", "mots": "m.txt", "jsonl": "l.jsonl"}

    def run(folder: str, model: ColourModel, **more: Any) -> dict[str, bytes]:
        given: dict[str, Any] = {name: tmp_path / folder / file for name, file in files.items()}
        segmenter = colours(model, tracker=lambda: OnlineTracker(Forgetful()))
        predict([video], segmenter, **given, **more, options=options)
        return {file: (tmp_path / folder / file).read_bytes() for file in files.values()}

    whole = run("whole", ColourModel())
    assert b'"retraction"' in whole["l.jsonl"]
    with pytest.raises(KilledError):
        run("parts", Stopping(10, die))
    assert b'"retraction"' in (tmp_path / "parts" / "l.jsonl").read_bytes()
    assert run("parts", ColourModel(), resume=True) == whole


def test_joint_clips_go_on_with_the_frames_they_share(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", moving_squares(30))
    options = PredictOptions(progress=False, save_every=4)

    def segmenter(at: int) -> VideoSegmenter:
        class Model(JointColourModel):
            def step(self, frames: torch.Tensor, state: Any, **more: Any) -> Any:
                if len(self.clips) == at:
                    die()
                return super().step(frames, state, **more)

        options = JointOptions(clip_frames=4, repeated=2)
        return colours(Model(), tracker=lambda: JointTracker(options))

    predict([video], segmenter(-1), jsonl=tmp_path / "whole.jsonl", options=options)
    with pytest.raises(KilledError):
        predict([video], segmenter(8), jsonl=tmp_path / "parts.jsonl", options=options)
    # The model's permutations count its steps, which begin anew; masks do not depend on them.
    predict([video], segmenter(-1), jsonl=tmp_path / "parts.jsonl", resume=True, options=options)
    assert shown(tmp_path / "parts.jsonl") == shown(tmp_path / "whole.jsonl")


def test_what_cannot_go_on_is_named(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", moving_squares(30))
    lines = tmp_path / "lines.jsonl"
    options = PredictOptions(progress=False, save_every=2)

    def resume(message: str, kind: type[InputError] = ConfigError, **given: Any) -> None:
        more = {"jsonl": lines, "options": options} | given
        with pytest.raises(kind, match=message):
            predict([video], colours(), resume=True, **more)

    resume(r"--resume: nothing to go on from \(.*lines\.jsonl\.state is missing\)")
    with pytest.raises(KilledError):
        predict([video], colours(Stopping(12, die)), jsonl=lines, options=options)
    resume("--resume: goes on from the lines of a run", jsonl=None, csv=tmp_path / "t.csv")
    resume("--json: cannot be made of a run that goes on", json=tmp_path / "r.json")
    resume(
        "--resume: score was '0.3' in the run that ended, is '0.5'",
        options=PredictOptions(progress=False, score=0.5),
    )
    state = tmp_path / "lines.jsonl.state"
    kept = state.read_bytes(), lines.read_bytes()
    state.write_bytes(kept[0][:100])
    resume(r"lines\.jsonl\.state: damaged", InputError)
    state.write_bytes(kept[0])
    lines.write_bytes(kept[1][:50])
    resume(r"lines\.jsonl: shorter than the \d+ bytes that were written", InputError)
    lines.write_bytes(b"x" * len(kept[1]))
    resume(r"lines\.jsonl: line 1: is no JSON", InputError, csv=tmp_path / "t.csv")


class Breaking(ImageFolder):
    """A stream that breaks off."""

    live = True

    def shots(self) -> Generator[Shot]:
        for shot in super().shots():
            if shot.index == 5:
                raise SourceGoneError(self.path, "frame 5", "the stream broke off")
            yield shot


def test_a_stream_that_breaks_off_keeps_what_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path / "clip", moving_squares(9))
    source = Breaking(folder, sorted(folder.iterdir()))
    monkeypatch.setattr(
        predicting, "plan", lambda *_, **__: [predicting.Job(1, "clip", source, tmp_path / "o.mp4")]
    )
    with pytest.raises(SourceGoneError, match="frame 5: the stream broke off"):
        predict(
            ["stream"],
            colours(),
            out=tmp_path / "o.mp4",
            json=tmp_path / "r.json",
            jsonl=tmp_path / "l.jsonl",
            options=QUIET,
        )
    entries = json.loads((tmp_path / "r.json").read_text())
    assert {len(entry["segmentations"]) for entry in entries} == {5}
    assert len(list(open_video(tmp_path / "o.mp4"))) == 5
    kinds = Counter(line["type"] for line in lines_of(tmp_path / "l.jsonl"))
    assert kinds == {"video": 1, "birth": 3, "frame": 5, "end": 1}


def test_a_full_disk_leaves_the_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = write_video(tmp_path / "a.mp4", moving_squares(9))
    out = tmp_path / "out"
    add, added = MaskSpool.add, Counter[str]()

    def full(self: MaskSpool, *row: Any, **more: Any) -> None:
        added["masks"] += 1
        if added["masks"] == 10:
            raise InputError(self.target, "", "cannot be written (database or disk is full)")
        add(self, *row, **more)

    monkeypatch.setattr(MaskSpool, "add", full)
    with pytest.raises(InputError, match=r"tracks\.csv: cannot be written \(database or disk is"):
        predict(
            [video],
            colours(),
            jsonl=out / "l.jsonl",
            csv=out / "tracks.csv",
            out=out / "o.mp4",
            options=QUIET,
        )
    assert sorted(path.name for path in out.iterdir()) == ["l.jsonl"]
    assert [line["type"] for line in lines_of(out / "l.jsonl")].count("frame") >= 3


@pytest.mark.parametrize("name", ["json", "csv", "mots", "jsonl", "crops"])
def test_a_device_without_room_is_named(name: str, tmp_path: Path) -> None:
    """Every write fails as on a full disk; files are links to a device that is always full."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    video = write_video(tmp_path / "a.mp4", moving_squares(60))
    target = tmp_path / {"mots": "m.txt", "crops": "crops"}.get(name, "file")
    opened = Path.open

    def full(path: Path, *how: Any, **more: Any) -> Any:
        writes = any("w" in str(mode) for mode in (*how, *more.values()))
        return opened(Path("/dev/full") if writes else path, *how, **more)

    given: dict[str, Any] = {name: target}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(InputError) as error:
            predict([video], colours(), **given, options=QUIET)
    assert str(error.value).startswith(str(target))
    assert "cannot be written (No space left on device)" in str(error.value)


def test_unwritable_outputs_are_named(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", moving_squares(3))
    (tmp_path / "file").write_text("")
    folders = [tmp_path / "file", *(path for path in [Path("/proc")] if path.is_dir())]
    files = {**OUTPUTS, "out": "o.mp4", "mots": "m.txt", "json": "r.json", "crops": "crops"}
    for folder in folders:  # no folder, and one that takes no files
        for name, file in files.items():
            given: dict[str, Any] = {name: folder / file}
            with pytest.raises(InputError, match=rf"^{folder / file}.*: (its|cannot)") as error:
                predict([video], colours(), **given, options=QUIET)
            assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("length", [1, 2])
def test_short_videos(tmp_path: Path, length: int) -> None:
    video = write_video(tmp_path / "a.mp4", moving_squares(length))
    given: dict[str, Any] = {name: tmp_path / "o" / file for name, file in OUTPUTS.items()}
    summary = predict([video], colours(), **given, options=QUIET)
    assert summary.num_frames == length


def test_spooled_masks_come_back(tmp_path: Path) -> None:
    mask = Rle.encode(np.eye(4, dtype=np.bool_))
    with MaskSpool(tmp_path / "x") as spool:
        spool.add(1, 3, 9, mask, label=2, score=0.25, time=1.5)
        with pytest.raises(ValueError, match="track 9 has a mask in frame 3 of video 1 already"):
            spool.add(1, 3, 9, mask)
        assert list(spool.by_track(1)) == [SpooledMask(9, 3, 2, 0.25, 1.5, mask)]
        spool.drop(1)
        assert spool.any_video() is None


def test_the_command_goes_on(tmp_path: Path, run: Callable[..., list[str]]) -> None:
    save(tmp_path / "weights", make_model(), OF_WEIGHTS, {})
    video = write_video(tmp_path / "a.mp4", moving_squares(12))
    lines = tmp_path / "lines.jsonl"
    words = ("predict", video, "--model", tmp_path / "weights", "--device", "cpu", "--score", 0)
    run(*words, "--jsonl", lines)
    whole = lines.read_bytes()
    segmenter = VideoSegmenter.from_pretrained(tmp_path / "weights", device="cpu")
    options = PredictOptions(progress=False, score=0.0, save_every=5)
    step, calls = segmenter.step.model.step, Counter[str]()

    def dying(*frames: Any, **more: Any) -> Any:
        calls["steps"] += 1
        if calls["steps"] == 8:
            die()
        return step(*frames, **more)

    segmenter.step.model.step = dying  # type: ignore[method-assign]
    with pytest.raises(KilledError):
        predict([video], segmenter, jsonl=lines, weights=tmp_path / "weights", options=options)
    assert lines.read_bytes() != whole
    said = run(*words, "--jsonl", lines, "--csv", tmp_path / "t.csv", "--resume")
    assert said == [str(lines), str(tmp_path / "t.csv")]
    assert lines.read_bytes() == whole


@pytest.mark.parametrize("kind", ["online", "vita"])
def test_weights_that_are_no_numbers_are_an_error(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = make_model()
    head = small_head("vita", model) if kind == "vita" else None
    with torch.no_grad():
        next(model.backbone.parameters()).fill_(torch.nan)
    save(tmp_path / "weights", model, OF_WEIGHTS, {}, head=head)
    video = write_video(tmp_path / "a.mp4", moving_squares(3))
    words = ("predict", video, "--model", tmp_path / "weights", "--device", "cpu")
    outputs = ("--json", tmp_path / "r.json", "--out", tmp_path / "o.mp4")
    assert main([str(word) for word in (*words, *outputs)]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "vidgap: the network predicts nan or inf: its weights are damaged, "
        "or its precision is too low"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "weights"]


def test_what_a_pattern_stands_for_is_not_replaced(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clips" / "a.mp4", moving_squares(2))
    before = video.read_bytes()
    given: tuple[dict[str, Path], ...] = ({"out": tmp_path / "clips"}, {"csv": video})
    for target in given:
        with pytest.raises(ConfigError, match=r"a\.mp4 is an input"):
            predict([str(tmp_path / "clips" / "*.mp4")], colours(), **target, options=QUIET)  # type: ignore[arg-type]
    assert video.read_bytes() == before


def test_lines_alone_go_on_with_all_frames_counted(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", moving_squares(15))
    options = PredictOptions(progress=False, save_every=5)
    lines = tmp_path / "l.jsonl"
    with pytest.raises(KilledError):
        predict([video], colours(Stopping(13, die)), jsonl=lines, options=options)
    summary = predict([video], colours(), jsonl=lines, resume=True, options=options)
    assert lines_of(lines)[-1]["num_frames"] == 15
    assert summary.num_frames == 5


def test_an_interrupted_repetition_leaves_what_there_is_to_go_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = [write_video(tmp_path / f"{name}.mp4", moving_squares(9)) for name in "ab"]
    files = {"jsonl": tmp_path / "l.jsonl", "csv": tmp_path / "t.csv"}
    options = PredictOptions(progress=False, save_every=2)
    with pytest.raises(KilledError):
        predict(inputs, colours(Stopping(15, die)), **files, options=options)  # type: ignore[arg-type]

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(predicting.Outputs, "_show", stop)
        with pytest.raises(KeyboardInterrupt):
            predict(inputs, colours(), **files, resume=True, options=options)  # type: ignore[arg-type]
    assert not files["csv"].exists()
    predict(inputs, colours(), **files, resume=True, options=options)  # type: ignore[arg-type]
    assert [row["video"] for row in table(files["csv"])] == ["a"] * 3 + ["b"] * 3


def test_a_stop_before_an_earlier_video_has_begun_keeps_the_later_ones(tmp_path: Path) -> None:
    sink = ResultSink(tmp_path / "r.json", CLASSES)
    with sink:
        none = np.zeros(0, np.int64)
        for number in (0, 2):
            job = Job(number + 1, str(number), ImageFolder.__new__(ImageFolder))
            task = Task(number, job, cast(Any, None))
            ranked = VideoTracks(none + 1, none, np.zeros(0))
            sink.end(Finished(task, 1, ranked))
        sink.stopped()
    assert json.loads((tmp_path / "r.json").read_text()) == []


def test_a_frame_an_hour(tmp_path: Path) -> None:
    with OverlayWriter(tmp_path / "slow.mp4", Fraction(25, 90_000), (64, 96)) as writer:
        for frame in moving_squares(2):
            writer.write(frame)
    assert len(list(open_video(tmp_path / "slow.mp4"))) == 2


def test_names_that_look_like_protocols(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(Path("2024-01-01T12:30:00.mp4"), moving_squares(3))
    summary = predict(
        ["2024-01-01T12:30:00.mp4"], colours(), out="2024-01-01T12:31:00.mp4", options=QUIET
    )
    assert summary.num_frames == 3
    with pytest.raises(InputError, match="no such file or folder"):
        open_video("20240101123000")
    assert video_name("rtsp://admin:secret@10.0.0.5/live") == "live"


def test_an_overlay_without_a_frame_is_no_file(tmp_path: Path) -> None:
    """As of a video that was stopped in the first of two passes."""
    folder = write_folder(tmp_path / "clip", moving_squares(2))
    job = Job(1, "clip", ImageFolder(folder, sorted(folder.iterdir())), tmp_path / "o.mp4")
    task = Task(0, job, cast(Any, None))
    none = np.zeros(0, np.int64)
    with OverlaySink(10, 0) as sink:
        sink.begin(task)
        sink.end(Finished(task, 0, VideoTracks(none, none, np.zeros(0))))
    assert not (tmp_path / "o.mp4").exists()
    assert sink.written == []


def test_a_run_goes_on_with_the_same_classes(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", moving_squares(15))
    options = PredictOptions(progress=False, save_every=5)
    lines = tmp_path / "l.jsonl"
    with pytest.raises(KilledError):
        predict([video], colours(Stopping(13, die)), jsonl=lines, options=options)
    for other in ({"keep": ["disc"]}, {"short_edge": 32}, {"top_k": 3}):
        with pytest.raises(ConfigError, match=r"--resume: (labels|short_edge|top_k) was"):
            predict([video], colours(**other), jsonl=lines, resume=True, options=options)
