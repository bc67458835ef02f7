"""The Triton kernel of `finish_masks` without a GPU: interpreted, compiled, and refused.

What needs a GPU is in `test_masks_cuda.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from interpreted import needs_interpreter, needs_triton, run
from vis.support.mask_logits import CASES, draw

from vidgap_vis.inference import masks
from vidgap_vis.inference.masks import triton
from vidgap_vis.native import extension

FOLDER = Path(__file__).parent


@pytest.mark.slow
@needs_triton
@needs_interpreter
@pytest.mark.skipif(extension(warns=False) is None, reason="the extension writes the strings")
def test_the_kernel_computes_the_definition_when_interpreted() -> None:
    path = str(FOLDER / "masks_interpreted.py")
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", path, TRITON_INTERPRET="1")
    print(done.stdout)
    assert done.returncode == 0, done.stdout.partition("short test summary")[2] or done.stderr
    assert "skipped" not in done.stdout


COMPILE = """
import json, sys, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from vidgap_vis.inference.masks.kernels import WORDS, bits_kernel

made = []
constants = {"ROW_TAPS": 4, "COLUMN_TAPS": 4, "WORDS": WORDS}
tensors = {"logits": "*fp32", "partial": "*fp32", "bits": "*i32"}
tensors |= {f"{axis}_{what}": kind for axis in ("row", "column")
            for what, kind in (("index", "*i32"), ("weight", "*fp32"))}
names = bits_kernel.arg_names
signature = {name: "constexpr" if name in constants else tensors.get(name, "i32") for name in names}
values = {(names.index(name),): value for name, value in constants.items()}
for capability in (80, 90, 100, 120):
    source = ASTSource(bits_kernel, signature, values, {})
    kernel = triton.compile(source, target=GPUTarget("cuda", capability, 32))
    made.append({"shared": kernel.metadata.shared, "local": kernel.asm["ptx"].count("ld.local")})
print(json.dumps(made))
"""


@pytest.mark.slow
@needs_triton
def test_the_kernel_compiles_for_every_gpu(tmp_path: Path) -> None:
    done = run("-c", COMPILE, TRITON_CACHE_DIR=str(tmp_path), TRITON_DEFAULT_FP_FUSION="1")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert len(made) == 4
    for kernel in made:
        assert kernel["shared"] <= 16 * 1024
        assert kernel["local"] == 0


CUDA = torch.device("cuda")
REFUSED = {
    "runs on GPUs, not on cpu": (torch.device("cpu"), 1),
    "takes masks of up to 2147418112 pixels together, not of 2147483648": (CUDA, 2**31),
}


@pytest.mark.parametrize(("message", "arguments"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_the_kernel_cannot_take_is_refused(
    message: str, arguments: tuple[torch.device, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton, "IS_INSTALLED", True)
    assert triton.obstacle(*arguments) == message


@pytest.mark.parametrize(("major", "is_refused"), [(7, True), (8, False), (12, False)])
def test_gpus_before_sm_80_are_refused(
    major: int, is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton, "IS_INSTALLED", True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(major=major))
    assert (triton.obstacle(CUDA, 1) is not None) == is_refused


def test_without_triton_a_gpu_has_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton, "IS_INSTALLED", False)
    assert triton.obstacle(CUDA, 1) == "Triton is not installed"


def test_other_devices_have_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr(masks.reference, "finish_masks", lambda *given: taken.append(given))
    case = CASES[0]
    masks.finish_masks(case.output, draw(case).to("meta"), case.size)
    assert len(taken) == 1


@needs_triton
def test_the_kernel_is_not_imported_with_the_package() -> None:
    code = (
        "import sys, vidgap_vis.inference.masks; name = 'vidgap_vis.inference.masks.kernels'; "
        "assert name not in sys.modules; __import__(name)"
    )
    done = run("-c", code)
    assert done.returncode == 0, done.stderr
