"""Multi-scale deformable attention, every backend: against slow loops, gradients, errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from segmenter.conftest import BackendOnDevice
from tolerances import TOLERANCE
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from vidgap_segmenter import ms_deform_attn, ms_deform_attn_fused

Shapes = list[tuple[int, int]]
CASES = [
    # batch, queries, heads, channels, points, maps
    (2, 5, 2, 3, 4, [(3, 4), (6, 8), (1, 1)]),
    (1, 1, 1, 1, 1, [(5, 7)]),
    (0, 3, 2, 4, 2, [(2, 2)]),
    (2, 0, 2, 4, 2, [(2, 2), (1, 3)]),
    (2, 3, 0, 4, 2, [(2, 2)]),
    (2, 3, 2, 0, 2, [(2, 2)]),
    (2, 3, 2, 4, 0, [(2, 2)]),
]


def make_inputs(
    case: tuple[int, int, int, int, int, Shapes],
    dtype: torch.dtype = torch.float64,
    device: str = "cpu",
) -> tuple[Tensor, Shapes, Tensor, Tensor]:
    """Values, locations in and around the maps, and weights."""
    batch, queries, heads, channels, points, shapes = case
    generator = torch.Generator().manual_seed(0)
    area = sum(h * w for h, w in shapes)

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64).to(device, dtype)

    locations = 1.6 * draw(batch, queries, heads, len(shapes), points, 2) - 0.3
    weights = draw(batch, queries, heads, len(shapes), points)
    return 2 * draw(batch, area, heads, channels) - 1, shapes, locations, weights


def slow_loops(value: Tensor, shapes: Shapes, locations: Tensor, weights: Tensor) -> Tensor:
    """The definition, a sample at a time; a sample that is not finite is left out."""
    batch, _, heads, channels = value.shape
    queries, points = locations.shape[1], locations.shape[4]
    out = value.new_zeros(batch, queries, heads, channels)
    for b, q, m, level, p in (
        (b, q, m, level, p)
        for b in range(batch)
        for q in range(queries)
        for m in range(heads)
        for level in range(len(shapes))
        for p in range(points)
    ):
        height, width = shapes[level]
        start = sum(h * w for h, w in shapes[:level])
        x, y = locations[b, q, m, level, p].tolist()
        if not (math.isfinite(x) and math.isfinite(y)):
            continue
        x, y = x * width - 0.5, y * height - 0.5
        for row in (math.floor(y), math.floor(y) + 1):
            for column in (math.floor(x), math.floor(x) + 1):
                if 0 <= row < height and 0 <= column < width:
                    share = (1 - abs(y - row)) * (1 - abs(x - column))
                    token = value[b, start + row * width + column, m]
                    out[b, q, m] += weights[b, q, m, level, p] * share * token
    return out.flatten(2)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_backend_agrees_with_slow_loops(
    case: tuple[int, int, int, int, int, Shapes], on: BackendOnDevice
) -> None:
    inputs = make_inputs(case, device=on.device)
    out = ms_deform_attn(*inputs, backend=on.backend)
    assert out.shape == (case[0], case[1], case[2] * case[3])
    torch.testing.assert_close(out, slow_loops(*inputs), **TOLERANCE[torch.float64])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_narrow_values_agree_with_float64_and_keep_their_dtype(
    dtype: torch.dtype, on: BackendOnDevice
) -> None:
    value, shapes, locations, weights = make_inputs(CASES[0], device=on.device)
    out = ms_deform_attn(
        value.to(dtype), shapes, locations.float(), weights.to(dtype), backend=on.backend
    )
    assert out.dtype == dtype
    wanted = ms_deform_attn(value, shapes, locations, weights, backend="reference").to(dtype)
    torch.testing.assert_close(out, wanted, **TOLERANCE[dtype])


def test_gradients_agree_with_differences(on: BackendOnDevice) -> None:
    case = (1, 3, 2, 2, 2, [(3, 4), (2, 2)])
    value, shapes, locations, weights = make_inputs(case, device=on.device)
    leaves = [tensor.requires_grad_() for tensor in (value, locations, weights)]

    def run(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        return ms_deform_attn(value, shapes, locations, weights, backend=on.backend)

    assert torch.autograd.gradcheck(run, leaves, nondet_tol=1e-12)


@pytest.mark.parametrize("numbers", [2, 4])
def test_fused_is_softmax_and_locations_then_attention(numbers: int, on: BackendOnDevice) -> None:
    value, shapes, _, weights = make_inputs(CASES[0], device=on.device)
    batch, queries, heads, levels, points = weights.shape
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(on.device)

    reference = draw(batch, queries, levels, numbers).sigmoid()
    offsets = 3 * draw(*weights.shape, 2)
    logits = draw(batch, queries, heads, levels * points)
    centre = reference[:, :, None, :, None, :2]
    if numbers == 2:
        sizes = torch.tensor([[w, h] for h, w in shapes], device=on.device)[:, None]
        locations = centre + offsets / sizes
    else:
        locations = centre + offsets / points * reference[:, :, None, :, None, 2:] * 0.5
    shares = logits.softmax(-1).view(weights.shape)
    wanted = ms_deform_attn(value, shapes, locations, shares, backend="reference")
    out = ms_deform_attn_fused(value, shapes, reference, offsets, logits, backend=on.backend)
    torch.testing.assert_close(out, wanted, **TOLERANCE[torch.float64])

    leaves = [tensor.requires_grad_() for tensor in (value, reference, offsets, logits)]

    def run(value: Tensor, reference: Tensor, offsets: Tensor, logits: Tensor) -> Tensor:
        return ms_deform_attn_fused(value, shapes, reference, offsets, logits, backend=on.backend)

    assert torch.autograd.gradcheck(run, leaves, fast_mode=True, nondet_tol=1e-12)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e30], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_a_location_that_is_nowhere_contributes_nothing(
    bad: float, dtype: torch.dtype, on: BackendOnDevice
) -> None:
    value, shapes, locations, weights = make_inputs(CASES[0], dtype, on.device)
    locations[0, 1, 0, 1, 2, 0] = bad
    locations[1, 0, 1, 0, 0] = bad
    leaves = [tensor.requires_grad_() for tensor in (value, locations, weights)]
    out = ms_deform_attn(leaves[0], shapes, leaves[1], leaves[2], backend=on.backend)
    wanted = slow_loops(
        *(
            t.detach().double() if isinstance(t, Tensor) else t
            for t in (value, shapes, locations, weights)
        )
    )
    torch.testing.assert_close(out.double(), wanted, **TOLERANCE[dtype])
    out.square().sum().backward()
    assert all(leaf.grad.isfinite().all() for leaf in leaves)
    for nowhere in ((0, 1, 0, 1, 2), (1, 0, 1, 0, 0)):
        assert locations.grad[nowhere].eq(0).all()
        assert weights.grad[nowhere] == 0


@pytest.mark.parametrize("numbers", [2, 4])
@pytest.mark.parametrize("bad", [math.nan, math.inf], ids=str)
def test_offsets_and_references_that_are_not_finite_get_no_gradient(
    bad: float, numbers: int, on: BackendOnDevice
) -> None:
    value, shapes, _, weights = make_inputs(CASES[0], device=on.device)
    batch, queries, heads, levels, points = weights.shape
    reference = value.new_full((batch, queries, levels, numbers), 0.5)
    reference[0, 2, 1, numbers - 1] = bad
    offsets = value.new_ones(*weights.shape, 2)
    offsets[1, 3, 0, 2, 1, 0] = bad
    logits = value.new_zeros(batch, queries, heads, levels * points)
    leaves = [tensor.requires_grad_() for tensor in (value, reference, offsets, logits)]
    out = ms_deform_attn_fused(leaves[0], shapes, *leaves[1:], backend=on.backend)
    out.square().sum().backward()
    assert out.isfinite().all()
    assert all(leaf.grad.isfinite().all() for leaf in leaves)
    assert offsets.grad[1, 3, 0, 2, 1].eq(0).all()
    assert offsets.grad[0, 2, :, 1].eq(0).all()


def test_strides_of_the_inputs_do_not_matter(on: BackendOnDevice) -> None:
    value, shapes, locations, weights = make_inputs(CASES[0], device=on.device)
    scattered = [
        tensor.transpose(0, 1).contiguous().transpose(0, 1)
        for tensor in (value, locations, weights)
    ]
    out = ms_deform_attn(scattered[0], shapes, scattered[1], scattered[2], backend=on.backend)
    wanted = ms_deform_attn(value, shapes, locations, weights, backend="reference")
    torch.testing.assert_close(out, wanted, **TOLERANCE[torch.float64])


def test_torch_compile_takes_it_whole(on: BackendOnDevice) -> None:
    value, shapes, locations, weights = make_inputs(CASES[0], device=on.device)
    compiled = torch.compile(ms_deform_attn, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(
        compiled(value, shapes, locations, weights, backend=on.backend),
        ms_deform_attn(value, shapes, locations, weights, backend=on.backend),
        **TOLERANCE[torch.float64],
    )


def run_plain(**changed: object) -> None:
    value, shapes, locations, weights = make_inputs(CASES[0], torch.float32)
    arguments = {
        "value": value,
        "spatial_shapes": shapes,
        "sampling_locations": locations,
        "attention_weights": weights,
    }
    ms_deform_attn(**(arguments | changed))


def run_fused(**changed: object) -> None:
    value, shapes, locations, weights = make_inputs(CASES[0], torch.float32)
    arguments = {
        "value": value,
        "spatial_shapes": shapes,
        "reference": torch.rand(2, 5, 3, 2),
        "offsets": locations,
        "logits": weights.flatten(3),
    }
    ms_deform_attn_fused(**(arguments | changed))


ERRORS: Sequence[tuple[Callable[..., None], dict[str, object], str]] = [
    (run_plain, {"value": torch.rand(2, 61, 6)}, r"value must be \(B, S, M, D\), got shape"),
    (run_plain, {"value": torch.ones(2, 61, 2, 3, dtype=torch.int32)}, "value must be floating"),
    (run_plain, {"spatial_shapes": [(3, 4), (6, 8)]}, r"cover 60 tokens, value has 61"),
    (run_plain, {"spatial_shapes": []}, r"spatial_shapes must be \(H, W\) of at least one map"),
    (
        run_plain,
        {"sampling_locations": torch.rand(2, 5, 2, 2, 4, 2)},
        r"sampling_locations must be \(B=2, Q, M=2, L=3, P, 2\), got shape \(2, 5, 2, 2, 4, 2\)",
    ),
    (
        run_plain,
        {"sampling_locations": torch.rand(2, 5, 2, 3, 4, 2).bfloat16()},
        "sampling_locations must be torch.float32 for torch.float32 value, got torch.bfloat16",
    ),
    (
        run_plain,
        {"attention_weights": torch.rand(2, 5, 2, 3, 3)},
        r"attention_weights must be \(2, 5, 2, 3, 4\) to match sampling_locations, got shape",
    ),
    (
        run_plain,
        {"attention_weights": torch.ones(2, 5, 2, 3, 4, device="meta")},
        "attention_weights must be on cpu as value is, got meta",
    ),
    (run_plain, {"backend": "triton"}, "ms_deform_attn: backend must be one of .*, got 'triton'"),
    (
        run_fused,
        {"offsets": torch.rand(2, 5, 2, 3, 4)},
        r"offsets must be \(B=2, Q, M=2, L=3, P, 2\), got shape \(2, 5, 2, 3, 4\)",
    ),
    (
        run_fused,
        {"reference": torch.rand(2, 4, 3, 2)},
        r"reference must be \(B=2, Q=5, L=3, 2 or 4\), got shape \(2, 4, 3, 2\)",
    ),
    (
        run_fused,
        {"reference": torch.rand(2, 5, 3, 3)},
        "reference must hold 2 or 4 numbers a point, got 3",
    ),
    (
        run_fused,
        {"logits": torch.rand(2, 5, 2, 11)},
        r"logits must be \(2, 5, 2, 12\) to match offsets, got shape \(2, 5, 2, 11\)",
    ),
]


@pytest.mark.parametrize(("run", "changed", "message"), ERRORS)
def test_an_argument_that_does_not_fit_is_named(
    run: Callable[..., None], changed: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run(**changed)


@pytest.mark.parametrize(("run", "changed", "message"), ERRORS)
def test_the_same_is_said_of_tensors_without_memory(
    run: Callable[..., None], changed: dict[str, object], message: str
) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True), pytest.raises(ValueError, match=message):
        run(**changed)
