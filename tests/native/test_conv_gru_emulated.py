"""The CUDA kernels of the ConvGRU, compiled as C++ and run on the CPU.

Through the extension's own bindings, so those are tested as well. UBSan tells of an access that is
not aligned to its type, which a CPU would forgive and a GPU does not.
"""

from __future__ import annotations

import importlib.util
import platform
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
import torch
from temporal.conv_gru_parity import CASES, DTYPES, assert_agrees, draw_inputs, poisoned_memory
from temporal.plain_gates import PlainGates, on_cpu
from tolerances import NORM_RATIO
from torch import Tensor

from vidgap_temporal.ops import GRUWeights
from vidgap_temporal.ops.conv_gru import native
from vidgap_temporal.ops.conv_gru.cuda_gates import KernelGates
from vidgap_temporal.ops.conv_gru.gates import (
    BlendBackward,
    BlendForward,
    ResetBackward,
    ResetForward,
)

pybind11 = pytest.importorskip("pybind11", reason="the bindings are made with pybind11")
ROOT = Path(__file__).parents[2]
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"]
FLAGS = ["-std=c++17", "-O1", "-fPIC", "-fvisibility=hidden", *WARNINGS]
SANITIZE = ["-fsanitize=undefined"]
INCLUDE = [
    f"-I{ROOT / 'tests/native/cuda_emulation'}",
    f"-I{ROOT / 'csrc'}",
    f"-I{pybind11.get_include()}",
    f"-I{sysconfig.get_path('include')}",
]
PAIRS = [(dtype, dtype) for dtype in DTYPES]
PAIRS += [(torch.float32, torch.float16), (torch.float32, torch.bfloat16)]


pytestmark = pytest.mark.slow  # compiling under sanitizers takes most of it


@pytest.fixture(scope="module")
def extension(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    compiler = shutil.which("g++")
    if compiler is None or (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("the emulator is for g++ on Linux and x86-64")
    folder = tmp_path_factory.mktemp("conv_gru")

    def build(source: str) -> Path:
        made = folder / f"{source}.o"
        path = ROOT / "csrc/conv_gru" / source
        flags = [*FLAGS, *SANITIZE] if source.endswith(".cu") else FLAGS
        command = [compiler, *flags, *INCLUDE, "-x", "c++", "-c", str(path), "-o", str(made)]
        subprocess.run(command, check=True)
        return made

    with ThreadPoolExecutor() as pool:
        objects = list(pool.map(build, ["gates.cu", "bindings.cpp"]))
    library = folder / "_native.so"
    subprocess.run([compiler, "-shared", *SANITIZE, *objects, "-o", library], check=True)
    spec = importlib.util.spec_from_file_location("_native", library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def no_undefined_behaviour(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    said = capfd.readouterr().err.splitlines()
    assert not [line for line in said if "csrc/" in line and "runtime error" in line]


@pytest.fixture
def emulated(extension: ModuleType) -> Iterator[None]:
    torch.manual_seed(0)
    with on_cpu(lambda state, gate: KernelGates(extension, state, gate, 0)):
        yield


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("shape", "given"), CASES, ids=str)
@pytest.mark.usefixtures("emulated")
def test_the_sequence_agrees_with_the_definition_in_float64(shape, given, dtype):
    with poisoned_memory():
        assert_agrees(native.conv_gru, draw_inputs(shape, given, dtype))


@pytest.mark.parametrize("used", [(True, False), (False, True)], ids=["output", "last"])
@pytest.mark.usefixtures("emulated")
def test_either_output_alone_may_be_used(used):
    with poisoned_memory():
        assert_agrees(native.conv_gru, draw_inputs((2, 3, 8, 4, 3), True, torch.float32), used)


@pytest.mark.usefixtures("emulated")
def test_gradients_agree_with_differences():
    inputs = draw_inputs((2, 3, 2, 3, 2), True, torch.float64)

    def run(x: Tensor, h: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        return native.conv_gru(x, h, GRUWeights(*weights))

    assert torch.autograd.gradcheck(run, inputs)


def test_dtypes_without_a_kernel_are_refused(extension):
    gates = KernelGates(extension, torch.float16, torch.bfloat16, 0)
    maps = Maps(torch.float16, torch.bfloat16, (1, 2, 2, 8))
    with pytest.raises(
        RuntimeError, match=r"conv_gru: no kernel takes these dtypes \(status -1 of"
    ):
        gates.reset_backward(maps.reset_backward())


class Maps:
    """Arguments of the four kernels, drawn in buffers that hold NaN around them.

    Args:
        state: dtype of states.
        gate: dtype of gates.
        size: (B, H, W, C).
        shift: by how many elements maps miss the alignment that torch gives.
        skew: by how many elements more than a multiple of 16 clips lie apart.
    """

    def __init__(
        self,
        state: torch.dtype,
        gate: torch.dtype,
        size: tuple[int, ...],
        shift: int = 0,
        skew: int = 0,
    ) -> None:
        self.state, self.gate, self.size, self.shift, self.skew = state, gate, size, shift, skew
        self.buffers: list[Tensor] = []

    def map(self, dtype: torch.dtype, widen: int = 1, spaced: bool = False) -> Tensor:
        """Return uniform numbers in (0, 1), with a gap of 16 or so between clips if `spaced`."""
        batch, height, width, channels = self.size
        inner = height * width * channels * widen
        stride = inner + (16 + self.skew if spaced else 0)
        buffer = torch.full((batch * stride + 64,), torch.nan, dtype=dtype)
        self.buffers.append(buffer)
        strides = (stride, width * channels * widen, channels * widen, 1)
        view = buffer.as_strided((batch, height, width, channels * widen), strides, 16 + self.shift)
        return view.uniform_()

    def gates(self, widen: int = 1) -> Tensor:
        return self.map(self.gate, widen)

    def states(self, spaced: bool = False) -> Tensor:
        return self.map(self.state, spaced=spaced)

    def bias(self) -> Tensor:
        return self.map(self.gate, 3)[0, 0, 0]

    def reset(self, keep: bool = True) -> ResetForward:
        return ResetForward(
            frame_gates=self.gates(3),
            state_gates=self.gates(2),
            bias=self.bias(),
            state=self.states(spaced=True),
            reset=self.gates() if keep else None,
            update=self.gates(),
            reset_state=self.gates(),
        )

    def blend(self, first: bool, all_outputs: bool) -> BlendForward:
        return BlendForward(
            frame_gates=self.gates(3),
            candidate_gates=None if first else self.gates(),
            bias=self.bias(),
            state=None if first else self.states(spaced=True),
            update=self.gates(),
            candidate=self.gates() if all_outputs else None,
            output=self.states(spaced=True),
            carried=self.gates() if all_outputs else None,
            last=self.states() if all_outputs else None,
        )

    def blend_backward(self, first: bool, grads: tuple[bool, ...]) -> BlendBackward:
        draws = (lambda: self.states(spaced=True), self.states, self.gates)
        given = [draw() if want else None for draw, want in zip(draws, grads, strict=True)]
        state = None if first else self.states(spaced=True)
        in_place = self.states() if given[1] is None else given[1]
        return BlendBackward(*given, state, *(self.gates(n) for n in (1, 1, 2, 1)), in_place)

    def reset_backward(self) -> ResetBackward:
        read = (self.gates(), self.states(spaced=True), self.gates(), self.states())
        return ResetBackward(*read, self.gates(2), self.gates(), self.gates())


CALLS: dict[str, tuple[str, Callable[[Maps], NamedTuple]]] = {
    "reset": ("reset", Maps.reset),
    "reset without keeping r": ("reset", lambda maps: maps.reset(keep=False)),
    "blend": ("blend", lambda maps: maps.blend(False, True)),
    "blend to the output alone": ("blend", lambda maps: maps.blend(False, False)),
    "blend from zero": ("blend", lambda maps: maps.blend(True, True)),
    "blend_backward": ("blend_backward", lambda maps: maps.blend_backward(False, (True,) * 3)),
    "blend_backward of the last": (
        "blend_backward",
        lambda maps: maps.blend_backward(False, (True, False, False)),
    ),
    "blend_backward to zero": (
        "blend_backward",
        lambda maps: maps.blend_backward(True, (False, True, True)),
    ),
    "reset_backward": ("reset_backward", Maps.reset_backward),
}
# Channels that fill groups of 16 bytes, that do not, and more than a block has threads.
SIZES = [(2, 3, 5, 16), (3, 1, 7, 5), (1, 2, 2, 264), (2, 1, 300, 1), (1, 1, 1, 520)]


def compare(extension: ModuleType, call: str, pair: tuple[torch.dtype, torch.dtype], *how) -> None:
    """Compare all that a kernel wrote, and what it left alone, with PyTorch; `how` as of `Maps`."""
    name, draw = CALLS[call]
    results = []
    for gates in (KernelGates(extension, *pair, 0), PlainGates()):
        torch.manual_seed(0)
        maps = Maps(*pair, *how)
        getattr(gates, name)(draw(maps))
        results.append(maps.buffers)
    for number, (actual, expected) in enumerate(zip(*results, strict=True)):
        assert torch.equal(actual.isnan(), expected.isnan()), (how, number)
        gap = (actual.double() - expected.double()).nan_to_num().norm()
        error = gap / expected.double().nan_to_num().norm()
        assert error <= NORM_RATIO[actual.dtype], (how, number)


LAYOUTS = {"aligned": (0, 0), "misaligned": (1, 0), "clips unevenly apart": (0, 1)}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("pair", PAIRS, ids=str)
@pytest.mark.parametrize("call", CALLS)
def test_a_kernel_writes_what_it_should_and_nothing_else(call, pair, layout, extension):
    for size in SIZES:
        compare(extension, call, pair, size, *LAYOUTS[layout])


@pytest.mark.parametrize("size", [(1, 41, 100, 256), (4100, 1, 1, 1)], ids=["pixels", "clips"])
def test_what_a_grid_of_4096_blocks_a_side_is_too_small_for_comes_round(size, extension):
    compare(extension, "reset_backward", (torch.float32, torch.float32), size, 1)
