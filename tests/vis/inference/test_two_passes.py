"""Trackers that want whole videos: two passes over the frames, windows of any length."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import cv2
import numpy as np
import pytest
import torch
from vis.support.learned_heads import OFFLINE, small_head
from vis.support.stream_model import moving_squares
from vis.support.streams import assert_same
from vis.support.tiny_runs import CLASSES, make_model

from vidgap_vis import VideoSegmenter
from vidgap_vis.errors import ConfigError, InputError
from vidgap_vis.inference.frame_result import FrameResult
from vidgap_vis.inference.jobs import Job
from vidgap_vis.inference.predict import PredictOptions, predict
from vidgap_vis.inference.rounds import Task, turns
from vidgap_vis.inference.two_passes import TwoPasses
from vidgap_vis.trackers import VideoTracks
from vidgap_vis.trackers.offline import OfflineTracker
from vidgap_vis.video.sources import FrameSource
from vidgap_vis.weights import save

NUM_FRAMES = 7
FRAMES = moving_squares(NUM_FRAMES, size=(32, 48))

offline = pytest.mark.parametrize("folder", OFFLINE, indirect=True)


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights with the head of a tracker of whole videos, and no temporal module."""
    model = make_model(temporal=None)
    path = tmp_path_factory.mktemp(request.param) / "weights"
    save(path, model, CLASSES, {}, head=small_head(request.param, model))
    return path


def segmenter(folder: Path, **options: object) -> VideoSegmenter:
    return VideoSegmenter.from_pretrained(
        folder, device="cpu", score_threshold=0.0, **{"top_k": 3, **options}
    )


def followed(
    folder: Path, latency: int, frames: list[np.ndarray] = FRAMES, **options: object
) -> tuple[list[FrameResult], VideoTracks]:
    video = segmenter(folder, **options).open(latency)
    assert isinstance(video, TwoPasses)
    assert video.look(frames) == len(frames)
    return [result for _, result in video.track(frames)], video.finish()


@offline
def test_windows_of_any_length_show_the_same(folder: Path) -> None:
    whole, ranked = followed(folder, NUM_FRAMES)
    assert [result.frame_index for result in whole] == list(range(NUM_FRAMES))
    assert 1 <= len(whole[0]) <= 3
    assert len(ranked.ids) == 3
    for latency in (1, 3):
        parts, again = followed(folder, latency)
        np.testing.assert_array_equal(again.ids, ranked.ids)
        np.testing.assert_allclose(again.scores, ranked.scores, rtol=1e-4)
        for one, other in zip(parts, whole, strict=True):
            np.testing.assert_array_equal(one.track_ids, other.track_ids)
            np.testing.assert_allclose(one.class_scores, other.class_scores, rtol=1e-4)
            np.testing.assert_allclose(one.mask_scores, other.mask_scores, rtol=1e-3, atol=1e-5)


@offline
def test_a_class_score_is_the_video_s_and_a_frame_shows_the_masks_of_listed_tracks(
    folder: Path,
) -> None:
    results, ranked = followed(folder, 2)
    listed = np.unique(ranked.ids)
    for result in results:
        np.testing.assert_array_equal(result.track_ids, listed)
        np.testing.assert_array_equal(result.class_scores, results[0].class_scores)


@offline
def test_track_takes_what_can_be_gone_through_twice(folder: Path) -> None:
    one = segmenter(folder)
    results = list(one.track(FRAMES))
    assert [frame is given for (frame, _), given in zip(results, FRAMES, strict=True)]
    wanted, _ = followed(folder, 1)
    for (_, result), want in zip(results, wanted, strict=True):
        assert_same(result, want)
    with pytest.raises(ValueError, match=r"gone through twice, .* got generator"):
        list(one.track(frame for frame in FRAMES))


@offline
def test_one_frame_and_none(folder: Path) -> None:
    results, ranked = followed(folder, 4, FRAMES[:1])
    assert len(results) == 1
    assert len(ranked.ids) == 3
    results, ranked = followed(folder, 4, [])
    assert (len(results), len(ranked.ids)) == (0, 0)


@offline
def test_classes_that_are_not_looked_for_take_no_place(folder: Path) -> None:
    _, ranked = followed(folder, 2, keep=["blue"])
    assert set(ranked.labels.tolist()) == {1}
    assert len(ranked.ids) == 3


@offline
def test_the_second_pass_must_be_of_the_same_frames(folder: Path) -> None:
    for frames, got in ((FRAMES[:-1], "fewer"), ([*FRAMES, FRAMES[0]], "more")):
        video = segmenter(folder).open(2)
        assert isinstance(video, TwoPasses)
        video.look(FRAMES)
        with pytest.raises(ValueError, match=f"the 7 of the first pass, got {got}"):
            list(video.track(frames))
    video = segmenter(folder).open(2)
    assert isinstance(video, TwoPasses)
    larger = moving_squares(1, size=(64, 96))
    with pytest.raises(ValueError, match=r"must be \(32, 48\), got \(64, 96\)"):
        video.look(FRAMES + larger)
    with pytest.raises(ValueError, match="latency must be at least 1 frame, got 0"):
        segmenter(folder).open(0)


@offline
def test_a_stream_is_refused_with_the_reason(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"wants the whole video before, which a stream, as of a"):
        segmenter(folder).stream()


@offline
def test_a_video_can_be_left_and_taken_up(folder: Path) -> None:
    """In the first pass and in the second one."""
    wanted, ranked = followed(folder, 1)
    one = segmenter(folder)

    def handed_on(tracker: OfflineTracker) -> OfflineTracker:
        fresh = one.make_tracker()
        assert isinstance(fresh, OfflineTracker)
        fresh.load_state_dict(tracker.state_dict())
        return fresh

    video = one.open(1)
    assert isinstance(video, TwoPasses)
    video.look(FRAMES[:4])
    video.tracker = handed_on(video.tracker)
    video.look(FRAMES[4:])
    found = []
    for index, (_, result) in enumerate(video.track(FRAMES)):
        found.append(result)
        if index == 3:
            video.tracker = handed_on(video.tracker)
    for result, want in zip(found, wanted, strict=True):
        assert_same(result, want)
    np.testing.assert_allclose(video.finish().scores, ranked.scores, rtol=1e-6)


@offline
def test_what_is_kept_is_said_in_bytes_a_frame(folder: Path) -> None:
    video = segmenter(folder).open(2)
    assert isinstance(video, TwoPasses)
    sizes = [video.look(FRAMES[:count]) and video.tracker.state_size() for count in (1, 2, 4)]
    frames = [1, 3, 7]  # `look` goes on
    arrays = 2 if "dvis" in str(folder) else 1
    rest = sizes[0] - arrays * 5 * 32 * 4
    assert sizes == [rest + count * arrays * 5 * 32 * 4 for count in frames]


@offline
def test_bfloat16_finds_nearly_the_same(folder: Path) -> None:
    exact, _ = followed(folder, 2)
    rough, _ = followed(folder, 2, dtype="bf16")
    gaps = [np.abs(a.class_scores - b.class_scores).max() for a, b in zip(exact, rough, strict=True)
            if np.array_equal(a.track_ids, b.track_ids)]  # fmt: skip
    assert all(np.isfinite(result.class_scores).all() for result in rough)
    assert max(gaps, default=0.0) < 0.1


@offline
def test_predict_writes_tracks_and_overlays(
    folder: Path, run: Callable[..., list[str]], tmp_path: Path
) -> None:
    clip = tmp_path / "clip"
    clip.mkdir()
    for index, frame in enumerate(FRAMES):
        cv2.imwrite(str(clip / f"{index}.png"), frame[:, :, ::-1])
    results, overlay = tmp_path / "results.json", tmp_path / "overlay.mp4"
    words = ("--model", folder, "--json", results, "--out", overlay, "--device", "cpu")
    run("predict", clip, *words, "--top_k", 3)
    written = json.loads(results.read_text())
    _, ranked = followed(folder, 1)
    assert len(written) == int((ranked.scores >= 0.01).sum())
    assert {len(entry["segmentations"]) for entry in written} == {NUM_FRAMES}
    assert overlay.stat().st_size > 0


@offline
def test_a_pipe_is_refused(folder: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    source = cast(FrameSource, SimpleNamespace(path=pipe, live=True))
    video = segmenter(folder).open()
    assert isinstance(video, TwoPasses)
    with pytest.raises(InputError, match=r"pipe: .* twice; a camera or a pipe gives it once"):
        next(turns(Task(0, Job(1, "pipe", source), video)))


def test_other_trackers_need_one_pass(tmp_path: Path) -> None:
    model = make_model()
    save(tmp_path / "weights", model, CLASSES, {}, head=small_head("dvis", model))
    one = VideoSegmenter.from_pretrained(tmp_path / "weights", device="cpu", score_threshold=0.0)
    assert not isinstance(one.open(), TwoPasses)
    assert len(list(one.track(frame for frame in FRAMES))) == NUM_FRAMES


def test_semi_online_clips_are_whole(tmp_path: Path) -> None:
    model = make_model(temporal=None)
    folder = tmp_path / "weights"
    save(folder, model, CLASSES, {}, head=small_head("genvis", model))
    tracker = {"name": "genvis", "clip_frames": 3}
    one = VideoSegmenter.from_pretrained(folder, device="cpu", score_threshold=0.0, tracker=tracker)
    assert one.stream().latency == 3
    wanted = [result for _, result in one.track(FRAMES)]
    found = [result for _, result in one.track(FRAMES, 6)]
    for result, want in zip(found, wanted, strict=True):
        np.testing.assert_allclose(result.class_scores, want.class_scores, rtol=1e-4)
    with pytest.raises(ValueError, match="multiple of the tracker's clips of 3 frames, got 2"):
        one.stream(2)
    (tmp_path / "clip").mkdir()
    cv2.imwrite(str(tmp_path / "clip" / "0.png"), FRAMES[0])
    options = PredictOptions(latency=2, progress=False)
    with pytest.raises(ConfigError, match="--latency: latency must be a multiple of the tracker"):
        predict([tmp_path / "clip"], one, json=tmp_path / "r.json", options=options)
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize("kind", ["dvis", "genvis", "masktrack"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_heads_follow_streams(kind: str, dtype: str, tmp_path: Path) -> None:
    model = make_model(temporal=None)
    folder = tmp_path / "weights"
    save(folder, model, CLASSES, {}, head=small_head(kind, model))
    one = VideoSegmenter.from_pretrained(
        folder, device="cpu", score_threshold=0.0, dtype=dtype, top_k=4
    )
    with torch.no_grad(), one.stream() as stream:
        results = [result for _, result in stream.track(FRAMES)]
        ranked = stream.finish().best(one.top_k)
    assert len(results) == NUM_FRAMES
    assert len(ranked.ids) <= 4
    assert all(np.isfinite(result.class_scores).all() for result in results)
