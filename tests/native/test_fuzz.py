"""The kernels without Python, under sanitizers; those for CUDA run on the emulator beside."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # compiling under sanitizers takes most of it

ROOT = Path(__file__).parents[2]
SOURCES = [
    *(ROOT / "csrc/ms_deform_attn").glob("cpu*.cpp"),
    *(ROOT / "csrc/ms_deform_attn").glob("*.cu"),
    ROOT / "tests/native/fuzz_ms_deform_attn.cpp",
]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fopenmp"]
FLAGS = [
    *("-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-psabi", "-Wno-unknown-pragmas"),
    *SANITIZE,
    *(f"-I{ROOT / 'tests/native/cuda_emulation'}", f"-I{ROOT / 'csrc'}"),
]


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of fuzz_ms_deform_attn.cpp."""
    compiler = shutil.which("g++")
    if compiler is None or (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("the emulator is for g++ on Linux and x86-64")
    folder = tmp_path_factory.mktemp("fuzz")

    def build(source: Path) -> Path:
        made = folder / f"{source.name}.o"
        subprocess.run([compiler, *FLAGS, "-x", "c++", "-c", source, "-o", made], check=True)
        return made

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(build, SOURCES))
    program = folder / "fuzz"
    subprocess.run([compiler, *SANITIZE, *objects, "-o", program], check=True)
    return program


def run(program: Path, *words: str, order: str = "forward") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CUDA_EMULATION_ORDER": order}
    return subprocess.run(
        [program, *words], env=environment, capture_output=True, text=True, check=False
    )


def test_the_cpu_kernels_agree_with_a_slow_computation(fuzz: Path) -> None:
    done = run(fuzz, "2000", "0", "cpu")
    assert done.stdout == "2000 cases agree\n", done.stderr


@pytest.mark.parametrize("order", ["forward", "backward", "random"])
def test_the_cuda_kernels_agree_whichever_thread_goes_first(fuzz: Path, order: str) -> None:
    done = run(fuzz, "60", str(len(order)), "cuda-1", "cuda-2", "cuda-3", order=order)
    assert done.stdout == "60 cases agree\n", done.stderr
