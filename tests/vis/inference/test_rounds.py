"""Videos that advance together: whose turn it is, what shares a step, and the same results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from tolerances import SHARED_STEP, TOLERANCE
from torch import Tensor
from vis.inference.test_predict import write_folder
from vis.support.learned_heads import KINDS, small_head
from vis.support.stream_model import moving_squares
from vis.support.tiny_runs import CLASSES, TEMPORAL, make_model

from vidgap_segmenter.temporal import TemporalState
from vidgap_vis import VideoSegmenter
from vidgap_vis.errors import InputError
from vidgap_vis.formats.rle import Rle
from vidgap_vis.inference.groups import Group
from vidgap_vis.inference.predict import PredictOptions, predict
from vidgap_vis.inference.rounds import Task, Turn, rounds, stacked
from vidgap_vis.trackers import IndexAssociator, OnlineTracker
from vidgap_vis.trackers.joint import JointOptions, JointTracker
from vidgap_vis.trackers.memory import MemoryOptions
from vidgap_vis.weights import save

SIZE = (32, 48)
FRAMES = moving_squares(11, SIZE)


def lane(number: int, length: int, opened: list[int]) -> Iterator[Turn]:
    opened.append(number)
    task = cast(Task, SimpleNamespace(number=number))
    for index in range(length):
        yield Turn(task, cast(Group, index))
    yield Turn(task, None)


@pytest.mark.parametrize("together", [1, 2, 3, 9])
@pytest.mark.parametrize("lengths", [(), (0,), (3,), (2, 0, 4, 1, 0, 3)], ids=str)
def test_every_video_has_its_turns_in_order_and_ends_alone(
    lengths: tuple[int, ...], together: int
) -> None:
    opened: list[int] = []
    videos = (lane(number, length, opened) for number, length in enumerate(lengths))
    seen: dict[int, list[object]] = {number: [] for number in range(len(lengths))}
    going: set[int] = set()
    for taken in rounds(videos, together):
        numbers = [turn.task.number for turn in taken]
        assert len(set(numbers)) == len(numbers) <= together
        for turn in taken:
            seen[turn.task.number].append(turn.group)
            going.add(turn.task.number)
        if taken[0].group is None:
            assert len(taken) == 1
            going -= set(numbers)
        assert len(going) <= together
    assert seen == {number: [*range(n), None] for number, n in enumerate(lengths)}
    assert sorted(opened) == list(range(len(lengths)))


def test_one_that_ends_is_replaced_in_the_same_round() -> None:
    opened: list[int] = []
    videos = (lane(number, length, opened) for number, length in enumerate((1, 3, 2)))
    shared = [
        [turn.task.number for turn in taken]
        for taken in rounds(videos, 2)
        if taken[0].group is not None
    ]
    assert shared == [[0, 1], [2, 1], [2, 1]]


def test_a_video_that_cannot_be_opened_comes_after_the_end_of_the_one_before() -> None:
    def broken() -> Iterator[Turn]:
        raise InputError("b.mp4", "", "does not decode")
        yield

    taken = rounds(iter([lane(0, 1, []), broken()]), 1)
    assert [turn.group for turn in next(taken)] == [0]
    assert [turn.group for turn in next(taken)] == [None]
    with pytest.raises(InputError, match=r"b\.mp4: does not decode"):
        next(taken)


def test_states_are_stacked() -> None:
    assert stacked([None, None]) is None
    one: TemporalState = [torch.ones(1, 2), torch.ones(1, 3)]
    assert stacked([one]) is one
    both = stacked([one, [torch.zeros(1, 2), torch.zeros(1, 3)]])
    assert both is not None
    assert [tuple(part.shape) for part in both] == [(2, 2), (2, 3)]


@pytest.fixture
def inputs(tmp_path: Path) -> list[Path]:
    """Five videos of as many lengths; the third has another size."""
    videos = {"a": FRAMES[:7], "b": FRAMES[2:], "c": moving_squares(5, (40, 64)),
              "d": FRAMES[4:7], "e": FRAMES[:1]}  # fmt: skip
    return [write_folder(tmp_path / "in" / name, frames) for name, frames in videos.items()]


def listed(
    segmenter: VideoSegmenter,
    inputs: list[Path],
    path: Path,
    together: int,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[list[dict[str, Any]], list[int]]:
    """Predict; return the entries, and how many clips each step of the network had."""
    clips: list[int] = []
    inner = segmenter.model.step

    def step(frames: Tensor, state: Any, **options: Any) -> Any:
        clips.append(len(frames))
        return inner(frames, state, **options)

    options = PredictOptions(progress=False, batch_videos=together)
    with monkeypatch.context() as patch:
        patch.setattr(segmenter.model, "step", step)
        summary = predict(inputs, segmenter, json=path, out=path.with_suffix(""), options=options)
    assert summary.num_frames == 25
    assert len(summary.overlays) == 5
    assert all(overlay.stat().st_size > 0 for overlay in summary.overlays)
    return json.loads(path.read_text()), clips


def decoded(mask: dict[str, Any]) -> np.ndarray:
    return Rle(tuple(mask["size"]), mask["counts"]).decode()


def assert_shared(
    segmenter: VideoSegmenter,
    inputs: list[Path],
    folder: Path,
    together: int,
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Videos that advance together share steps, and have the tracks that they have alone."""
    wanted, alone = listed(segmenter, inputs, folder / "alone.json", 1, monkeypatch)
    found, shared = listed(segmenter, inputs, folder / "shared.json", together, monkeypatch)
    assert_same_tracks(found, wanted, dtype)
    assert set(alone) == {1}
    assert 1 < max(shared) <= together
    assert sum(shared) == len(alone)


def assert_same_tracks(
    one: list[dict[str, Any]], other: list[dict[str, Any]], dtype: torch.dtype
) -> None:
    assert len(one) > 5
    keys = ("video_id", "category_id")
    assert [[e[key] for key in keys] for e in one] == [[e[key] for key in keys] for e in other]
    assert [e["video_id"] for e in one] == sorted(e["video_id"] for e in one)
    for entry, wanted in zip(one, other, strict=True):
        np.testing.assert_allclose(entry["score"], wanted["score"], **TOLERANCE[dtype])
        masks = zip(entry["segmentations"], wanted["segmentations"], strict=True)
        for mask, truth in masks:
            if dtype == torch.float64 or None in (mask, truth):
                assert mask == truth
            else:  # rounding moves a pixel where a logit is zero
                assert (decoded(mask) != decoded(truth)).mean() <= SHARED_STEP


QUERIES = MemoryOptions(min_score=0.0, duplicate_iou=1.0)
FOLLOWED = {
    "mask2former": lambda: OnlineTracker(IndexAssociator(QUERIES)),
    "mask_dino": lambda: OnlineTracker(IndexAssociator(QUERIES)),
    "mask2former_vis": lambda: JointTracker(JointOptions(3, 1, min_score=0.0)),
}
"""Trackers that show every query, by index: one that were another video's would be seen."""


@pytest.mark.parametrize("architecture", FOLLOWED)
@pytest.mark.parametrize(
    ("temporal", "together"), [(None, 2), (TEMPORAL, 4)], ids=["per frame", "temporal"]
)
def test_videos_that_share_steps_have_the_same_tracks(
    architecture: str,
    temporal: object,
    together: int,
    tmp_path: Path,
    inputs: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In float64, to the run length."""
    model = make_model(architecture=architecture, temporal=temporal).double()
    tracker = FOLLOWED[architecture]
    segmenter = VideoSegmenter(model, CLASSES, device="cpu", tracker=tracker, score_threshold=0.0)
    assert_shared(segmenter, inputs, tmp_path, together, torch.float64, monkeypatch)


@pytest.mark.parametrize("kind", KINDS)
def test_learned_trackers_share_steps(
    kind: str, tmp_path: Path, inputs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one pass and in two."""
    model = make_model()
    save(tmp_path / "weights", model, CLASSES, {}, head=small_head(kind, model))
    segmenter = VideoSegmenter.from_pretrained(tmp_path / "weights", device="cpu", top_k=4)
    assert_shared(segmenter, inputs, tmp_path, 3, torch.float32, monkeypatch)
