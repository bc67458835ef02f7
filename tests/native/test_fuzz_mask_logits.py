"""The kernels that make masks of logits, without Python and under sanitizers."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # compiling under sanitizers takes most of it

ROOT = Path(__file__).parents[2]
SOURCES = [
    *(ROOT / "csrc/masks" / f"{name}.cpp" for name in ("from_logits", "logit_kernels", "changes")),
    ROOT / "csrc/masks/run_lengths.cpp",
    ROOT / "tests/native/fuzz_mask_logits.cpp",
]
FLAGS = [
    *("-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-psabi", f"-I{ROOT / 'csrc'}"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-trapping-math"),
]
LEVELS = {
    "x86-64-v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
    "x86-64-v3": ["-march=x86-64-v3"],
    "baseline": [],
    "without intrinsics": ["-U__SSE__"],
}
NEEDS = {"x86-64-v4": "avx512vl", "x86-64-v3": "avx2"}


def runs_here(level: str) -> bool:
    if level == "baseline":
        return True
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    path = Path("/proc/cpuinfo")
    return NEEDS.get(level, "") in (path.read_text() if path.exists() else "")


@pytest.mark.parametrize("level", LEVELS)
def test_masks_of_logits_agree_with_slow_computations(level: str, tmp_path: Path) -> None:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++")
    program = tmp_path / "fuzz"
    subprocess.run([compiler, *FLAGS, *LEVELS[level], *SOURCES, "-o", program], check=True)
    if not runs_here(level):
        pytest.skip(f"this processor has no {level}; its kernels compile")
    done = subprocess.run([program, "3000", "0"], capture_output=True, text=True, check=False)
    assert done.stdout == "3000 cases agree\n", done.stderr
