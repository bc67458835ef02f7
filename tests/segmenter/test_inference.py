"""From decoder outputs to instances in frames."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tolerances import TOLERANCE
from torch import Tensor

from vidgap_segmenter import ClipOutput, instance_inference


def make_output(
    class_logits: Tensor,
    mask_logits: Tensor,
    frame_size: tuple[int, int] = (24, 28),
    padded_size: tuple[int, int] = (32, 32),
) -> ClipOutput:
    embeddings = torch.zeros(*class_logits.shape[:3], 4)
    return ClipOutput(class_logits, mask_logits, embeddings, (), frame_size, padded_size)


@pytest.fixture
def output() -> ClipOutput:
    torch.manual_seed(0)
    return make_output(torch.randn(2, 6, 3, 5), torch.randn(2, 6, 3, 8, 8))


def test_every_frame_is_ranked_as_the_formula_says(output: ClipOutput) -> None:
    size = (50, 61)
    result = instance_inference(output, size, top_k=7)
    assert [len(clip) for clip in result] == [3, 3]
    for clip in range(2):
        for frame in range(3):
            instances = result[clip][frame]
            assert instances.masks.shape == (7, *size)
            scores = output.class_logits[clip, :, frame].softmax(-1)[:, :4]
            large = F.interpolate(
                output.mask_logits[clip, :, frame][None],
                size=(32, 32),
                mode="bilinear",
                align_corners=False,
            )[:, :, :24, :28]
            large = F.interpolate(large, size=size, mode="bilinear", align_corners=False)[0]
            wanted = []
            for index in scores.flatten().topk(7).indices.tolist():
                query, label = divmod(index, 4)
                mask = large[query] > 0
                inside = large[query].sigmoid()[mask].sum() / (mask.sum() + 1e-6)
                wanted.append((float(scores[query, label] * inside), query, label))
            wanted.sort(reverse=True)
            assert instances.queries.tolist() == [query for _, query, _ in wanted]
            assert instances.labels.tolist() == [label for _, _, label in wanted]
            torch.testing.assert_close(
                instances.scores,
                torch.tensor([score for score, _, _ in wanted]),
                **TOLERANCE[torch.float32],
            )
            assert torch.equal(instances.masks, large[instances.queries] > 0)


def test_padding_is_cut_off_before_masks_are_resized() -> None:
    mask_logits = torch.full((1, 1, 1, 8, 8), 5.0)
    mask_logits[..., 6:, :] = -50  # the padded rows 24..31 of 32
    output = make_output(torch.zeros(1, 1, 1, 2), mask_logits, frame_size=(20, 32))
    instances = instance_inference(output, (40, 64))[0][0]
    assert instances.masks.all()


def test_there_are_never_more_instances_than_pairs_of_query_and_class(output: ClipOutput) -> None:
    instances = instance_inference(output, (24, 28))[0][0]
    assert len(instances) == 24
    assert len(set(zip(instances.queries.tolist(), instances.labels.tolist(), strict=True))) == 24


def test_an_empty_mask_scores_zero() -> None:
    output = make_output(torch.zeros(1, 2, 1, 2), torch.full((1, 2, 1, 8, 8), -3.0))
    instances = instance_inference(output, (24, 28))[0][0]
    assert instances.scores.eq(0).all()
    assert not instances.masks.any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
def test_scores_are_float32_for_every_dtype(output: ClipOutput, dtype: torch.dtype) -> None:
    cast = make_output(output.class_logits.to(dtype), output.mask_logits.to(dtype))
    instances = instance_inference(cast, (24, 28))[1][2]
    assert instances.scores.dtype == torch.float32
    assert instances.masks.dtype == torch.bool


def test_top_k_must_be_positive(output: ClipOutput) -> None:
    with pytest.raises(ValueError, match="top_k must be at least 1, got 0"):
        instance_inference(output, (24, 28), top_k=0)
