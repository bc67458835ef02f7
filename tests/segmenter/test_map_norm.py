"""Group norm of maps: narrow groups go another way on a CPU, to the same result."""

from __future__ import annotations

import pytest
import torch
from tolerances import TOLERANCE
from torch import Tensor

from vidgap_segmenter.pixel_decoder import NARROW, NORM_GROUPS, MapNorm

CASES = [(2, (5, 7)), (1, (3, 4)), (4, (1, 1)), (NARROW - 1, (6, 2)), (NARROW, (3, 3))]


@pytest.mark.parametrize(("width", "size"), CASES, ids=str)
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format], ids=str)
def test_it_is_group_norm(
    width: int, size: tuple[int, int], memory_format: torch.memory_format
) -> None:
    generator = torch.Generator().manual_seed(0)
    channels = width * NORM_GROUPS
    norm = MapNorm(NORM_GROUPS, channels).double()
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    maps = 3 + 2 * torch.randn(2, channels, *size, generator=generator, dtype=torch.float64)
    maps = maps.contiguous(memory_format=memory_format).requires_grad_()
    found = norm(maps)
    wanted = torch.group_norm(maps, NORM_GROUPS, norm.weight, norm.bias, norm.eps)
    assert found.shape == wanted.shape
    torch.testing.assert_close(found, wanted, **TOLERANCE[torch.float64])
    inputs: list[Tensor] = [maps, *norm.parameters()]
    upstream = torch.randn(wanted.shape, generator=generator, dtype=torch.float64)
    gradients = torch.autograd.grad((found * upstream).sum(), inputs)
    expected = torch.autograd.grad((wanted * upstream).sum(), inputs)
    for one, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one, other, **TOLERANCE[torch.float64])


def test_half_precision_keeps_its_sums_in_float32() -> None:
    """Values round 20 have a step of 0.125 in bfloat16."""
    norm = MapNorm(NORM_GROUPS, 2 * NORM_GROUPS)
    maps = 20 + torch.randn(1, 2 * NORM_GROUPS, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        found = norm(maps)
    assert found.dtype == torch.float32
    wanted = norm.double()(maps.double()).float()
    torch.testing.assert_close(found, wanted, **TOLERANCE[torch.float32])
