"""The Triton backend of window attention where only a GPU can tell: streams, graphs, bits."""

from __future__ import annotations

import pytest
import torch
from temporal.test_window_attention import make_inputs, options
from temporal.window_attention_parity import ALL_CASES, assert_agrees, outputs_and_gradients
from tolerances import TOLERANCE
from torch import Tensor

from vidgap_temporal.ops import window_attention
from vidgap_temporal.ops.window_attention import obstacles

ON_CUDA = obstacles(torch.device("cuda"))["triton"] if torch.cuda.is_available() else "no GPU"
pytestmark = pytest.mark.skipif(ON_CUDA is not None, reason=str(ON_CUDA))

SHAPE, SETTINGS = (2, 5, 20, 44, 64), options(2, 8, 4, (3, 4, 0, 1, 2))
WIDE_CASES = [
    (SHAPE, 2, 8, 4, (3, 4, 0, 1, 2)),
    ((1, 2, 30, 17, 64), 1, 7, 3, None),
    ((1, 2, 9, 17, 128), 1, 4, 2, None),
    ((1, 3, 25, 31, 64), 2, 12, 6, (2, 0, 1)),
    ((1, 1, 33, 20, 32), 1, 16, 8, None),
]


def draw(dtype: torch.dtype = torch.bfloat16) -> tuple[list[Tensor], Tensor]:
    inputs = [x.cuda().requires_grad_() for x in make_inputs(SHAPE, 2, 8, dtype)]
    return inputs, torch.randn(SHAPE, device="cuda", dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", [*ALL_CASES, *WIDE_CASES], ids=str)
def test_agrees_with_float64(case, dtype):
    assert_agrees(case, dtype, "cuda")


def test_auto_takes_it():
    inputs, _ = draw()
    automatic = window_attention(*inputs, **SETTINGS)
    torch.testing.assert_close(
        automatic, window_attention(*inputs, **SETTINGS, backend="triton"), rtol=0, atol=0
    )
    assert "window_attention" in type(automatic.grad_fn).__name__


def test_results_have_the_same_bits_every_time():
    inputs, grad = draw()
    first = outputs_and_gradients(inputs, grad, SETTINGS, "triton")
    for _ in range(3):
        again = outputs_and_gradients(inputs, grad, SETTINGS, "triton")
        torch.testing.assert_close(again, first, rtol=0, atol=0)


def test_slices_that_no_vector_divides_agree():
    inputs, grad = draw(torch.float32)
    expected = outputs_and_gradients(inputs, grad, SETTINGS, "triton")
    wide = torch.cat([inputs[0][..., :1], *inputs[:3]], dim=-1).detach()
    slices = [x.requires_grad_() for x in wide[..., 1:].chunk(3, dim=-1)]
    actual = outputs_and_gradients([*slices, inputs[3]], grad, SETTINGS, "triton")
    torch.testing.assert_close(actual, expected, **TOLERANCE[torch.float32])


def test_nothing_waits_for_the_device():
    inputs, grad = draw()
    outputs_and_gradients(inputs, grad, SETTINGS, "triton")  # what happens once may wait
    torch.cuda.synchronize()
    try:
        torch.cuda.set_sync_debug_mode("error")
        outputs_and_gradients(inputs, grad, {**SETTINGS, "partner": (1, 0, 3, 2, 4)}, "triton")
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_runs_on_the_current_stream():
    inputs, grad = draw()
    expected = outputs_and_gradients(inputs, grad, SETTINGS, "triton")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        torch.cuda._sleep(10_000_000)
        actual = outputs_and_gradients(inputs, grad, SETTINGS, "triton")
    torch.cuda.current_stream().wait_stream(side)
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


def test_a_graph_holds_it_with_partners_never_seen_before():
    inputs, grad = draw()
    outputs_and_gradients(inputs, grad, SETTINGS, "triton")  # compiles
    settings = {**SETTINGS, "partner": (4, 3, 2, 1, 0)}
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # autograd, on the stream that a capture takes
        outputs_and_gradients(inputs, grad, SETTINGS, "triton")
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        held = outputs_and_gradients(inputs, grad, settings, "triton")
    with torch.no_grad():
        for x in inputs:
            x.mul_(-0.5)
    graph.replay()
    expected = outputs_and_gradients(inputs, grad, settings, "triton")
    torch.testing.assert_close(held, expected, rtol=0, atol=0)


def test_torch_compile_takes_it_whole():
    def step(*inputs: Tensor) -> Tensor:
        return window_attention(*inputs, **SETTINGS).float().square().sum()

    inputs, _ = draw()
    have = torch.autograd.grad(torch.compile(step, fullgraph=True)(*inputs), inputs)
    want = torch.autograd.grad(step(*inputs), inputs)
    torch.testing.assert_close(have, want, **TOLERANCE[torch.bfloat16])


def test_autocast_adds_a_float32_table():
    inputs, grad = draw(torch.float32)
    expected = outputs_and_gradients(inputs, grad, SETTINGS, "reference")
    mixed = [x.detach().bfloat16().requires_grad_() for x in inputs[:3]]
    mixed.append(inputs[3])
    with torch.autocast("cuda", dtype=torch.bfloat16):
        out = window_attention(*mixed, **SETTINGS)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.detach().float(), expected[0], **TOLERANCE[torch.bfloat16])
    [bias_grad] = torch.autograd.grad(out, mixed[3:], grad.bfloat16())
    assert bias_grad.dtype == torch.float32


def test_offsets_past_two_billion_are_right():
    if torch.cuda.mem_get_info()[0] < 20 * 2**30:
        pytest.skip("needs 20 GiB")
    one = torch.randn(1, 1, 192, 192, 64, device="cuda", dtype=torch.float16)
    q = one.expand(1024, -1, -1, -1, -1).contiguous()
    assert q.numel() > 2**31
    bias = torch.zeros(2, 225, device="cuda", dtype=torch.float16)
    out = window_attention(q, q, q, bias, **options(2, 8, 4))
    torch.testing.assert_close(out[-1], out[0], rtol=0, atol=0)
