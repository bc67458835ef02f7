"""The Triton backend of window attention without a GPU: interpreted, compiled, and refused.

What needs a GPU is in `test_window_attention_cuda.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from interpreted import needs_interpreter, needs_triton, run
from temporal.test_window_attention import make_inputs, options
from tolerances import SHARED_MEMORY, SPILLED

from vidgap_temporal.ops import window_attention
from vidgap_temporal.ops.window_attention import obstacles, triton

FOLDER = Path(__file__).parent
CUDA = torch.device("cuda")


@pytest.mark.slow
@needs_triton
@needs_interpreter
def test_the_kernels_compute_the_definition_when_interpreted():
    path = str(FOLDER / "window_attention_interpreted.py")
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", path, TRITON_INTERPRET="1")
    print(done.stdout)
    assert done.returncode == 0, done.stdout.partition("short test summary")[2] or done.stderr
    assert "skipped" not in done.stdout


def compiled(folder: Path, *cases: str) -> Iterator[tuple[str, list[dict]]]:
    script = str(FOLDER / "triton_compile.py")
    made = run(script, *cases, TRITON_CACHE_DIR=str(folder), TRITON_DEFAULT_FP_FUSION="1")
    assert made.returncode == 0, made.stderr
    for case, line in zip(cases, made.stdout.splitlines(), strict=True):
        yield case, json.loads(line)


@pytest.mark.slow
@needs_triton
def test_kernels_compile_without_spills_and_with_wide_loads(tmp_path):
    architectures = ("sm_80", "sm_90", "sm_100", "sm_120")
    cases = [*(f"{architecture}:bf16:8:32" for architecture in architectures), "sm_90:fp32:8:32"]
    for case, (forward, backward, bias) in compiled(tmp_path, *cases):
        for kernel in (forward, backward, bias):
            assert kernel["spilled"] <= (0 if "sm_90" in case else SPILLED), (case, kernel)
            assert kernel["shared"] <= SHARED_MEMORY, (case, kernel)
        for kernel, reads, writes in ((forward, 3, 1), (backward, 4, 3)):
            assert kernel["wide_loads"] >= reads, (case, kernel)
            assert kernel["wide_stores"] >= writes, (case, kernel)
        if "bf16" in case:
            # Each of the 2 and 5 products on tensor cores, with Hopper's instructions there.
            name = {"sm_90": "wgmma", "sm_100": "tcgen05"}.get(case.split(":")[0], "mma")
            assert forward[name] >= 2, (case, forward)
            assert backward[name] >= 5, (case, backward)


@pytest.mark.slow
@needs_triton
def test_kernels_compile_where_windows_and_heads_fill_no_tile(tmp_path):
    for case, made in compiled(tmp_path, "sm_90:bf16:12:32", "sm_90:fp16:3:20"):
        for kernel in made:
            assert kernel["shared"] <= SHARED_MEMORY, (case, kernel)


def call(backend: str, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    inputs = make_inputs((1, 2, 5, 6, 8), 2, 4, dtype)
    return window_attention(*inputs, **options(2, 4, 2), backend=backend)


@pytest.fixture
def uninterpreted(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(triton, "IS_INSTALLED", True)


@pytest.mark.usefixtures("uninterpreted")
def test_a_cpu_has_the_reference():
    with pytest.raises(
        ValueError, match=r"window_attention\(backend='triton'\): runs on GPUs, not on cpu"
    ):
        call("triton")
    torch.testing.assert_close(call("auto"), call("reference"), rtol=0, atol=0)


@pytest.mark.usefixtures("uninterpreted")
def test_a_gpu_has_triton_first():
    assert dict(obstacles(CUDA)) == {"triton": None, "reference": None}
    assert list(obstacles(CUDA)) == ["triton", "reference"]
    assert list(obstacles(torch.device("cpu"))) == ["reference", "triton"]


REFUSED = {
    "made for float32, float16 and bfloat16, not for torch.float64": {"dtype": torch.float64},
    "takes windows of up to 256 tokens, not of 289": {"window_size": 17},
    "takes heads of up to 32 channels for windows of 12x12, not of 33": {
        "window_size": 12,
        "head_channels": 33,
    },
    "takes heads of up to 128 channels for windows of 2x2, not of 129": {
        "window_size": 2,
        "head_channels": 129,
    },
    "takes clips of up to 1024 frames, not of 1025": {"num_frames": 1025},
}


@pytest.mark.usefixtures("uninterpreted")
@pytest.mark.parametrize(("message", "change"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_triton_cannot_take_is_left_to_the_reference(message, change):
    found = obstacles(CUDA, **change)
    assert found["reference"] is None
    assert str(found["triton"]) == message


def test_the_obstacle_without_triton_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(triton, "IS_INSTALLED", False)
    assert str(obstacles(CUDA)["triton"]) == "Triton is not installed; pip install triton"
    assert str(obstacles(torch.device("cpu"))["triton"]).startswith("runs on GPUs, and Triton")
    call("auto")


@pytest.mark.usefixtures("uninterpreted")
@pytest.mark.parametrize(("major", "is_refused"), [(7, True), (8, False), (12, False)])
def test_gpus_before_sm_80_are_refused(major, is_refused, monkeypatch):
    properties = SimpleNamespace(major=major)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    assert (obstacles(CUDA)["triton"] is not None) == is_refused


@needs_triton
def test_the_kernels_are_not_imported_with_the_package():
    code = (
        "import sys, vidgap_temporal; name = 'vidgap_temporal.ops.window_attention.launch'; "
        "assert name not in sys.modules; __import__(name)"
    )
    done = run("-c", code)
    assert done.returncode == 0, done.stderr
