"""The results of a video: scores, ranking, masks of a part at a time."""

from __future__ import annotations

import pytest
import torch

from vidgap_vis.trackers.dvis import best_pairs, offline_scores, online_scores, result_masks

SIZES = {"padded_size": (16, 32), "frame_size": (12, 30), "size": (24, 60)}


def test_scores_leave_no_instance_out_after_the_softmax() -> None:
    logits = torch.tensor([[0.0, 1.0, 3.0]])
    torch.testing.assert_close(online_scores(logits), logits.softmax(-1)[:, :2])
    other = torch.tensor([[1.0, 0.0, 0.0]])
    wanted = torch.stack([logits.softmax(-1), other.softmax(-1)]).amax(0)[:, :2]
    torch.testing.assert_close(offline_scores(logits, other), wanted)
    assert online_scores(logits.bfloat16()).dtype == torch.float32


def test_pairs_are_ranked_by_score_then_label_then_query() -> None:
    best = best_pairs(torch.tensor([[0.5, 0.9], [0.5, 0.1], [0.2, 0.5]]), 5)
    assert best.queries.tolist() == [0, 0, 1, 2, 2]
    assert best.labels.tolist() == [1, 0, 0, 1, 0]
    assert best.scores.tolist() == pytest.approx([0.9, 0.5, 0.5, 0.5, 0.2])
    assert len(best_pairs(torch.rand(2, 3), 100).scores) == 6


def test_masks_of_windows_are_those_of_the_video() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 5, 4, 8, generator=generator)
    whole = result_masks(logits, **SIZES)
    assert whole.shape == (3, 5, 24, 60)
    assert whole.dtype == torch.bool
    parts = [result_masks(part, **SIZES) for part in logits.split(2, dim=1)]
    assert torch.equal(torch.cat(parts, dim=1), whole)
    assert result_masks(logits[:0], **SIZES).shape == (0, 5, 24, 60)


def test_what_lies_in_the_padding_is_cut_off() -> None:
    logits = torch.full((1, 1, 4, 8), -1.0)
    logits[..., 3, :] = 1.0  # rows 12 to 16 of the padded frame
    assert not result_masks(logits, **SIZES)[..., :20, :].any()


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"refined_logits must be \(2, 3\) as mean_logits"):
        offline_scores(torch.zeros(2, 3), torch.zeros(3, 3))
    with pytest.raises(ValueError, match=r"scores must be \(Q, K\)"):
        best_pairs(torch.zeros(3), 1)
    with pytest.raises(ValueError, match="top_n must be at least 1, got 0"):
        best_pairs(torch.zeros(3, 2), 0)
    with pytest.raises(ValueError, match=r"logits must be \(N, T, h, w\)"):
        result_masks(torch.zeros(3, 4, 8), **SIZES)
    with pytest.raises(ValueError, match=r"frame_size must be within the padded \(16, 32\)"):
        result_masks(torch.zeros(1, 1, 4, 8), **(SIZES | {"frame_size": (17, 30)}))
