"""Problems of multi-scale deformable attention, and what the kernels must give for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from hypothesis import strategies as st
from tolerances import NORM_RATIO
from torch import Tensor

from vidgap_segmenter import ms_deform_attn, ms_deform_attn_fused


class Case(NamedTuple):
    """Sizes of one problem, and what its tensors are of."""

    batch: int
    queries: int
    heads: int
    channels: int
    points: int
    shapes: tuple[tuple[int, int], ...]
    numbers: int  # 0: plain; 2 or 4: fused with points or boxes
    value_dtype: torch.dtype
    weight_dtype: torch.dtype
    seed: int

    @property
    def tolerance(self) -> float:
        return max(NORM_RATIO[self.value_dtype], NORM_RATIO[self.weight_dtype])


DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    value_dtype = draw(st.sampled_from(DTYPES))
    narrow = [torch.float32, torch.bfloat16, torch.float16]
    return Case(
        batch=draw(st.integers(0, 3)),
        queries=draw(st.integers(0, 9)),
        heads=draw(st.integers(1, 5)),
        channels=draw(st.integers(1, 70)),
        points=draw(st.integers(1, 8)),
        shapes=tuple(draw(st.lists(st.tuples(*[st.integers(1, 9)] * 2), min_size=1, max_size=4))),
        numbers=draw(st.sampled_from([0, 2, 4])),
        value_dtype=value_dtype,
        weight_dtype=value_dtype if value_dtype == torch.float64 else draw(st.sampled_from(narrow)),
        seed=draw(st.integers(0, 2**31)),
    )


def make_inputs(case: Case, device: str = "cpu") -> list[Tensor]:
    """Inputs of the op; no sample lies near a whole pixel, where its gradient jumps."""
    generator = torch.Generator().manual_seed(case.seed)
    batch, queries, heads, channels, points, shapes, numbers, *_ = case
    levels, area = len(shapes), sum(h * w for h, w in shapes)
    coordinates = torch.float64 if case.value_dtype == torch.float64 else torch.float32
    kept_off = 0.1 if case.weight_dtype in (torch.float16, torch.bfloat16) and numbers else 0.02

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    sizes = torch.tensor([[w, h] for h, w in shapes], dtype=torch.float64)[:, None]
    spread = torch.rand(batch, queries, heads, levels, points, 2, generator=generator).double()
    whole = torch.randint(-3, 12, spread.shape, generator=generator)
    pixels = whole + kept_off + (1 - 2 * kept_off) * spread
    value = normal(batch, area, heads, channels).to(device, case.value_dtype)
    weights = normal(batch, queries, heads, levels, points).to(device, case.weight_dtype)
    if numbers == 0:
        return [value, ((pixels + 0.5) / sizes).to(device, coordinates), weights]
    reference = torch.rand(batch, queries, levels, numbers, generator=generator) * 0.8 + 0.2
    centre = reference[:, :, None, :, None, :2].double()
    offsets = pixels + 0.5 - centre * sizes
    if numbers == 4:
        offsets = offsets * 2 * points / (reference[:, :, None, :, None, 2:] * sizes)
    offsets = offsets.to(device, case.weight_dtype)
    return [value, reference.to(device, coordinates), offsets, weights.flatten(3)]


def run(case: Case, inputs: Sequence[Tensor], backend: str) -> list[Tensor]:
    """Return the output and the gradient of each input, for a fixed gradient of the output."""
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    function = ms_deform_attn_fused if case.numbers else ms_deform_attn
    out = function(leaves[0], case.shapes, *leaves[1:], backend=backend)
    # Rounded as the narrow dtype has it, in the oracle too.
    pull = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view(out.shape)
    return [out.detach(), *torch.autograd.grad(out, leaves, pull.to(case.value_dtype).to(out))]


def assert_close_to_float64(case: Case, inputs: Sequence[Tensor], found: Sequence[Tensor]) -> None:
    wanted = run(case, [tensor.cpu().double() for tensor in inputs], "reference")
    for have, want, like in zip(found, wanted, [inputs[0], *inputs], strict=True):
        assert have.dtype == like.dtype
        error = (have.cpu().double() - want).norm()
        # Inputs are of size 1: a tensor far smaller than that is the rest of a cancellation.
        size = max(float(want.norm()), 1.0)
        assert error <= case.tolerance * size, f"{error / size:.1e}"


MODEL = Case(2, 700, 8, 32, 4, ((5, 10), (10, 20), (20, 40)), 2, *[torch.float32] * 2, 0)
