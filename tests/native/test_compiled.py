"""What the compiler made of the CUDA kernels, read from the installed extensions."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
from pathlib import Path

import pytest

ARCHITECTURES = ["sm_80", "sm_90", "sm_100", "sm_120"]
PACKAGES = ["vidgap_segmenter", "vidgap_temporal"]
# Kernels for the sizes of the networks, as mangled: numbers, channels at a time, fused, rounds.
FAST_FORWARD = (
    "forward_kernelI("
    + "|".join(("f13__nv_bfloat16Li8ELb1ELi[34]E", "f6__halfLi8ELb1ELi[34]E", "ffLi4ELb1ELi2E"))
    + ")"
)
FAST = FAST_FORWARD + "|" + FAST_FORWARD.replace("forward", "backward")


def extension(package: str) -> Path:
    """Return an extension built with CUDA, or skip and say why there is none."""
    try:
        module = importlib.import_module(f"{package}._native")
    except ImportError as error:
        if os.environ.get("VIDGAP_REQUIRE_NATIVE") == "1":
            raise
        pytest.skip(f"{package}: {error}")
    if not module.cuda_architectures:
        pytest.skip(f"{package} is built without CUDA")
    return Path(str(module.__file__))


def cuobjdump(what: str, *words: str | Path) -> str:
    """Run the disassembler that comes with Triton."""
    spec = importlib.util.find_spec("triton")
    if spec is None or spec.origin is None:
        pytest.skip("Triton, whose wheel has cuobjdump, is not installed")
    tool = Path(spec.origin).parent / "backends/nvidia/bin/cuobjdump"
    done = subprocess.run([tool, what, *words], capture_output=True, text=True, check=True)
    return done.stdout


def usage(package: str) -> dict[str, dict[str, dict[str, int]]]:
    """Return {architecture: {kernel: {"REG": ..., "STACK": ..., ...}}}."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    text = cuobjdump("--dump-resource-usage", extension(package))
    for part in text.split("Fatbin elf code:")[1:]:
        match = re.search(r"arch = (sm_\d+)", part)
        assert match is not None
        kernels = re.findall(r"Function (\S+):\s*\n\s*(.*)", part)
        found.setdefault(match[1], {}).update(
            {
                name: {key: int(number) for key, number in re.findall(r"([A-Z]+):(\d+)", numbers)}
                for name, numbers in kernels
            }
        )
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_kernels_are_compiled_for_every_architecture(package: str) -> None:
    found = usage(package)  # skips where there is no CUDA in the extension, or none
    built = importlib.import_module(f"{package}._native").cuda_architectures
    for architecture in ARCHITECTURES:
        if f"{architecture.removeprefix('sm_')}-real" in built:
            assert found[architecture], architecture


def test_no_kernel_for_the_sizes_of_the_networks_spills() -> None:
    for architecture, kernels in usage("vidgap_segmenter").items():
        fast = {name: used for name, used in kernels.items() if re.search(FAST, name)}
        assert len(fast) == 15, (architecture, sorted(kernels))
        for name, used in fast.items():
            assert used["STACK"] == used["LOCAL"] == 0, (architecture, name, used)


def test_no_kernel_of_the_conv_gru_spills() -> None:
    for architecture, kernels in usage("vidgap_temporal").items():
        assert len(kernels) == 48, architecture
        for name, used in kernels.items():
            assert used["STACK"] == used["LOCAL"] == 0, (architecture, name, used)


def sass(package: str, kernel: str, architecture: str) -> str:
    """Return the machine code of the kernels whose name matches."""
    text = cuobjdump("--dump-sass", "-arch", architecture, extension(package))
    parts = re.split(r"Function : (\S+)", text)[1:]
    return "".join(
        code for name, code in zip(parts[::2], parts[1::2], strict=True) if re.search(kernel, name)
    )


def test_corners_are_read_16_bytes_at_a_time_and_added_four_floats_at_a_time() -> None:
    forward = sass("vidgap_segmenter", r"forward_kernelIf13__nv_bfloat16Li8ELb1ELi3ELb0E", "sm_90")
    assert forward.count("LDG.E.128") == 24  # four corners, of two samples in each of three rounds
    backward = sass("vidgap_segmenter", r"backward_kernelIf13__nv_bfloat16Li8ELb1ELi3E", "sm_90")
    assert backward.count("LDG.E.128") >= 48
    assert backward.count("REDG.E.ADD.F32x4") >= 96  # eight channels of each
    assert "REDG.E.ADD.F32." not in backward
