"""Points on masks: bilinear samples, and the choice of uncertain points."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import TOLERANCE

from vidgap_segmenter.points import (
    frame_masks,
    sample_logits,
    sample_masks,
    uncertain_points,
    uniform,
)

sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))
paddings = st.tuples(st.integers(0, 8), st.integers(0, 8))


@settings(max_examples=40, deadline=None)
@given(size=sizes, padding=paddings, seed=st.integers(0, 2**31))
def test_bool_masks_are_sampled_as_grid_sample_samples_padded_floats(
    size: tuple[int, int], padding: tuple[int, int], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(3, *size, generator=generator) < 0.5
    which = torch.tensor([2, 0, 0, 1])
    points = torch.rand(4, 20, 2, generator=generator, dtype=torch.float64)
    points[0, :4] = torch.tensor([[0, 0], [1, 1], [0, 1], [1, 0]])
    padded_size = (size[0] + padding[0], size[1] + padding[1])
    padded = F.pad(masks.double(), (0, padding[1], 0, padding[0]))
    wanted = F.grid_sample(padded[which][:, None], 2 * points[:, None] - 1, align_corners=False)
    sampled = sample_masks(frame_masks(masks), which, points, padded_size)
    torch.testing.assert_close(sampled, wanted[:, 0, 0], **TOLERANCE[torch.float64])


def test_no_masks_give_no_samples() -> None:
    none = torch.zeros(0, 4, 5, dtype=torch.bool)
    index, points = torch.zeros(0, dtype=torch.int64), torch.zeros(0, 7, 2)
    assert sample_masks(frame_masks(none), index, points, (32, 32)).shape == (0, 7)
    assert sample_logits(torch.zeros(0, 1, 4, 5), points).shape == (0, 1, 7)


def test_channels_share_their_points() -> None:
    logits = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    points = torch.rand(2, 6, 2)
    for channel in range(3):
        alone = sample_logits(logits[:, channel : channel + 1], points)
        torch.testing.assert_close(sample_logits(logits, points)[:, channel], alone[:, 0])


def test_the_least_certain_candidates_are_kept_and_the_others_added() -> None:
    logits = torch.linspace(-3, 3, 64).view(1, 1, 64).expand(2, 8, 64)
    candidates, others = torch.rand(2, 30, 2), torch.rand(2, 5, 2)
    points = uncertain_points(logits, candidates, others, 10)
    assert points.shape == (2, 15, 2)
    assert torch.equal(points[:, 10:], others)
    certainty = sample_logits(logits[:, None], candidates)[:, 0].abs()
    kept = sample_logits(logits[:, None], points[:, :10])[:, 0].abs()
    torch.testing.assert_close(kept.sort(1).values, certainty.sort(1).values[:, :10])


@pytest.mark.parametrize("shape", [(0, 4, 2), (3, 5, 2)], ids=str)
def test_uniform_draws_from_the_default_generator(shape: tuple[int, ...]) -> None:
    torch.manual_seed(3)
    drawn = uniform(shape, device=torch.device("cpu"))
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(shape))
