"""The compiled kernels against the reference in float64, over sizes, dtypes, strides, threads."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from segmenter.conftest import BackendOnDevice, skip_unless
from segmenter.native_cases import (
    DTYPES,
    MODEL,
    Case,
    assert_close_to_float64,
    cases,
    make_inputs,
    run,
)
from tolerances import NORM_RATIO
from torch import Tensor

from vidgap_segmenter import ms_deform_attn, ms_deform_attn_fused
from vidgap_segmenter.ops import extension
from vidgap_segmenter.ops.ms_deform_attn import call

LEVELS_OF_X86 = ["x86-64-v4", "x86-64-v3", "baseline"]

pytestmark = [
    pytest.mark.usefixtures("poisoned_memory"),
    pytest.mark.filterwarnings("ignore:.*has no deterministic implementation:UserWarning"),
]


@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize("name", LEVELS_OF_X86)
def test_every_instruction_set_agrees_with_float64(name: str) -> None:
    native = extension.extension()
    before = native.cpu_kernels()
    if not native.use_cpu_kernels(name):
        pytest.skip(f"{name} is not built in, or this processor has it not")
    try:
        agree_on_the_cpu()
    finally:
        native.use_cpu_kernels(before)


@settings(max_examples=200, deadline=None)
@given(case=cases())
def agree_on_the_cpu(case: Case) -> None:
    inputs = make_inputs(case)
    assert_close_to_float64(case, inputs, run(case, inputs, "native"))


@pytest.fixture(params=[1, 2, 3])
def variant(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Each way in which the CUDA kernels read values."""
    skip_unless(BackendOnDevice("native", "cuda"))
    monkeypatch.setattr(call, "variant", request.param)
    return request.param


@pytest.mark.usefixtures("variant")
def test_every_variant_on_a_gpu_agrees_with_float64() -> None:
    agree_on_a_gpu()


@settings(max_examples=200, deadline=None)
@given(case=cases())
def agree_on_a_gpu(case: Case) -> None:
    inputs = make_inputs(case, "cuda")
    assert_close_to_float64(case, inputs, run(case, inputs, "native"))


@pytest.mark.usefixtures("variant")
@pytest.mark.parametrize("levels", [3, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_every_variant_agrees_on_the_sizes_of_the_networks(dtype: torch.dtype, levels: int) -> None:
    shapes = ((3, 5), *MODEL.shapes)[-levels:]
    case = MODEL._replace(value_dtype=dtype, weight_dtype=dtype, shapes=shapes)
    inputs = make_inputs(case, "cuda")
    assert_close_to_float64(case, inputs, run(case, inputs, "native"))


@pytest.mark.parametrize("numbers", [0, 2, 4])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_sizes_of_the_model_agree_with_float64(
    device: str, dtype: torch.dtype, numbers: int
) -> None:
    case = MODEL._replace(value_dtype=dtype, weight_dtype=dtype, numbers=numbers)
    inputs = make_inputs(case, device)
    assert_close_to_float64(case, inputs, run(case, inputs, "native"))


def test_offsets_and_logits_of_two_dtypes_keep_them(device: str) -> None:
    case = MODEL._replace(queries=9)
    value, reference, offsets, logits = make_inputs(case, device)
    inputs = [value.bfloat16(), reference, offsets.half(), logits.double()]
    case = case._replace(value_dtype=torch.bfloat16, weight_dtype=torch.bfloat16)
    assert_close_to_float64(case, inputs, run(case, inputs, "native"))


@pytest.mark.parametrize("numbers", [0, 4])
def test_views_of_any_stride_and_alignment_give_the_same(device: str, numbers: int) -> None:
    case = MODEL._replace(queries=31, numbers=numbers)
    inputs = make_inputs(case, device)
    wanted = run(case, inputs, "native")

    def transposed(tensor: Tensor) -> Tensor:
        return tensor.transpose(0, 2).contiguous().transpose(0, 2)

    def misaligned(tensor: Tensor) -> Tensor:
        room = tensor.new_empty(tensor.numel() + 1)
        room[1:].copy_(tensor.flatten())
        return room[1:].view(tensor.shape)

    def sliced(tensor: Tensor) -> Tensor:
        return torch.stack((tensor, tensor), dim=-1)[..., 0]

    for view in (transposed, misaligned, sliced):
        for have, want in zip(run(case, [view(x) for x in inputs], "native"), wanted, strict=True):
            ratio = (have - want).norm() / want.norm()
            assert ratio <= (0 if device == "cpu" else NORM_RATIO[torch.float32])


@pytest.mark.usefixtures("cpu")
def test_an_expanded_batch_gets_the_sum_of_its_gradients() -> None:
    case = MODEL._replace(queries=9)
    inputs = make_inputs(case._replace(batch=1))
    wanted = run(case, [x.expand(2, *x.shape[1:]).contiguous() for x in inputs], "native")
    leaves = [x.clone().requires_grad_() for x in inputs]
    out = ms_deform_attn_fused(leaves[0].expand(2, -1, -1, -1), case.shapes,
                               *(x.expand(2, *x.shape[1:]) for x in leaves[1:]))  # fmt: skip
    pull = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view(out.shape).to(out)
    for have, want in zip(torch.autograd.grad(out, leaves, pull), wanted[1:], strict=True):
        torch.testing.assert_close(have, want.sum(0, keepdim=True))


@pytest.mark.usefixtures("cpu", "threads")
@pytest.mark.parametrize("batch", [1, 3], ids=["one", "three"])
def test_the_number_of_threads_changes_no_bit(batch: int) -> None:
    case = MODEL._replace(batch=batch, heads=3)
    inputs = make_inputs(case)
    results = []
    for number in (1, 2, 5, 16):
        torch.set_num_threads(number)
        results.append(run(case, inputs, "native"))
    for other in results[1:]:
        assert all(a.equal(b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e30, -1e30, 3e38], ids=str)
@pytest.mark.parametrize("numbers", [0, 2, 4])
def test_far_and_non_finite_places_leave_the_others_alone(
    device: str, bad: float, numbers: int
) -> None:
    case = MODEL._replace(queries=33, numbers=numbers)
    inputs = make_inputs(case, device)
    locations = inputs[2 if numbers else 1]
    locations.view(-1)[::7] = bad
    found = run(case, inputs, "native")
    assert all(tensor.isfinite().all() for tensor in found)
    assert_close_to_float64(case, inputs, found)


def test_values_that_are_not_finite_stay_where_they_are_sampled(device: str) -> None:
    value = torch.zeros(1, 12, 1, 3, device=device)
    value[0, 0] = math.inf
    locations = torch.tensor([[2.5 / 4, 2.5 / 3], [5.0, 5.0], [0.5 / 4, 0.5 / 3]], device=device)
    locations = locations.view(1, 3, 1, 1, 1, 2)
    out = ms_deform_attn(value, [(3, 4)], locations, torch.ones(1, 3, 1, 1, 1, device=device))
    assert out[0, :2].eq(0).all()
    assert not out[0, 2].isfinite().any()


def test_logits_that_are_no_numbers_make_outputs_that_are_none(device: str) -> None:
    inputs = make_inputs(MODEL._replace(queries=3), device)
    bits = torch.tensor([0x7FC00001], dtype=torch.int32, device=device)
    inputs[3].view(-1)[5] = bits.view(torch.float32)[0]
    out = ms_deform_attn_fused(inputs[0], MODEL.shapes, *inputs[1:], backend="native")
    assert out[0, 0, :32].isnan().all()
    assert out[0, 0, 32:].isfinite().all()


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two GPUs are visible")
def test_another_than_the_current_device_computes_and_stays_another() -> None:
    inputs = make_inputs(MODEL, "cuda:1")
    assert_close_to_float64(MODEL, inputs, run(MODEL, inputs, "native"))
    assert torch.cuda.current_device() == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is visible")
def test_a_cuda_graph_replays_on_a_side_stream_without_a_sync() -> None:
    inputs = make_inputs(MODEL, "cuda")
    wanted = run(MODEL, inputs, "native")
    graph = torch.cuda.CUDAGraph()
    try:
        torch.cuda.set_sync_debug_mode("error")
        with torch.cuda.graph(graph):
            out = ms_deform_attn_fused(inputs[0], MODEL.shapes, *inputs[1:])
        out.zero_()
        graph.replay()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(out, wanted[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is visible")
def test_more_than_two_to_the_31_elements_are_addressed() -> None:
    batch, side = 9, 1024  # 9 * 1024^2 tokens of 256 channels
    if torch.cuda.mem_get_info()[0] < 12 * 2**30:
        pytest.skip("less than 12 GiB of GPU memory are free")
    value = torch.zeros(batch, side * side, 8, 32, dtype=torch.bfloat16, device="cuda")
    value[-1, -1] = 1.0
    locations = torch.full((batch, 1, 8, 1, 1, 2), 1 - 0.5 / side, device="cuda")
    weights = torch.ones(batch, 1, 8, 1, 1, dtype=torch.bfloat16, device="cuda")
    out = ms_deform_attn(value, [(side, side)], locations, weights)
    assert out[-1].eq(1).all()
    assert out[:-1].eq(0).all()
