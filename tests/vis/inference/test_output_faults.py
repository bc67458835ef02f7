"""What is left where a run of `predict` fails, and what is said."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from vis.inference.test_predict import write_folder, write_video
from vis.support.learned_heads import small_head
from vis.support.outputs import (
    OUTPUTS,
    QUIET,
    colours,
    lines_of,
)
from vis.support.stream_model import CLASSES, ColourModel, moving_squares
from vis.support.tiny_runs import CLASSES as OF_WEIGHTS
from vis.support.tiny_runs import make_model

from vidgap_vis.cli.main import main
from vidgap_vis.errors import ConfigError, InputError
from vidgap_vis.formats.mask_spool import MaskSpool
from vidgap_vis.inference import predict as predicting
from vidgap_vis.inference.jobs import Job
from vidgap_vis.inference.outputs.events import Finished
from vidgap_vis.inference.outputs.results import ResultSink
from vidgap_vis.inference.predict import predict
from vidgap_vis.inference.rounds import Task
from vidgap_vis.trackers import VideoTracks
from vidgap_vis.video.read import open_video, video_name
from vidgap_vis.video.sources import ImageFolder, Shot, SourceGoneError
from vidgap_vis.video.sources.streams import without_password
from vidgap_vis.weights import save


class Breaking(ImageFolder):
    """A stream that breaks off."""

    live = True

    def shots(self) -> Generator[Shot]:
        for shot in super().shots():
            if shot.index == 5:
                raise SourceGoneError(self.path, "frame 5", "the stream broke off")
            yield shot


@pytest.mark.parametrize("latency", [1, 3, 10])
def test_a_stream_that_breaks_off_keeps_what_came(
    latency: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
            options=replace(QUIET, latency=latency),
        )
    entries = json.loads((tmp_path / "r.json").read_text())
    assert {len(entry["segmentations"]) for entry in entries} == {5}
    assert len(list(open_video(tmp_path / "o.mp4"))) == 5
    kinds = Counter(line["type"] for line in lines_of(tmp_path / "l.jsonl"))
    assert kinds == {"video": 1, "birth": 3, "frame": 5, "end": 1}


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


class Damaged(ColourModel):
    """Masks or classes of one frame are no numbers."""

    def __init__(self, name: str, number: float) -> None:
        super().__init__()
        self.name, self.number = name, number

    def step(self, frames: torch.Tensor, state: Any, **more: Any) -> Any:
        output, state = super().step(frames, state, **more)
        damaged = getattr(output, self.name).clone()
        damaged[(0,) * damaged.ndim] = self.number
        return replace(output, **{self.name: damaged}), state


@pytest.mark.parametrize(
    ("name", "number"),
    [("mask_logits", torch.nan), ("class_logits", torch.inf), ("embeddings", torch.inf)],
)
def test_predictions_that_are_no_numbers_are_an_error(
    name: str, number: float, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "a.mp4", moving_squares(3))
    with pytest.raises(InputError, match="the network predicts nan or inf"):
        predict([video], colours(Damaged(name, number)), json=tmp_path / "r.json", options=QUIET)
    assert not (tmp_path / "r.json").exists()


def test_cut_outs_of_two_runs_are_not_mixed(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", moving_squares(3))
    predict([video], colours(), crops=tmp_path / "crops", options=QUIET)
    with pytest.raises(ConfigError, match="--crops: must be empty or new, lest cut-outs"):
        predict([video], colours(), crops=tmp_path / "crops", options=QUIET)


def test_what_a_pattern_stands_for_is_not_replaced(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clips" / "a.mp4", moving_squares(2))
    before = video.read_bytes()
    given: tuple[dict[str, Any], ...] = ({"out": tmp_path / "clips"}, {"csv": video})
    for target in given:
        with pytest.raises(ConfigError, match=r"a\.mp4 is an input"):
            predict([str(tmp_path / "clips" / "*.mp4")], colours(), **target, options=QUIET)
    assert video.read_bytes() == before


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
    assert without_password("rtsp://admin:se@cret@10.0.0.5/a@b") == "rtsp://10.0.0.5/a@b"
