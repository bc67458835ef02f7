"""Joint networks in streams: clips that overlap, each frame shown once, identities that go on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tolerances import TOLERANCE
from vis.support.stream_model import (
    CLASSES,
    JointColourModel,
    draw_frame,
    moving_squares,
)
from vis.support.streams import collect
from vis.support.tiny_runs import CLASSES as OF_WEIGHTS
from vis.support.tiny_runs import MODEL, TEMPORAL, make_model

from vidgap_vis import VideoSegmenter, build
from vidgap_vis.config.tracking import MAX_TOP_K
from vidgap_vis.errors import ConfigError
from vidgap_vis.inference.frame_result import FrameResult
from vidgap_vis.inference.stream import Stream
from vidgap_vis.trackers.joint import JointOptions, JointTracker
from vidgap_vis.trackers.online import MAX_ENDED
from vidgap_vis.weights import Usage, save

JOINT = ("mask2former_vis", "seqformer")


def joint_segmenter(clip_frames: int, repeated: int, **options: object) -> VideoSegmenter:
    def tracker() -> JointTracker:
        return JointTracker(JointOptions(clip_frames, repeated))

    return VideoSegmenter(
        JointColourModel(), CLASSES, device="cpu", tracker=tracker, score_threshold=0.3, **options
    )


def seen_of(results: list[FrameResult]) -> dict[int, tuple[str, list[int]]]:
    """Return the class of each track and the frames that show it; a class must not change."""
    seen: dict[int, tuple[str, list[int]]] = {}
    for one in results:
        for id_, name in zip(one.track_ids.tolist(), one.names, strict=True):
            first, frames = seen.setdefault(id_, (name, []))
            assert name == first
            frames.append(one.frame_index)
    return seen


@pytest.mark.parametrize(
    ("clip_frames", "repeated"), [(2, 1), (3, 2), (5, 1), (5, 4), (13, 3), (40, 2)], ids=str
)
def test_each_frame_is_shown_once_and_identities_go_on(clip_frames: int, repeated: int) -> None:
    frames = moving_squares(13)
    with joint_segmenter(clip_frames, repeated).stream() as stream:
        results = collect(stream, frames)
        ranked = stream.finish()
    assert [result.frame_index for result in results] == list(range(13))
    for frame, result in zip(frames, results, strict=True):
        (green,) = [m for m, name in zip(result.masks, result.names, strict=True) if name[0] == "s"]
        truth = (frame == (0, 255, 0)).all(axis=-1)
        assert (green & truth).sum() / (green | truth).sum() > 0.7
    seen = seen_of(results)
    lasting = [id_ for id_, (_, when) in seen.items() if len(when) == 13]
    assert sorted(seen[id_][0] for id_ in lasting) == ["disc", "square"]
    assert set(lasting) <= set(ranked.best(3).ids.tolist())


def test_the_model_sees_the_shared_frames_again_and_the_state_before_them() -> None:
    frames = moving_squares(14)
    segmenter = joint_segmenter(5, 2)
    with segmenter.stream() as stream:
        collect(stream, frames)
        assert stream._grouping.shared
    assert not stream._grouping.shared
    model = segmenter.model
    assert isinstance(model, JointColourModel)
    assert model.step_lengths == [5, 5, 5, 5]  # 0-4, 3-7, 6-10, 9-13
    assert model.states == [0, 3, 6, 9]
    assert model.repeated_next == [2, 2, 2, 2]
    given = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    for first, clip in zip(model.states, model.clips, strict=True):
        assert torch.equal(clip, given[first : first + 5])


@pytest.mark.parametrize(
    ("num_frames", "lengths"),
    [(1, [1]), (2, [2]), (4, [4]), (5, [5]), (6, [5, 3]), (9, [5, 5, 3])],
    ids=str,
)
def test_the_last_clip_may_be_shorter(num_frames: int, lengths: list[int]) -> None:
    segmenter = joint_segmenter(5, 2)
    pairs = list(segmenter.track(moving_squares(num_frames)))
    assert [result.frame_index for _, result in pairs] == list(range(num_frames))
    assert segmenter.model.step_lengths == lengths
    seen = seen_of([result for _, result in pairs])
    lasting = [name for name, when in seen.values() if len(when) == num_frames]
    assert {"disc", "square"} <= set(lasting)


def test_no_frames_are_no_results() -> None:
    with joint_segmenter(5, 2).stream() as stream:
        assert stream.flush() == []
        assert len(stream.finish().ids) == 0


def test_results_come_one_a_frame_after_the_first_clip() -> None:
    with joint_segmenter(5, 3).stream() as stream:
        found = [stream(frame) for frame in moving_squares(12)]
        assert [one if one is None else one.frame_index for one in found] == [
            *[None] * 4,
            *range(8),
        ]
        assert [one.frame_index for one in stream.flush()] == [8, 9, 10, 11]


def test_a_stream_goes_on_after_a_flush() -> None:
    frames = moving_squares(9)
    segmenter = joint_segmenter(4, 2)
    stream = segmenter.stream()
    stream(frames[0])
    results = stream.flush()  # a clip of one frame, which the next one begins with
    for frame in frames[1:6]:
        stream(frame)
    stream.flush()
    assert segmenter.model.step_lengths == [1, 4, 4]  # 0, 0-3, 2-5
    assert segmenter.model.states == [0, 0, 2]
    results += collect(stream, frames[6:])
    assert all({1, 2} <= set(result.track_ids.tolist()) for result in results)
    assert results[-1].frame_index == 8


def test_a_step_that_fails_loses_its_new_frames_alone() -> None:
    segmenter = joint_segmenter(4, 2)
    model, fail = segmenter.model, [False]
    assert isinstance(model, JointColourModel)
    step = model.step

    def sometimes(*args, **named):
        if fail.pop():
            raise RuntimeError("out of memory")
        return step(*args, **named)

    frames = moving_squares(10)
    stream = segmenter.stream()
    model.step = sometimes  # type: ignore[method-assign]
    for frame in frames[:4]:
        stream(frame)
    fail.append(True)
    stream(frames[4])
    with pytest.raises(RuntimeError, match="out of memory"):
        stream(frames[5])
    fail.append(False)
    for frame in frames[6:8]:
        stream(frame)
    given = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    assert torch.equal(model.clips[-1], given[[2, 3, 6, 7]])
    assert model.states == [0, 2]
    assert [result.frame_index for result in stream.flush()][-1] == 5


def test_the_state_of_a_long_stream_does_not_grow() -> None:
    sizes, held = set(), set()
    with joint_segmenter(6, 2).stream() as stream:
        for index, frame in enumerate(moving_squares(90)):
            stream(frame)
            if index % 20 == 9:  # the same place of the squares and of the clips
                sizes.add(stream.tracker.state_size())
                grouping = stream._grouping
                held.add((len(grouping.waiting), len(grouping.shared), len(stream._ready)))
    assert len(held) == 1
    assert max(sizes) < 2 * min(sizes)


def test_classes_that_are_not_looked_for_are_left_out(tmp_path: Path) -> None:
    save(tmp_path / "w", make_model(architecture="seqformer"), OF_WEIGHTS, {})
    one = VideoSegmenter.from_pretrained(
        tmp_path / "w", device="cpu", score_threshold=0.0, keep=["blue"]
    )
    with one.stream() as stream:
        results = collect(stream, moving_squares(4))
        assert sum(map(len, results)) > 0
        assert {label for result in results for label in result.labels.tolist()} == {1}
        assert set(stream.finish().labels.tolist()) == {1}


@torch.no_grad()
@pytest.mark.parametrize("architecture", JOINT)
def test_repeated_frames_do_not_advance_the_temporal_state_twice(architecture: str) -> None:
    """Without look-ahead a clip's maps are those of the whole video, however it is cut."""
    torch.manual_seed(0)
    model = build.segmenter(
        replace(MODEL, architecture=architecture), replace(TEMPORAL, num_short_layers=0), 2
    )
    model.double().eval()
    frames = torch.from_numpy(np.stack(moving_squares(8, (40, 70)))).permute(0, 3, 1, 2)[None]
    whole = model(frames, with_head_inputs=True).head_inputs
    state, first = None, 0
    for length, repeated_next in ((4, 2), (2, 2), (5, 1), (2, 0)):  # from frames 0, 2, 2, 6
        clip = slice(first, first + length)
        output, state = model.step(
            frames[:, clip], state, with_head_inputs=True, repeated_next=repeated_next
        )
        for got, wanted in zip(output.head_inputs.pyramid, whole.pyramid, strict=True):
            torch.testing.assert_close(got, wanted[:, clip], **TOLERANCE[torch.float64])
        first += length - repeated_next
    assert first == 8
    for wrong in (-1, 3):
        message = f"repeated_next must be 0 to the step's 2 frames, got {wrong}"
        with pytest.raises(ValueError, match=message):
            model.step(frames[:, :2], None, repeated_next=wrong)


@pytest.mark.parametrize("architecture", JOINT)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_weights_folder_streams(architecture: str, dtype: str, tmp_path: Path) -> None:
    save(tmp_path / "w", make_model(architecture=architecture), OF_WEIGHTS, {})
    one = VideoSegmenter.from_pretrained(
        tmp_path / "w",
        device="cpu",
        score_threshold=0.0,
        dtype=dtype,
        tracker={"clip_frames": 3, "repeated": 1},
    )
    stream = one.open()
    assert isinstance(stream, Stream)
    assert isinstance(stream.tracker, JointTracker)
    assert stream.latency == 3
    results = collect(stream, moving_squares(8, (40, 70)))
    assert [result.frame_index for result in results] == list(range(8))
    assert sum(map(len, results)) > 0


def test_a_latency_that_is_not_the_clip_is_refused() -> None:
    for wrong in (1, 10):
        with pytest.raises(ValueError, match="latency must be "):
            joint_segmenter(5, 2).stream(wrong)
    with pytest.raises(ValueError, match=re.escape("clip_frames (5), as queries are")):
        joint_segmenter(5, 2).stream(10)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weights of a joint network, of one frame by frame, and a folder of frames and of one."""
    root = tmp_path_factory.mktemp("joint")
    save(root / "joint", make_model(architecture="mask2former_vis"), OF_WEIGHTS, {})
    save(root / "frames", make_model(), OF_WEIGHTS, {})
    for name, count in (("clip", 7), ("single", 1)):
        (root / name).mkdir()
        for index, frame in enumerate(moving_squares(count, (32, 48))):
            cv2.imwrite(str(root / name / f"{index}.png"), frame[:, :, ::-1])
    return {name: root / name for name in ("joint", "frames", "clip", "single")}


def test_predict_takes_joint_weights(
    folders: dict[str, Path], run: Callable[..., list[str]], tmp_path: Path
) -> None:
    results, overlay = tmp_path / "results.json", tmp_path / "overlay.mp4"
    words = ("--model", folders["joint"], "--json", results, "--device", "cpu")
    flags = ("--tracker.clip_frames", 3, "--tracker.repeated", 1, "--tracker.min_score", 0)
    run("predict", folders["clip"], *words, *flags, "--out", overlay)
    written = json.loads(results.read_text())
    assert written
    assert {len(entry["segmentations"]) for entry in written} == {7}
    assert overlay.stat().st_size > 0
    run("predict", folders["clip"], *words, "--tracker", "joint")
    run("predict", folders["single"], *words, "--tracker.min_score", 0)
    written = json.loads(results.read_text())
    assert {len(entry["segmentations"]) for entry in written} == {1}


@pytest.mark.parametrize(
    ("weights", "flags", "message"),
    [
        ("joint", ["--tracker", "query"], "query follows queries from frame to frame, those of a"),
        ("joint", ["--tracker", "ctvis"], "of a mask2former_vis are instances of whole clips;"),
        ("frames", ["--tracker", "joint"], "each frame of a mask2former has its own"),
        ("joint", ["--tracker.clip_frames", "1"], "clip_frames must be at least 2, got 1"),
        ("joint", ["--tracker.repeated", "10"], r"repeated must be below clip_frames (10), so "),
        ("joint", ["--tracker.max_gap", "3"], "tracker joint has no such option"),
        ("joint", ["--latency", "4"], "--latency: latency must be a multiple of the tracker's cl"),
        ("joint", ["--latency", "20"], "--latency: latency must be the tracker's clip_frames (10"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_one_line(
    folders: dict[str, Path],
    fails: Callable[..., str],
    tmp_path: Path,
    weights: str,
    flags: list[str],
    message: str,
) -> None:
    words = ("--model", folders[weights], "--json", tmp_path / "r.json", "--device", "cpu")
    assert message in fails(2, "predict", folders["clip"], *words, *flags)
    assert not (tmp_path / "r.json").exists()


def test_what_weights_say_of_their_tracker_counts(tmp_path: Path) -> None:
    model = make_model(architecture="mask2former_vis")
    usage = Usage({"name": "joint", "clip_frames": 4, "match_threshold": 0.3})
    save(tmp_path / "w", model, OF_WEIGHTS, {}, usage)
    tracker = VideoSegmenter.from_pretrained(tmp_path / "w", device="cpu").stream().tracker
    assert isinstance(tracker, JointTracker)
    assert tracker.options == JointOptions(clip_frames=4, match_threshold=0.3)
    with pytest.raises(ConfigError, match=r"tracker\.name: index follows queries from frame to"):
        VideoSegmenter.from_pretrained(tmp_path / "w", device="cpu", tracker={"name": "index"})
    assert MAX_TOP_K == MAX_ENDED
    for top_k in (0, MAX_TOP_K + 1):
        with pytest.raises(ValueError, match=f"top_k must be 1 to 1000, got {top_k}"):
            VideoSegmenter.from_pretrained(tmp_path / "w", device="cpu", top_k=top_k)


def test_one_that_leaves_has_ended_and_a_newcomer_is_new() -> None:
    frames = [
        draw_frame((64, 96), [(4, 8), (40, 60) if t < 6 else None, (22, 40) if t > 8 else None])
        for t in range(16)
    ]
    with joint_segmenter(4, 1).stream() as stream:
        seen = seen_of(collect(stream, frames))
    assert sorted(seen.values(), key=lambda one: one[1][-1:] + one[1]) == [
        ("square", list(range(6))),
        ("disc", list(range(16))),
        ("disc", list(range(9, 16))),
    ]
    assert max(seen) == 3
    assert seen[3][1][0] == 9
