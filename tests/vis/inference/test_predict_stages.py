"""`predict` in threads: the same files as without, few frames at a time, and a clean end."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any
from weakref import finalize

import av
import numpy as np
import pytest
import torch
from vis.inference.test_predict import write_dataset, write_folder, write_video
from vis.support.learned_heads import KINDS, small_head
from vis.support.stream_model import CLASSES, ColourModel, moving_squares
from vis.support.tiny_runs import CLASSES as OF_WEIGHTS
from vis.support.tiny_runs import make_model

from vidgap_vis import VideoSegmenter
from vidgap_vis.errors import InputError
from vidgap_vis.inference import draw as drawing
from vidgap_vis.inference.draw import Draw, Drawing
from vidgap_vis.inference.jobs import Job, Targets
from vidgap_vis.inference.outputs import Shown
from vidgap_vis.inference.pipeline import Pipeline
from vidgap_vis.inference.predict import PredictOptions, Stopped, predict, stages
from vidgap_vis.inference.rounds import Task
from vidgap_vis.trackers import OnlineTracker, QueryAssociator
from vidgap_vis.trackers.by_name import TRACKERS
from vidgap_vis.video.read import open_video
from vidgap_vis.video.sources import FrameSource, Shot, VideoFile
from vidgap_vis.video.write import OverlayWriter
from vidgap_vis.weights import save

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


@pytest.fixture
def no_thread_is_left() -> Iterator[None]:
    yield
    assert [one.name for one in threading.enumerate() if one.name.startswith("vidgap ")] == []


def colours(**options: object) -> VideoSegmenter:
    return VideoSegmenter(ColourModel(), CLASSES, device="cpu", **options)


def written(
    folder: Path, inputs: list[Path], segmenter: VideoSegmenter, **options: object
) -> dict[str, bytes]:
    """Predict; return every file by its name."""
    predict(
        inputs,
        segmenter,
        out=folder / "overlays",
        json=folder / "results.json",
        options=PredictOptions(progress=False, **options),  # type: ignore[arg-type]
    )
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def inputs(tmp_path: Path) -> list[Path]:
    """Three videos: of 9 frames, of 1 and of 6 of another size."""
    return [
        write_video(tmp_path / "in" / "a.mp4", moving_squares(9)),
        write_folder(tmp_path / "in" / "b", moving_squares(1)),
        write_folder(tmp_path / "in" / "c", moving_squares(6, (40, 72))),
    ]


def assert_same_files(tmp_path: Path, inputs: list[Path], make: Callable[[], VideoSegmenter],
                      **options: object) -> None:  # fmt: skip
    one = written(tmp_path / "threads", inputs, make(), **options)
    other = written(tmp_path / "none", inputs, make(), pipeline=False, **options)
    assert list(one) == [*(f"overlays/{name}.mp4" for name in "abc"), "results.json"]
    assert one == other
    assert len(one["results.json"]) > 1000


@pytest.mark.parametrize("name", TRACKERS)
@pytest.mark.parametrize("latency", [1, 4])
def test_threads_change_no_byte(
    name: str, latency: int, tmp_path: Path, inputs: list[Path]
) -> None:
    kind, _, recipe = TRACKERS[name]
    assert_same_files(
        tmp_path,
        inputs,
        lambda: colours(tracker=lambda: OnlineTracker(kind(), recipe)),
        latency=latency,
    )


@pytest.mark.parametrize("kind", [*KINDS, "joint"])
def test_threads_change_no_byte_of_learned_trackers(
    kind: str, tmp_path: Path, inputs: list[Path]
) -> None:
    joint = kind == "joint"
    model = make_model(architecture="mask2former_vis" if joint else "mask2former")
    head = None if joint else small_head(kind, model)
    save(tmp_path / "weights", model, OF_WEIGHTS, {}, head=head)
    tracker = {"name": "joint", "clip_frames": 4, "min_score": 0.0} if joint else None
    assert_same_files(
        tmp_path,
        inputs,
        lambda: VideoSegmenter.from_pretrained(tmp_path / "weights", device="cpu", tracker=tracker),
        score=0.0,
    )


class FaultError(Exception):
    pass


class Breaking(ColourModel):
    """Fails in its last step of `steps`."""

    def __init__(self, steps: int, fail: Callable[[], object]) -> None:
        super().__init__()
        self.steps, self.fail = steps, fail

    def step(self, frames: torch.Tensor, state: list[torch.Tensor] | None) -> Any:
        self.steps -= 1
        if self.steps == 0:
            self.fail()
        return super().step(frames, state)


def raise_fault(*_: object) -> None:
    raise FaultError("at this frame")


def break_stage(
    stage: str, inputs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> tuple[VideoSegmenter, type[Exception], str]:
    """Let a stage fail at a frame of the last video; return how, and what it says."""
    fault = (FaultError, "at this frame")
    if stage == "decode":
        (inputs[2] / "00004.png").write_bytes(b"broken")
        return colours(), InputError, r"00004\.png: the image does not decode"
    if stage == "network":
        return VideoSegmenter(Breaking(14, raise_fault), CLASSES, device="cpu"), *fault
    if stage == "tracker":

        class Failing(OnlineTracker):
            def score_masks(self, *masks: Any) -> None:
                super().score_masks(*masks)
                if self._num_frames == 4 and self._shape and scenes["opened"] == 3:
                    raise_fault()

        scenes = {"opened": 0}

        def make() -> OnlineTracker:
            scenes["opened"] += 1  # one a video
            return Failing(QueryAssociator())

        return colours(tracker=make), *fault
    if stage == "draw":
        draw = drawing.draw_result

        def failing(frame: np.ndarray, result: Any, *how: Any) -> np.ndarray:
            if frame.shape[0] == 40 and result.frame_index == 3:
                raise_fault()
            return draw(frame, result, *how)

        monkeypatch.setattr(drawing, "draw_result", failing)
        return colours(), *fault
    frames = {"written": 0}
    encode = OverlayWriter._encode

    def full(self: OverlayWriter, picture: av.VideoFrame | None) -> None:
        frames["written"] += self.path.stem == "c"
        if frames["written"] == 4:
            raise av.OSError(28, "No space left on device")
        encode(self, picture)

    monkeypatch.setattr(OverlayWriter, "_encode", full)
    return colours(), InputError, r"overlays/c\.mp4: cannot be written \(No space left on device\)"


FILES = {
    "out": "o.mp4",
    "json": "r.json",
    "jsonl": "lines.jsonl",
    "csv": "tracks.csv",
    "mots": "mots.txt",
}
"""By flag."""

STAGES = ["decode", "network", "tracker", "draw", "encode"]


@pytest.mark.parametrize("pipeline", [True, False], ids=["threads", "none"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_fault_anywhere_leaves_the_overlays_of_earlier_videos_and_no_results(
    stage: str,
    pipeline: bool,
    tmp_path: Path,
    inputs: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    segmenter, kind, message = break_stage(stage, inputs, monkeypatch)
    with pytest.raises(kind, match=message):
        written(tmp_path / "out", inputs, segmenter, pipeline=pipeline)
    left = [str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*")]
    assert sorted(left) == ["overlays", "overlays/a.mp4", "overlays/b.mp4"]


@pytest.mark.parametrize("pipeline", [True, False], ids=["threads", "none"])
def test_ctrl_c_keeps_what_was_done(pipeline: bool, tmp_path: Path, inputs: list[Path]) -> None:
    model = Breaking(14, lambda: os.kill(os.getpid(), signal.SIGINT))  # in the third video
    with pytest.raises(Stopped, match=r"stopped after \d+ frames; they are in ") as stopped:
        written(
            tmp_path / "out",
            [*inputs, inputs[0]],
            VideoSegmenter(model, CLASSES, device="cpu"),
            pipeline=pipeline,
        )
    left = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*")}
    assert {"overlays", "overlays/a.mp4", "results.json"} <= left
    assert left <= {"results.json", "overlays", *(f"overlays/{n}.mp4" for n in "abc")}
    entries = json.loads((tmp_path / "out" / "results.json").read_text())
    lengths = {entry["video_id"]: len(entry["segmentations"]) for entry in entries}
    assert lengths[1] == 9
    assert sum(lengths.values()) == stopped.value.summary.num_frames
    videos = [open_video(tmp_path / "out" / name) for name in left if name.endswith(".mp4")]
    assert sum(len(list(video)) for video in videos) == stopped.value.summary.num_frames


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_the_command_keeps_what_was_done(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    """A real process in the middle of a long video."""
    save(tmp_path / "weights", make_model(), OF_WEIGHTS, {})
    video = write_video(tmp_path / "in.mp4", moving_squares(25) * 60)
    out = tmp_path / "out"
    outputs = [f"--{name}={out / file}" for name, file in FILES.items()]
    words = ["predict", video, "--model", tmp_path / "weights", *outputs, "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-m", "vidgap_vis", *map(str, words)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    lines = out / FILES["jsonl"]
    while not (lines.is_file() and lines.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)  # some frames on
    process.send_signal(number)
    shown, said = process.communicate(timeout=30)
    assert process.returncode == code, said
    assert "vidgap: stopped after " in said.splitlines()[-1]
    assert "Traceback" not in said
    assert {path.name for path in out.iterdir()} - {"lines.jsonl.state"} == {*FILES.values()}
    assert sorted(shown.split()) == sorted(str(out / name) for name in FILES.values())
    done = len(list(open_video(out / FILES["out"])))
    assert 0 < done < 1500
    assert {len(e["segmentations"]) for e in json.loads((out / "r.json").read_text())} <= {done}
    read = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [line["type"] for line in read].count("frame") == done


class Source(FrameSource):
    """Frames that are watched for how many of them are alive."""

    def __init__(self, num_frames: int, pause: float) -> None:
        self.path = Path("source")
        self.size = (64, 96)
        self.fps = Fraction(10)
        self.num_frames = num_frames
        self.pause = pause
        self.alive = self.most = 0

    def shots(self) -> Generator[Shot]:
        for number in range(self.num_frames):
            time.sleep(self.pause)
            yield Shot(number, None, partial(self.picture, number))

    def picture(self, number: int) -> np.ndarray:
        frame = moving_squares(1)[0].copy()
        frame[0, 0, 0] = number % 256
        self.alive += 1
        self.most = max(self.most, self.alive)
        finalize(frame, self.died)
        return frame

    def died(self) -> None:
        self.alive -= 1


class Slow(ColourModel):
    """Takes its time; counts the outputs that are alive."""

    def __init__(self, pause: float) -> None:
        super().__init__()
        self.pause = pause
        self.alive = self.most = 0

    def step(self, frames: torch.Tensor, state: list[torch.Tensor] | None) -> Any:
        time.sleep(self.pause)
        output, state = super().step(frames, state)
        self.alive += 1
        self.most = max(self.most, self.alive)
        finalize(output, self.died)
        return output, state

    def died(self) -> None:
        self.alive -= 1


@pytest.mark.parametrize("slow", ["none", "decode", "network", "tracker", "draw", "encode"])
@pytest.mark.parametrize("latency", [1, 5])
def test_few_frames_are_alive_whatever_is_slow(
    slow: str, latency: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause = {slow: 0.004}

    class Tracker(OnlineTracker):
        def score_masks(self, *masks: Any) -> None:
            time.sleep(pause.get("tracker", 0))
            super().score_masks(*masks)

    def draw(frame: np.ndarray, *_: object) -> np.ndarray:
        time.sleep(pause.get("draw", 0))
        return frame[:1]

    monkeypatch.setattr(drawing, "draw_result", draw)
    source, model = Source(80, pause.get("decode", 0)), Slow(pause.get("network", 0))
    segmenter = VideoSegmenter(
        model, CLASSES, device="cpu", tracker=lambda: Tracker(QueryAssociator())
    )
    job = Job(1, "source", source, Path("overlay.mp4"))
    targets, draw_frame = Targets(out=job.overlay), Drawing(Draw.of(Draw.usual), 0.3, 0)
    num_shown = 0
    gc.disable()  # what is dropped must go at once
    try:
        with Pipeline() as pipeline:
            options = PredictOptions(latency=latency, progress=False)
            video = segmenter.open(latency, score_threshold=0.0)
            tasks = [Task(0, job, video)]
            for event in stages(pipeline, tasks, segmenter, options, targets, draw_frame):
                num_shown += isinstance(event, Shown)
                time.sleep(pause.get("encode", 0))
                del event
    finally:
        gc.enable()
    assert num_shown == 80
    # A group each in decoding, network and masks; frames that wait, are drawn, and written.
    assert source.most <= 3 * latency + 6
    assert model.most <= 2
    assert source.alive == 0


def test_a_decoder_is_closed_when_another_stage_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []
    decode = VideoFile._decode

    def watched(self: VideoFile, faults: Any) -> Iterator[Any]:
        try:
            yield from decode(self, faults)
        finally:
            closed.append(threading.current_thread().name)

    video = write_video(tmp_path / "in.mp4", moving_squares(30))
    monkeypatch.setattr(VideoFile, "_decode", watched)
    segmenter = VideoSegmenter(Breaking(3, raise_fault), CLASSES, device="cpu")
    options = PredictOptions(progress=False)
    with pytest.raises(FaultError) as raised:
        predict([video], segmenter, json=tmp_path / "r.json", options=options)
    assert raised.value is not None
    assert closed == [threading.current_thread().name, "vidgap decode"]


def test_a_dataset_is_listed_in_its_order(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", {31: 5, 4: 7})
    predict(
        [dataset],
        colours(),
        json=tmp_path / "r.json",
        images_root=tmp_path / "data",
        options=PredictOptions(progress=False, batch_videos=1),
    )
    text = (tmp_path / "r.json").read_text()
    assert text.rindex('"video_id": 31') < text.index('"video_id": 4,')
