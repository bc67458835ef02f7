"""`vidgap bench`: stages add up, what is made up is really followed, and nothing is left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from vis.support.stream_model import CLASSES
from vis.support.tiny_runs import MODEL, TEMPORAL

from vidgap_vis import VideoSegmenter, build
from vidgap_vis.cli.main import main
from vidgap_vis.config import TemporalConfig
from vidgap_vis.inference.segmenter import query_tracker
from vidgap_vis.speed import COMPILED, END_TO_END, NETWORK, STAGES, Case, Subject, format_speeds
from vidgap_vis.speed.clock import Clock
from vidgap_vis.speed.scene import Scene, SceneModel
from vidgap_vis.trackers.dvis import DVIS, DVISTracker, ReferringTracker
from vidgap_vis.video.read import open_video

SIZE = (96, 128)
SMALL = Case(short_edge=96, size=SIZE, frames=2, tracks=3, steps=2)
CPU = torch.device("cpu")


def subject(temporal: TemporalConfig | None = TEMPORAL) -> Subject:
    network = build.segmenter(replace(MODEL, num_queries=4), temporal, len(CLASSES))
    return Subject(network, CLASSES, query_tracker, CPU)


def test_a_stage_does_not_count_those_inside_it() -> None:
    seconds = iter([0.0, 1.0, 3.0, 10.0, 20.0, 21.0])
    clock = Clock(CPU, lambda: next(seconds))
    with clock.stage("outer"), clock.stage("inner"):
        pass
    with clock.stage("inner"):
        pass
    assert clock.seconds == {"outer": 8.0, "inner": 3.0}


def test_a_watched_method_is_itself_again() -> None:
    class Adder:
        def add(self, one: int, *, other: int) -> int:
            return one + other

    adder, clock = Adder(), Clock(CPU, count().__next__)
    with clock.watching(adder, "add", "adding"):
        assert adder.add(1, other=2) == 3
    assert clock.seconds == {"adding": 1}
    assert not vars(adder)
    assert adder.add(1, other=2) == 3


@pytest.mark.parametrize("temporal", [TEMPORAL, None], ids=["module", "no module"])
def test_every_stage_is_timed(temporal: TemporalConfig | None) -> None:
    speed = subject(temporal).measure(SMALL)
    assert list(speed.ms) == [*STAGES, END_TO_END]
    absent = {name for name, ms in speed.ms.items() if ms == 0}
    assert absent == ({COMPILED} if temporal else {COMPILED, "temporal"})
    assert speed.network == pytest.approx(sum(speed.ms[name] for name in NETWORK))
    assert speed.rest + speed.network == pytest.approx(sum(speed.ms[name] for name in STAGES))
    table = format_speeds([speed, speed])
    for name in (*STAGES, END_TO_END, "everything else"):
        assert (f"\n{name} " in table) == (name not in absent)
    kept = speed.to_json()
    assert kept["tracks"] == 3
    assert kept["ms"].keys() == speed.ms.keys()


def test_a_compiled_network_is_one_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def compiled(step: Callable[..., Any], **_: object) -> Callable[..., Any]:
        made.append(step)
        return step

    monkeypatch.setattr(torch, "compile", compiled)
    plain = subject()
    speed = replace(plain, compiled=True).measure(SMALL)
    assert made == [plain.network.step]  # for stages and end to end
    assert (plain.untimed, replace(plain, compiled=True).untimed) == (2, 4)
    assert [name for name in NETWORK if speed.ms[name]] == [COMPILED]
    assert speed.network == speed.ms[COMPILED]


def test_tracks_are_the_scenes() -> None:
    scene, network = Scene(3), subject().network
    frames = [scene.picture(time, SIZE) for time in range(4)]
    segmenter = VideoSegmenter(SceneModel(network, scene), CLASSES, device=CPU, score_threshold=0.0)
    for time, (_, result) in enumerate(segmenter.track(frames, 2)):
        assert result.track_ids.tolist() == [1, 2, 3]
        truth = scene.distances(time, SIZE) > 0
        found = torch.from_numpy(result.masks)
        iou = (truth & found).sum((1, 2)) / (truth | found).sum((1, 2))
        assert iou.min() > 0.5  # of discs of a few cells


def test_the_video_is_the_scenes(tmp_path: Path) -> None:
    scene = Scene(2)
    scene.write(tmp_path / "scene.mp4", (48, 64), 3)
    video = open_video(tmp_path / "scene.mp4")
    assert (video.size, len(list(video))) == ((48, 64), 3)
    assert (scene.picture(1, (48, 64)) == scene.picture(1, (48, 64))).all()


def test_too_many_tracks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"tracks must be 1 to the network's 4, got 5"):
        subject().measure(replace(SMALL, tracks=5))


def test_trackers_that_read_the_network_are_refused() -> None:
    head = DVIS(ReferringTracker(16, len(CLASSES), num_layers=1, num_heads=2, ffn_channels=16))
    dvis = replace(subject(), make_tracker=lambda: DVISTracker(head.tracker))
    with pytest.raises(ValueError, match=r"must go by detections.*it reads mask_features, queries"):
        dvis.measure(SMALL)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subject().network.save_pretrained(tmp_path / "weights", [vars(info) for info in CLASSES])
    numbers = tmp_path / "numbers.json"
    sizes = ["--size", "96x128", "--short_edge", "96", "--frames", "1,2", "--tracks", "2"]
    options = [*sizes, "--steps", "1", "--device", "cpu", "--json", str(numbers)]
    assert main(["bench", "--model", str(tmp_path / "weights"), *options]) == 0
    said = capsys.readouterr().out
    assert "1 x 2" in said
    assert "2 x 2" in said
    assert [case["frames"] for case in json.loads(numbers.read_text())] == [1, 2]


def test_bad_options_are_named(fails: Callable[..., str]) -> None:
    small = ("--backbone", "resnet18", "--size", "96x128", "--short_edge", "96", "--device", "cpu")
    assert fails(2, "bench", "--size", "720").startswith("--size: wanted HEIGHTxWIDTH, as 360x640")
    assert fails(2, "bench", "--frames", "0").startswith("--frames: wanted 1 or more, got 0")
    assert fails(2, "bench", *small, "--tracks", "101").startswith("tracks must be 1 to the")
