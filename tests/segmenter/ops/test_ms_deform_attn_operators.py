"""The compiled kernels as operators of torch: compiling, autocast, refusals, backends, workers."""

from __future__ import annotations

import importlib

import pytest
import torch
from segmenter.native_cases import (
    MODEL,
    Case,
    make_inputs,
)
from torch import Tensor

from vidgap_segmenter import backends, ms_deform_attn, ms_deform_attn_fused
from vidgap_segmenter.ops.backend import Obstacle
from vidgap_segmenter.ops.ms_deform_attn import obstacles


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
    locations, weights = torch.ones(1, 1, 1, 1, 1, 2) / 2, torch.ones(1, 1, 1, 1, 1)
    with pytest.raises(ValueError, match=r"not for torch\.float8_e4m3fn"):
        ms_deform_attn(value, [(2, 2)], locations, weights, backend="native")


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
