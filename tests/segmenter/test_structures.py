"""What crosses the border checks itself."""

from __future__ import annotations

import pytest
import torch
from segmenter.support import random_targets

from vidgap_segmenter import ClipOutput, ClipTargets, Instances, Prediction
from vidgap_segmenter.structures import describe

LABELS, IDS = torch.zeros(2, dtype=torch.int64), torch.arange(2)
MASKS = torch.zeros(2, 3, 4, 5, dtype=torch.bool)


def test_targets_name_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"labels must be \(N,\) int64, got shape \(2,\) float32"):
        ClipTargets(LABELS.float(), MASKS, IDS)
    with pytest.raises(ValueError, match=r"masks must be \(2, T, H, W\) bool, got shape \(2, 4, 5"):
        ClipTargets(LABELS, MASKS[:, 0], IDS)
    with pytest.raises(ValueError, match=r"masks must be .* got shape \(2, 3, 4, 5\) uint8"):
        ClipTargets(LABELS, MASKS.byte(), IDS)
    with pytest.raises(ValueError, match=r"ids must be \(2,\) int64, got shape \(1,\) int64"):
        ClipTargets(LABELS, MASKS, IDS[:1])


def test_targets_move_to_a_device() -> None:
    moved = random_targets(2, (1, 8, 8)).to("meta")
    assert {t.device.type for t in (moved.labels, moved.masks, moved.ids)} == {"meta"}
    assert len(moved) == 2


def test_targets_are_equal_to_themselves_alone() -> None:
    assert (targets := ClipTargets(LABELS, MASKS, IDS)) == targets
    assert targets != ClipTargets(LABELS, MASKS, IDS)


def test_predictions_name_what_does_not_fit() -> None:
    logits, masks = torch.zeros(1, 4, 2, 3), torch.zeros(1, 4, 2, 8, 8)
    with pytest.raises(ValueError, match=r"\(B, Q, T, K\), got shape \(4"):
        Prediction(logits[0], masks)
    with pytest.raises(ValueError, match=r"mask_logits must be \(1, 4, 2\) \+ \(h, w\), got"):
        Prediction(logits, masks[:, :3])
    with pytest.raises(ValueError, match=r"embeddings must be \(1, 4, 2\) \+ \(C,\), got shape"):
        ClipOutput(logits, masks, torch.zeros(1, 4, 3, 6), (), (8, 8), (32, 32))
    with pytest.raises(ValueError, match=r"mask_logits must be \(1, 4, 2\) \+ \(h, w\), got"):
        ClipOutput(logits, masks[:, :3], torch.zeros(1, 4, 2, 6), (), (8, 8), (32, 32))


def test_levels_begin_with_the_last() -> None:
    logits, masks = torch.zeros(1, 4, 2, 3), torch.zeros(1, 4, 2, 8, 8)
    first = Prediction(logits + 1, masks + 1)
    output = ClipOutput(logits, masks, torch.zeros(1, 4, 2, 6), (first,), (8, 8), (32, 32))
    assert [level.class_logits.max().item() for level in output.levels] == [0, 1]


def test_instances_are_of_one_length() -> None:
    scores, masks = torch.zeros(2), torch.zeros(2, 4, 5, dtype=torch.bool)
    assert len(Instances(LABELS, scores, masks, IDS)) == 2
    with pytest.raises(ValueError, match=r"must be of one length with masks \(N, H, W\), got"):
        Instances(LABELS, scores[:1], masks, IDS)


def test_a_tensor_is_described_in_words() -> None:
    assert describe(torch.zeros(2, 0, dtype=torch.int32)) == "shape (2, 0) int32"
