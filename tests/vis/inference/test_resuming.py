"""Runs of `predict` that were killed or stopped go on, and are as if nothing had been."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from vis.inference.test_predict import write_video
from vis.support.outputs import (
    OUTPUTS,
    Forgetful,
    KilledError,
    Stopping,
    colours,
    die,
    lines_of,
    shown,
    table,
)
from vis.support.stream_model import ColourModel, JointColourModel, moving_squares
from vis.support.tiny_runs import CLASSES as OF_WEIGHTS
from vis.support.tiny_runs import make_model

from vidgap_vis import VideoSegmenter
from vidgap_vis.errors import ConfigError, InputError
from vidgap_vis.inference import predict as predicting
from vidgap_vis.inference.predict import PredictOptions, Stopped, predict
from vidgap_vis.trackers import OnlineTracker
from vidgap_vis.trackers.joint import JointOptions, JointTracker
from vidgap_vis.video.sources import Span
from vidgap_vis.weights import save


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


def test_the_command_goes_on(
    tmp_path: Path, run: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
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

    monkeypatch.setattr(segmenter.step.model, "step", dying)
    with pytest.raises(KilledError):
        predict([video], segmenter, jsonl=lines, weights=tmp_path / "weights", options=options)
    assert lines.read_bytes() != whole
    said = run(*words, "--jsonl", lines, "--csv", tmp_path / "t.csv", "--resume")
    assert said == [str(lines), str(tmp_path / "t.csv")]
    assert lines.read_bytes() == whole


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
    files: dict[str, Any] = {"jsonl": tmp_path / "l.jsonl", "csv": tmp_path / "t.csv"}
    options = PredictOptions(progress=False, save_every=2)
    with pytest.raises(KilledError):
        predict(inputs, colours(Stopping(15, die)), **files, options=options)

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(predicting.Outputs, "_show", stop)
        with pytest.raises(KeyboardInterrupt):
            predict(inputs, colours(), **files, resume=True, options=options)
    assert not files["csv"].exists()
    predict(inputs, colours(), **files, resume=True, options=options)
    assert [row["video"] for row in table(files["csv"])] == ["a"] * 3 + ["b"] * 3


def test_a_run_goes_on_with_the_same_classes(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", moving_squares(15))
    options = PredictOptions(progress=False, save_every=5)
    lines = tmp_path / "l.jsonl"
    with pytest.raises(KilledError):
        predict([video], colours(Stopping(13, die)), jsonl=lines, options=options)
    for other in ({"keep": ["disc"]}, {"short_edge": 32}, {"max_size": 9}, {"top_k": 3}):
        with pytest.raises(ConfigError, match=r"--resume: (labels|short_edge|max_size|top_k) was"):
            predict([video], colours(**other), jsonl=lines, resume=True, options=options)


def test_a_run_goes_on_with_the_same_videos(tmp_path: Path) -> None:
    """A pattern may stand for others by then."""
    for name in ("b", "c"):
        write_video(tmp_path / f"{name}.mp4", moving_squares(9))
    options, lines = PredictOptions(progress=False, save_every=2), tmp_path / "l.jsonl"
    pattern = str(tmp_path / "*.mp4")

    def go_on(**more: Any) -> None:
        predict([pattern], colours(), jsonl=lines, options=options, resume=True, **more)

    with pytest.raises(KilledError):
        predict([pattern], colours(Stopping(14, die)), jsonl=lines, options=options)
    write_video(tmp_path / "a.mp4", moving_squares(9))
    with pytest.raises(ConfigError, match=r"--resume: videos was \[1, 'b', .*, is \[1, 'a', "):
        go_on()
    (tmp_path / "a.mp4").unlink()
    (tmp_path / "c.mp4").rename(tmp_path / "kept")
    with pytest.raises(ConfigError, match=r"--resume: videos was \[2, 'c', .*, is None"):
        go_on()
    (tmp_path / "kept").rename(tmp_path / "c.mp4")
    go_on()
    assert {(video, frame) for video, frame, _ in shown(lines)} == {
        (video, frame) for video in (1, 2) for frame in range(9)
    }


def test_a_run_goes_on_with_the_same_tracker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = write_video(tmp_path / "a.mp4", moving_squares(30))
    options, lines = PredictOptions(progress=False, save_every=4), tmp_path / "l.jsonl"

    def joint(threshold: float) -> VideoSegmenter:
        joined = JointOptions(clip_frames=4, repeated=2, match_threshold=threshold)
        return colours(JointColourModel(), tracker=lambda: JointTracker(joined))

    monkeypatch.setattr(JointTracker, "finish", lambda _: die())
    with pytest.raises(KilledError):
        predict([video], joint(0.5), jsonl=lines, options=options)
    with pytest.raises(ConfigError, match=r"tracker was .*match_threshold=0\.5.* is .*=0\.9"):
        predict([video], joint(0.9), jsonl=lines, options=options, resume=True)


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
