"""The kernels of vidgap_vis, masks and lists of JSON, without Python and under sanitizers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # compiling under sanitizers takes most of it

ROOT = Path(__file__).parents[2]
SOURCES = [
    *sorted((ROOT / "csrc/masks").glob("*.cpp")),
    *sorted((ROOT / "csrc/json").glob("*.cpp")),
    ROOT / "tests/native/fuzz_mask_json.cpp",
    ROOT / "tests/native/fuzz_masks.cpp",
]
FLAGS = [
    *("-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'csrc'}"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"),
]


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of fuzz_masks.cpp."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++")
    program = tmp_path_factory.mktemp("fuzz") / "fuzz_masks"
    subprocess.run([compiler, *FLAGS, *SOURCES, "-o", program], check=True)
    return program


@pytest.mark.parametrize("seed", range(2))
def test_masks_and_items_agree_with_slow_computations(fuzz: Path, seed: int) -> None:
    done = subprocess.run([fuzz, "30000", str(seed)], capture_output=True, text=True, check=False)
    assert done.stdout == "30000 cases agree\n", done.stderr
