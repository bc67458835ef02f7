"""How a way to compute window attention is compared with its definition in float64."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from temporal.conv_gru_parity import poisoned_memory, relative_error
from temporal.test_window_attention import CASES, make_inputs, options
from tolerances import NORM_RATIO
from torch import Tensor

from vidgap_temporal.ops import window_attention

# (B, T, H, W, C), heads, window, shift, partner. Beyond those of the definition: windows that fill
# no power of two, that share a block and that need several pieces, heads of one channel and of
# many, several blocks a program, and a partner in the third word.
MORE_CASES = [
    ((1, 1, 13, 7, 6), 2, 7, 3, None),
    ((1, 2, 5, 13, 3), 1, 12, 5, (1, 0)),
    ((1, 1, 10, 9, 1), 1, 9, 0, None),
    ((1, 1, 9, 8, 65), 1, 8, 4, None),
    ((1, 2, 9, 20, 20), 1, 8, 4, (1, 0)),
    ((1, 9, 2, 3, 3), 1, 2, 1, (4, 8, 0, 2, 1, 3, 7, 6, 5)),
]
ALL_CASES = [*CASES, *MORE_CASES]


def outputs_and_gradients(
    inputs: Sequence[Tensor], grad: Tensor, settings: dict, backend: str
) -> list[Tensor]:
    """Return the output and the gradients of q, k, v and bias."""
    out = window_attention(*inputs, **settings, backend=backend)
    return [out.detach(), *torch.autograd.grad(out, inputs, grad.to(out))]


def assert_agrees(case: tuple, dtype: torch.dtype, device: str = "cpu") -> None:
    """Compare the Triton backend with the reference in float64, in memory that held NaN."""
    shape, *of_case = case
    settings = options(*of_case)
    exact = [x.to(dtype).double().requires_grad_() for x in make_inputs(shape, *of_case[:2])]
    grad = torch.randn(shape, dtype=torch.float64).to(dtype)
    expected = outputs_and_gradients(exact, grad, settings, "reference")
    inputs = [x.detach().to(dtype).to(device).requires_grad_() for x in exact]
    with poisoned_memory():
        actual = outputs_and_gradients(inputs, grad, settings, "triton")
    names = ("output", "q", "k", "v", "bias")
    for name, one, other in zip(names, actual, expected, strict=True):
        assert one.shape == other.shape
        assert one.dtype == dtype
        error = relative_error(one.cpu(), other)
        assert error <= NORM_RATIO[dtype], f"{name}: {error}"
