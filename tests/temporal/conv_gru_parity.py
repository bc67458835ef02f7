"""How a way to compute the ConvGRU is compared with its definition in float64."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from tolerances import NORM_RATIO
from torch import Tensor

from vidgap_temporal.ops import GRUWeights
from vidgap_temporal.ops.conv_gru import reference

Run = Callable[[Tensor, Tensor | None, GRUWeights], tuple[Tensor, Tensor]]

# (B, T, C, H, W), whether a state is given. Channels: none, some and all groups of 16 bytes full.
CASES = [
    ((1, 1, 1, 4, 6), False),
    ((2, 1, 3, 4, 5), True),
    ((1, 1, 8, 3, 4), False),
    ((1, 2, 8, 5, 4), True),
    ((2, 2, 20, 3, 3), False),
    ((3, 5, 4, 2, 7), False),
    ((2, 5, 16, 6, 3), True),
]
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


def draw_inputs(
    shape: tuple[int, ...], given: bool, dtype: torch.dtype, device: str = "cpu"
) -> list[Tensor | None]:
    """Return x, h, input, hidden and bias that want gradients, with gates well inside (0, 1)."""
    batch, _, channels, *size = shape

    def draw(*shape: int, scale: float = 1.0) -> Tensor:
        values = torch.randn(shape, dtype=torch.float64) * scale
        return values.to(dtype).to(device).requires_grad_()

    scale = (18 * channels) ** -0.5
    weight = (3 * channels, channels, 3, 3)
    h = draw(batch, channels, *size) if given else None
    return [
        draw(*shape),
        h,
        draw(*weight, scale=scale),
        draw(*weight, scale=scale),
        draw(weight[0]),
    ]


def outputs_and_gradients(
    run: Run, inputs: Sequence[Tensor | None], grads: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """Return both outputs and the gradients of all inputs; an output without `grads` is unused."""
    x, h, *weights = inputs
    outputs = run(x, h, GRUWeights(*weights))
    used = [(o, g) for o, g in zip(outputs, grads, strict=True) if g is not None]
    live = [i for i in inputs if i is not None and i.requires_grad]
    results, upstream = zip(*used, strict=True)
    found = torch.autograd.grad(results, live, upstream)
    return [*(o.detach() for o in outputs), *found]


def assert_agrees(
    run: Run, inputs: Sequence[Tensor | None], used: tuple[bool, bool] = (True, True)
) -> None:
    """Compare outputs and gradients with those of the definition in float64."""
    x = inputs[0]
    assert x is not None
    last = (x.shape[0], *x.shape[2:])
    drawn = (torch.randn(size, dtype=torch.float64) for size in (x.shape, last))
    grads = [g.to(x) if use else None for g, use in zip(drawn, used, strict=True)]
    actual = outputs_and_gradients(run, inputs, grads)
    exact = [
        None if i is None else i.detach().double().requires_grad_(i.requires_grad) for i in inputs
    ]
    exact_grads = [None if g is None else g.double() for g in grads]
    expected = outputs_and_gradients(reference.conv_gru, exact, exact_grads)
    for number, (a, b) in enumerate(zip(actual, expected, strict=True)):
        assert a is not None
        assert b is not None
        assert a.shape == b.shape
        error = relative_error(a, b)
        assert error <= NORM_RATIO[x.dtype], f"result {number}: {error}"


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Return |a - b| / |b|, where b counts as no less than the smallest of ordinary numbers."""
    scale = expected.double().norm().clamp_min(1e-3)
    return ((actual.double() - expected.double()).norm() / scale).item()


@contextlib.contextmanager
def poisoned_memory() -> Iterator[None]:
    """Let memory that torch hands out hold NaN until it is written."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
