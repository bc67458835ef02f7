"""Streams: any frame type, any grouping, and results that decode to what was in the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tolerances import TOLERANCE
from vis.support.stream_model import CLASSES, ColourModel, draw_frame, moving_squares
from vis.support.streams import assert_same, collect, index_tracker, make
from vis.support.tiny_runs import MODEL, TEMPORAL

from vidgap_vis import build
from vidgap_vis.config import TemporalConfig
from vidgap_vis.inference.segmenter import Precision, VideoSegmenter, query_tracker
from vidgap_vis.inference.step import with_short_edge
from vidgap_vis.trackers import Tracker
from vidgap_vis.weights import save


def test_squares_are_found_and_keep_their_ids() -> None:
    with make().stream() as stream:
        for index, frame in enumerate(moving_squares(12)):
            result = stream(frame)
            assert result is not None
            assert (result.frame_index, result.size) == (index, (64, 96))
            by_label = dict(zip(result.track_ids.tolist(), result.names, strict=True))
            wanted = {1: "disc", 2: "square"} if index == 0 else {1: "disc", 2: "square", 3: "disc"}
            if index % 5 == 0:
                wanted = {1: "disc", 2: "square"}
            assert sorted(by_label.values()) == sorted(wanted.values())
            assert set(by_label) == set(wanted)
            assert (result.scores > 0.8).all()


@pytest.mark.parametrize("size", [(64, 96), (50, 75), (33, 97), (64, 33)], ids=str)
def test_masks_lie_on_the_squares_at_any_size(size: tuple[int, int]) -> None:
    frame = draw_frame(size, [(8, 12)])
    with make().stream() as stream:
        result = stream(frame)
    assert result is not None
    (mask,) = result.masks
    assert mask.shape == size
    truth = (frame == (255, 0, 0)).all(axis=-1)
    assert (mask & truth).sum() / (mask | truth).sum() > 0.85


@pytest.mark.parametrize("latency", [1, 3, 4, 13, 50])
@pytest.mark.parametrize("tracker", [query_tracker, index_tracker])
def test_grouping_does_not_change_results_of_a_model_without_look_ahead(
    latency: int, tracker: Callable[[], Tracker]
) -> None:
    """`index_tracker` shows the model's permutation, which a lost state would start again."""
    frames = moving_squares(13)
    segmenter = make(tracker=tracker)
    with segmenter.stream() as stream, segmenter.stream(latency) as grouped:
        alone, together = collect(stream, frames), collect(grouped, frames)
    assert len(together) == 13
    for one, other in zip(alone, together, strict=True):
        assert_same(one, other)


def test_latency_is_the_number_of_frames_per_step_and_the_delay() -> None:
    segmenter = make()
    with segmenter.stream(latency=4) as stream:
        indices = [
            None if (result := stream(frame)) is None else result.frame_index
            for frame in moving_squares(10)
        ]
        assert indices == [None, None, None, 0, 1, 2, 3, 4, 5, 6]
        assert [result.frame_index for result in stream.flush()] == [7, 8, 9]
        assert stream.flush() == []
        assert stream(moving_squares(1)[0]) is None
        assert [result.frame_index for result in stream.flush()] == [10]
    assert segmenter.model.step_lengths == [4, 4, 2, 1]


def test_track_pairs_every_frame_with_its_result() -> None:
    frames = moving_squares(11)
    pairs = list(make().track(iter(frames), latency=4))
    assert [result.frame_index for _, result in pairs] == list(range(11))
    assert all(frame is given for (frame, _), given in zip(pairs, frames, strict=True))


def test_every_kind_of_frame_gives_the_same() -> None:
    frame = moving_squares(2)[1]
    kinds = [
        frame,
        frame[:, ::-1][:, ::-1],  # not contiguous
        Image.fromarray(frame),
        torch.from_numpy(frame).permute(2, 0, 1),
    ]
    results = [make().stream()(kind) for kind in kinds]
    for result in results[1:]:
        assert_same(results[0], result)


def test_a_grey_image_is_taken_as_rgb() -> None:
    result = make().stream()(Image.new("L", (96, 64), 20))
    assert result is not None
    assert len(result) == 0


def test_frames_may_be_reused_by_the_caller() -> None:
    buffer = np.empty((64, 96, 3), np.uint8)
    with make().stream(latency=3) as stream, make().stream(latency=3) as plain:
        results = []
        for frame in moving_squares(6):
            buffer[:] = frame
            results.append(stream(buffer))
        wanted = [plain(frame) for frame in moving_squares(6)]
    for one, other in zip(results[2:], wanted[2:], strict=True):
        assert_same(one, other)


def test_short_edge_resizes_for_the_model_and_masks_come_back() -> None:
    segmenter = make(short_edge=48)
    frame = draw_frame((150, 200), [(32, 48)], side=50)
    result = segmenter.stream()(frame)
    assert segmenter.model.seen_sizes == {(48, 64)}
    (mask,) = result.masks
    truth = (frame == (255, 0, 0)).all(axis=-1)
    assert mask.shape == (150, 200)
    assert (mask & truth).sum() / (mask | truth).sum() > 0.8


@pytest.mark.parametrize(
    ("size", "max_size", "seen"),
    [((64, 128), 96, (48, 96)), ((64, 128), 192, (64, 128)), ((400, 100), 96, (96, 24))],
)
def test_the_long_edge_has_its_bound(
    size: tuple[int, int], max_size: int, seen: tuple[int, int]
) -> None:
    segmenter = make(short_edge=64, max_size=max_size)
    assert segmenter.stream()(draw_frame(size, [(4, 4)])).size == size
    assert segmenter.model.seen_sizes == {seen}


def test_sizes_are_those_of_the_official_evaluation() -> None:
    for size, wanted in {
        (720, 1281): (360, 641),
        (360, 640): (360, 640),
        (300, 900): (360, 1080),
    }.items():
        assert with_short_edge(torch.zeros(3, *size), 360).shape == (3, *wanted)
    assert with_short_edge(torch.zeros(3, 480, 640), 800).shape == (3, 800, 1067)
    assert with_short_edge(torch.zeros(3, 360, 640), 800).shape == (3, 750, 1333)


def test_score_threshold_hides_but_tracking_goes_on() -> None:
    hidden = make(score_threshold=0.995).stream()(moving_squares(1)[0])
    assert len(hidden) == 0
    shown = make(score_threshold=0.995).stream(score_threshold=0.0)(moving_squares(1)[0])
    assert len(shown) == 2
    assert len(shown.above(2.0)) == 0
    assert_same(shown.above(0.0), shown)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("temporal", [None, TEMPORAL], ids=["per frame", "temporal"])
def test_a_weights_folder_streams(
    tmp_path: Path, temporal: TemporalConfig | None, dtype: Precision
) -> None:
    torch.manual_seed(0)
    model = build.segmenter(MODEL, temporal, len(CLASSES))
    save(tmp_path / "weights", model, CLASSES, {})
    segmenter = VideoSegmenter.from_pretrained(
        tmp_path / "weights", device="cpu", dtype=dtype, score_threshold=0.0, tracker=index_tracker
    )
    assert segmenter.classes == CLASSES
    frames = moving_squares(5, (40, 70))
    for latency in (1, 2):
        with segmenter.stream(latency) as stream:
            results = collect(stream, frames)
        assert [result.frame_index for result in results] == list(range(5))
        assert sum(map(len, results)) > 0
        assert all(result.masks.shape == (len(result), 40, 70) for result in results)


def test_a_real_model_without_look_ahead_gives_the_same_in_any_grouping() -> None:
    torch.manual_seed(0)
    causal = replace(TEMPORAL, num_short_layers=0)
    model = build.segmenter(MODEL, causal, len(CLASSES)).double()
    segmenter = VideoSegmenter(
        model, CLASSES, device="cpu", score_threshold=0.0, tracker=index_tracker
    )
    frames = moving_squares(7, (40, 70))
    with segmenter.stream() as stream, segmenter.stream(3) as grouped:
        pairs = list(zip(collect(stream, frames), collect(grouped, frames), strict=True))
    assert len(pairs) == 7
    assert len(pairs[-1][0]) > 0
    for one, other in pairs:
        np.testing.assert_array_equal(one.track_ids, other.track_ids)
        np.testing.assert_allclose(one.scores, other.scores, **TOLERANCE[torch.float32])
        assert (one.masks != other.masks).mean() < 1e-3


def test_only_kept_classes_are_looked_for() -> None:
    frame = moving_squares(2)[1]
    assert make(keep=["square"]).stream()(frame).names == ("square",)
    with pytest.raises(ValueError, match="unknown class 'cat', wanted one of disc, square"):
        make(keep=["disc", "cat"])


def test_a_step_that_fails_does_not_stop_the_stream() -> None:
    class Failing(ColourModel):
        def step(self, frames: torch.Tensor, state: list[torch.Tensor] | None):
            if not self.step_lengths:
                self.step_lengths.append(0)
                raise RuntimeError("out of memory")
            return super().step(frames, state)

    with VideoSegmenter(Failing(), CLASSES, device="cpu").stream() as stream:
        with pytest.raises(RuntimeError, match="out of memory"):
            stream(moving_squares(1)[0])
        results = [stream(frame) for frame in moving_squares(3)]
    assert [result.frame_index for result in results] == [0, 1, 2]


def test_bf16_runs_the_model_under_autocast() -> None:
    seen = []

    class Watching(ColourModel):
        def step(self, frames: torch.Tensor, state: list[torch.Tensor] | None):
            seen.append((torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")))
            output, state = super().step(frames, state)
            halves = {
                name: getattr(output, name).bfloat16()
                for name in ("class_logits", "mask_logits", "embeddings")
            }
            return type(output)(
                **halves,
                auxiliary=(),
                frame_size=output.frame_size,
                padded_size=output.padded_size,
            ), state

    segmenter = VideoSegmenter(Watching(), CLASSES, device="cpu", dtype="bf16")
    result = segmenter.stream()(moving_squares(1)[0])
    assert seen == [(True, torch.bfloat16)]
    assert len(result) == 2


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (np.zeros((3, 8, 8), np.uint8), r"must be \(H, W, 3\) uint8, got \(3, 8, 8\) uint8"),
        (np.zeros((8, 8, 3)), r"must be \(H, W, 3\) uint8, got \(8, 8, 3\) float64"),
        (torch.zeros(8, 8, 3, dtype=torch.uint8), r"must be \(3, H, W\) uint8, got \(8, 8, 3\)"),
        (torch.zeros(3, 8, 8), r"must be \(3, H, W\) uint8, got \(3, 8, 8\) torch.float32"),
        ("frame.jpg", "must be an ndarray, a PIL image or a tensor, got str"),
    ],
)
def test_wrong_frames_are_named(frame: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make().stream()(frame)


def test_a_change_of_size_is_refused() -> None:
    stream = make().stream()
    stream(np.zeros((64, 96, 3), np.uint8))
    with pytest.raises(ValueError, match=r"of a video must be \(64, 96\), got \(96, 64\)"):
        stream(np.zeros((96, 64, 3), np.uint8))


def test_a_closed_stream_says_so() -> None:
    with make().stream() as stream:
        pass
    with pytest.raises(ValueError, match="the stream is closed; open another"):
        stream(moving_squares(1)[0])


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ValueError, match="latency must be at least 1 frame, got 0"):
        make().stream(latency=0)
    with pytest.raises(ValueError, match="dtype must be 'fp32' or 'bf16', got 'fp8'"):
        make(dtype="fp8")
    with pytest.raises(ValueError, match="short_edge must be positive, got 0"):
        make(short_edge=0)
    with pytest.raises(ValueError, match="max_size must be positive, got 0"):
        make(max_size=0)
