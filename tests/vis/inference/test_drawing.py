"""Overlays: which parts are drawn, where tracks have been, and when frames are shown."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from vis.inference.test_predict import write_folder, write_video
from vis.support.outputs import (
    colours,
)
from vis.support.stream_model import moving_squares

from vidgap_vis.inference.draw import TRAIL, Draw, Trails, draw_result
from vidgap_vis.inference.jobs import Job
from vidgap_vis.inference.outputs.events import Finished
from vidgap_vis.inference.outputs.overlays import OverlaySink
from vidgap_vis.inference.predict import PredictOptions, predict
from vidgap_vis.inference.rounds import Task
from vidgap_vis.trackers import VideoTracks
from vidgap_vis.video.overlay import track_colour
from vidgap_vis.video.read import open_video
from vidgap_vis.video.sources import ImageFolder, Span
from vidgap_vis.video.write import OverlayWriter


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


def test_a_frame_an_hour(tmp_path: Path) -> None:
    with OverlayWriter(tmp_path / "slow.mp4", Fraction(25, 90_000), (64, 96)) as writer:
        for frame in moving_squares(2):
            writer.write(frame)
    assert len(list(open_video(tmp_path / "slow.mp4"))) == 2


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
