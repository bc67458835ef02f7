"""The compiled extension of this package, if this installation has one."""

from __future__ import annotations

import importlib
from types import ModuleType

import torch

from .about import DISTRIBUTION, EXTENSION, TOOL
from .backend import Obstacle

DTYPES = {torch.float32: 0, torch.float64: 1, torch.float16: 2, torch.bfloat16: 3}
"""Element types that the kernels take, in the numbering of csrc/common/dtype.h."""


def load() -> tuple[ModuleType | None, str]:
    """Return the extension, or None and what the import said."""
    try:
        return importlib.import_module(EXTENSION), ""
    except ImportError as error:
        return None, str(error)


_native, WHY_ABSENT = load()


def obstacle(device: torch.device, dtype: torch.dtype = torch.float32) -> Obstacle | None:
    """Say what keeps the extension's kernels from running on `device` with numbers of `dtype`."""
    if device.type not in ("cpu", "cuda"):
        return Obstacle(f"made for cpu and cuda, not for {device.type}")
    if dtype not in DTYPES:
        return Obstacle(f"made for float16, bfloat16, float32 and float64, not for {dtype}")
    if _native is None:
        return Obstacle(
            f"not built in this installation ({WHY_ABSENT})",
            f"reinstall {DISTRIBUTION} where {TOOL} is "
            "(VIDGAP_REQUIRE_NATIVE=1 makes a failed build an error)",
        )
    return obstacle_of_gpu(device, _native.cuda_architectures) if device.type == "cuda" else None


def obstacle_of_gpu(device: torch.device, architectures: str) -> Obstacle | None:
    """Say what keeps code for `architectures`, as "80-real 90-virtual", from a GPU."""
    if not architectures:
        return Obstacle(
            "built without CUDA", f"reinstall {DISTRIBUTION} where nvcc is, with VIDGAP_CUDA=1"
        )
    capability = capability_of(device)
    if capability == 0 or any(runs_on(name, capability) for name in architectures.split()):
        return None
    return Obstacle(
        f"built for {architectures}, not for this GPU's sm_{capability}",
        f"reinstall {DISTRIBUTION} with -C cmake.define.CMAKE_CUDA_ARCHITECTURES={capability}-real",
    )


def capability_of(device: torch.device) -> int:
    """Return 90 for a GPU of sm_90; 0 where there is no GPU to ask."""
    if not torch.cuda.is_available():
        return 0
    # torch.compile knows this call as a constant, and not `torch.cuda.get_device_capability`.
    properties = torch.cuda.get_device_properties(device)
    return 10 * properties.major + properties.minor


def runs_on(architecture: str, capability: int) -> bool:
    """Say whether code for an architecture, as CMake calls it, runs on a GPU.

    Machine code ("90-real") runs on later GPUs of its generation, PTX ("90-virtual") on all later
    ones; "90" is both.
    """
    number, _, kind = architecture.partition("-")
    made_for = int(number.rstrip("af"))
    same_generation = made_for // 10 == capability // 10
    return made_for <= capability and (kind != "real" or same_generation)


def extension() -> ModuleType:
    """Return the extension; only where `obstacle` is None."""
    assert _native is not None
    return _native


def check_status(op: str, status: int) -> None:
    """Raise RuntimeError where a kernel's function did not return success."""
    if status != 0:
        raise RuntimeError(f"{op}: {extension().error_message(status)} (status {status})")
