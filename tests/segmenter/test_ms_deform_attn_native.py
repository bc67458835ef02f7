"""The compiled kernels against the reference in float64, over sizes, dtypes, strides, threads."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segmenter.conftest import Place, skip_unless
from tolerances import NORM_RATIO
from torch import Tensor

from vidgap_segmenter import backends, ms_deform_attn, ms_deform_attn_fused
from vidgap_segmenter.ops import extension
from vidgap_segmenter.ops.backend import Obstacle
from vidgap_segmenter.ops.ms_deform_attn import call, obstacles

LEVELS_OF_X86 = ["x86-64-v4", "x86-64-v3", "baseline"]


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    """Each device with kernels, or the reason why it has none here."""
    return skip_unless(Place("native", request.param)).device


@pytest.fixture
def cpu() -> str:
    """The CPU, for tests of what only it has."""
    return skip_unless(Place("native", "cpu")).device


@pytest.fixture(autouse=True)
def poisoned_memory() -> Iterator[None]:
    """Fill new tensors with NaN, so that what a kernel does not write shows."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(False)


pytestmark = pytest.mark.filterwarnings("ignore:.*has no deterministic implementation:UserWarning")


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
    skip_unless(Place("native", "cuda"))
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


MODEL = Case(2, 700, 8, 32, 4, ((5, 10), (10, 20), (20, 40)), 2, *[torch.float32] * 2, 0)


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


@pytest.fixture
def threads() -> Iterator[None]:
    """The number of threads is afterwards what it was."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


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
    places = inputs[2 if numbers else 1]
    places.view(-1)[::7] = bad
    found = run(case, inputs, "native")
    assert all(tensor.isfinite().all() for tensor in found)
    assert_close_to_float64(case, inputs, found)


def test_values_that_are_not_finite_stay_where_they_are_sampled(device: str) -> None:
    value = torch.zeros(1, 12, 1, 3, device=device)
    value[0, 0] = math.inf
    places = torch.tensor([[2.5 / 4, 2.5 / 3], [5.0, 5.0], [0.5 / 4, 0.5 / 3]], device=device)
    places = places.view(1, 3, 1, 1, 1, 2)
    out = ms_deform_attn(value, [(3, 4)], places, torch.ones(1, 3, 1, 1, 1, device=device))
    assert out[0, :2].eq(0).all()
    assert not out[0, 2].isfinite().any()


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("numbers", [0, 2, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_operators_pass_the_checks_of_torch(
    device: str, dtype: torch.dtype, numbers: int
) -> None:
    case = Case(2, 5, 2, 3, 2, ((3, 4), (2, 2)), numbers, dtype, dtype, 0)
    value, *others = (x.requires_grad_() for x in make_inputs(case, device))
    ops = torch.ops.vidgap_segmenter
    forward = ops.ms_deform_attn_fused if numbers else ops.ms_deform_attn
    torch.library.opcheck(forward.default, (value, [3, 4, 2, 2], *others))
    backward = ops.ms_deform_attn_fused_backward if numbers else ops.ms_deform_attn_backward
    grad = torch.ones(2, 5, 6, dtype=dtype, device=device)
    inputs = [x.detach() for x in (grad, value, *others)]
    arguments = (*inputs[:2], [3, 4, 2, 2], *inputs[2:], *([True] if numbers else []))
    torch.library.opcheck(backward.default, arguments)


@pytest.mark.parametrize("dynamic", [False, True])
def test_torch_compile_traces_forward_and_backward_whole(device: str, dynamic: bool) -> None:
    def step(value: Tensor, *others: Tensor) -> Tensor:
        return ms_deform_attn_fused(value, MODEL.shapes, *others, backend="native").square().sum()

    compiled = torch.compile(step, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for queries in (5, 9):
        inputs = [x.requires_grad_() for x in make_inputs(MODEL._replace(queries=queries), device)]
        have = torch.autograd.grad(compiled(*inputs), inputs)
        want = torch.autograd.grad(step(*inputs), inputs)
        for a, b in zip(have, want, strict=True):
            torch.testing.assert_close(a, b)


def test_autocast_leaves_every_dtype_as_it_is(device: str) -> None:
    inputs = make_inputs(MODEL._replace(queries=5), device)
    with torch.autocast(device, torch.bfloat16):
        assert ms_deform_attn_fused(inputs[0], MODEL.shapes, *inputs[1:]).dtype == torch.float32
        narrow = ms_deform_attn_fused(inputs[0].bfloat16(), MODEL.shapes, *inputs[1:])
    assert narrow.dtype == torch.bfloat16


def test_a_second_derivative_is_refused(device: str) -> None:
    inputs = [x.requires_grad_() for x in make_inputs(MODEL._replace(queries=2), device)]
    out = ms_deform_attn_fused(inputs[0], MODEL.shapes, *inputs[1:], backend="native")
    (grad,) = torch.autograd.grad(out.square().sum(), inputs[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="native backend has no second derivative; use backend"):
        grad.sum().backward()


def test_what_is_too_large_for_the_kernels_takes_the_reference() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    limits = [
        (cpu, {"tokens": 2**30}, "takes less than 1073741824 tokens on cpu"),
        (cuda, {"tokens": 2**27}, "takes less than 134217728 tokens on cuda"),
        (cuda, {"levels": 17}, "takes up to 16 levels on cuda, not 17"),
        (cuda, {"samples": 257}, "takes up to 256 samples a head on cuda, not 257"),
    ]
    for kind, sizes, reason in limits:
        if obstacles(kind)["native"] is None:
            assert str(obstacles(kind, **sizes)["native"]).startswith(reason)
    value = torch.ones(1, 4, 1, 2).to(torch.float8_e4m3fn)
    places, weights = torch.ones(1, 1, 1, 1, 1, 2) / 2, torch.ones(1, 1, 1, 1, 1)
    with pytest.raises(ValueError, match=r"not for torch\.float8_e4m3fn"):
        ms_deform_attn(value, [(2, 2)], places, weights, backend="native")


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


def test_a_missing_extension_is_said_once_and_the_reference_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    absent = {"native": Obstacle("not built in this installation (no such file)", "build it")}
    contract = importlib.import_module("vidgap_segmenter.ops.ms_deform_attn")
    monkeypatch.setattr(contract, "obstacles", lambda *_: {**absent, "reference": None})
    monkeypatch.setattr("vidgap_segmenter.ops.backend._warned", set())
    inputs = make_inputs(MODEL._replace(queries=2))
    text = "ms_deform_attn_fused runs on its reference in PyTorch: backend 'native': not built"
    with pytest.warns(RuntimeWarning, match=text):
        ms_deform_attn_fused(inputs[0], MODEL.shapes, *inputs[1:])
    ms_deform_attn_fused(inputs[0], MODEL.shapes, *inputs[1:])  # a second warning is an error
    with pytest.raises(ValueError, match=r"\(backend='native'\): not built .*; build it"):
        ms_deform_attn_fused(inputs[0], MODEL.shapes, *inputs[1:], backend="native")


def test_a_device_without_kernels_is_refused_by_name() -> None:
    value, reference, *others = (x.to("meta") for x in make_inputs(MODEL))
    with pytest.raises(ValueError, match="made for cpu and cuda, not for meta"):
        ms_deform_attn_fused(value, MODEL.shapes, reference, *others, backend="native")
    assert ms_deform_attn_fused(value, MODEL.shapes, reference, *others).shape == (2, 700, 256)


def test_backends_names_what_runs_on_each_device_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    said = backends()["ms_deform_attn"]
    assert said["cpu"] in ("native", "reference")
    assert said["cuda"] in ("native", "reference")
    for kind in ("cpu", "cuda"):
        assert (f"{kind}: native: " in said["reason"]) == (said[kind] == "reference")
    monkeypatch.setenv("VIDGAP_BACKEND", "reference")
    forced = {"cpu": "reference", "cuda": "reference", "reason": "VIDGAP_BACKEND=reference"}
    assert backends()["ms_deform_attn"].items() >= forced.items()
    monkeypatch.setenv("VIDGAP_BACKEND", "native")
    with pytest.raises(ValueError, match="VIDGAP_BACKEND must be 'reference' or unset, got 'nat"):
        backends()


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
    places = torch.full((batch, 1, 8, 1, 1, 2), 1 - 0.5 / side, device="cuda")
    weights = torch.ones(batch, 1, 8, 1, 1, dtype=torch.bfloat16, device="cuda")
    out = ms_deform_attn(value, [(side, side)], places, weights)
    assert out[-1].eq(1).all()
    assert out[:-1].eq(0).all()


@pytest.mark.usefixtures("threads")
def test_a_data_loader_worker_computes_after_its_parent_did() -> None:
    """A forked child must not wait for threads that it does not have."""
    torch.set_num_threads(2)
    inputs = make_inputs(MODEL)
    wanted = ms_deform_attn_fused(inputs[0], MODEL.shapes, *inputs[1:])

    class Maps(torch.utils.data.Dataset[Tensor]):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> Tensor:
            return ms_deform_attn_fused(inputs[0], MODEL.shapes, *inputs[1:])

    loader = torch.utils.data.DataLoader(Maps(), num_workers=1, timeout=60, batch_size=None)
    (found,) = list(loader)
    assert found.equal(wanted)
