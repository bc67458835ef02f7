"""What trackers are given: shapes that are checked, one transfer to the CPU, masks on demand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vidgap_segmenter import ClipOutput
from vidgap_vis.trackers import Detections, detections_of
from vidgap_vis.trackers.detections import LogitMasks, packed, unpacked


def output(num_clips: int = 1) -> ClipOutput:
    """5 queries, 3 frames of 30x50 padded to 32x64, 2 classes, stride 4."""
    generator = torch.Generator().manual_seed(0)
    return ClipOutput(
        class_logits=torch.randn(num_clips, 5, 3, 3, generator=generator),
        mask_logits=torch.randn(num_clips, 5, 3, 8, 16, generator=generator),
        embeddings=torch.randn(num_clips, 5, 3, 4, generator=generator),
        auxiliary=(),
        frame_size=(30, 50),
        padded_size=(32, 64),
    )


def test_detections_are_the_frames_of_a_clip_without_padding() -> None:
    clip = output()
    frames = detections_of(clip, torch.tensor([1.0, 0.0]))
    assert len(frames) == 3
    for time, frame in enumerate(frames):
        wanted = clip.class_logits[0, :, time].softmax(-1)[:, :2] * torch.tensor([1.0, 0.0])
        np.testing.assert_array_equal(frame.class_probabilities, wanted.numpy())
        np.testing.assert_array_equal(frame.embeddings, clip.embeddings[0, :, time].numpy())
        # 30 of 32 rows are 8 cells, 50 of 64 columns 12.5: a cell that is half there counts.
        masks = clip.mask_logits[0, :, time, :8, :13] > 0
        np.testing.assert_array_equal(frame.masks, masks.numpy())


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str
)
def test_masks_are_those_of_the_logits_whenever_they_are_made(dtype: torch.dtype) -> None:
    clip = output()
    logits = clip.mask_logits.to(dtype)
    logits[0, 0, 0, 0, :4] = torch.tensor([0.0, -0.0, torch.nan, torch.inf])
    rows = np.array([3, 0, 3])
    for time, frame in enumerate(detections_of(replace(clip, mask_logits=logits))):
        wanted = (logits[0, :, time, :8, :13] > 0).numpy()
        assert frame.masks.shape == wanted.shape
        assert frame.masks.dtype == np.bool_
        np.testing.assert_array_equal(frame.masks, wanted)
        np.testing.assert_array_equal(frame.masks[rows], wanted[rows])
        assert frame.masks[rows[:0]].shape == (0, 8, 13)


def test_masks_are_made_of_the_rows_that_are_read_alone() -> None:
    logits = np.zeros((3, 2, 4), np.float32)
    masks = LogitMasks(logits)
    assert not masks[np.array([1])].any()
    logits[1] = 1
    assert masks[np.array([1])].all()
    assert len(masks) == 3
    with pytest.raises(ValueError, match="copy must not be False"):
        np.asarray(masks, copy=False)


def test_boxes_and_class_logits_come_where_they_are_asked_for() -> None:
    clip = output()
    assert detections_of(clip)[0].boxes is None
    assert detections_of(clip, needs={"boxes"})[0].boxes is None  # the network has none
    boxed = replace(clip, boxes=torch.rand(1, 5, 3, 4))
    for time, frame in enumerate(detections_of(boxed, needs={"boxes", "class_logits"})):
        assert frame.boxes is not None
        assert frame.class_logits is not None
        np.testing.assert_array_equal(frame.boxes, boxed.boxes[0, :, time].numpy())
        np.testing.assert_array_equal(frame.class_logits, clip.class_logits[0, :, time].numpy())


def test_detections_are_of_one_clip() -> None:
    with pytest.raises(ValueError, match="output must hold one clip, got 2"):
        detections_of(output(2))


def test_what_travels_as_bytes_comes_back_as_it_was() -> None:
    tensors = [
        torch.randn(3, 4, dtype=torch.float64),
        torch.randn(2, 5),
        torch.randn(7) > 0,
        torch.zeros(0, 3, dtype=torch.bool),
        (torch.randn(4, 6) > 0).t(),
    ]
    for found, wanted in zip(unpacked(packed(tensors), tensors), tensors, strict=True):
        assert found.dtype == wanted.numpy().dtype
        np.testing.assert_array_equal(found, wanted.numpy())


@pytest.mark.parametrize(
    ("probabilities", "embeddings", "masks", "message"),
    [
        ((4,), (4, 3), (4, 2, 2), r"class_probabilities must be \(Q, K\), got \(4,\)"),
        ((4, 0), (4, 3), (4, 2, 2), r"class_probabilities must be \(Q, K\), got \(4, 0\)"),
        ((4, 2), (5, 3), (4, 2, 2), r"embeddings must be \(4, C\), got \(5, 3\)"),
        ((4, 2), (4, 3), (4, 2), r"masks must be \(4, h, w\) bool, got \(4, 2\) bool"),
    ],
)
def test_wrong_shapes_are_named(
    probabilities: tuple[int, ...],
    embeddings: tuple[int, ...],
    masks: tuple[int, ...],
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        Detections(
            np.zeros(probabilities, np.float32),
            np.zeros(embeddings, np.float32),
            np.zeros(masks, np.bool_),
        )


def test_boxes_of_other_queries_are_named() -> None:
    numbers = np.zeros((4, 2), np.float32)
    with pytest.raises(ValueError, match=r"boxes must be \(4, 4\), got \(3, 4\)"):
        Detections(numbers, numbers, np.zeros((4, 2, 2), np.bool_), np.zeros((3, 4), np.float32))
