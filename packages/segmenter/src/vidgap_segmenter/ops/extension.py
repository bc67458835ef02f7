"""The compiled extension of this package, if this installation has one."""

from __future__ import annotations

import importlib
from types import ModuleType

import torch

from vidgap_segmenter.ops.backend import Obstacle


def load() -> tuple[ModuleType | None, str]:
    """Return the extension, or None and what the import said."""
    try:
        return importlib.import_module("vidgap_segmenter._native"), ""
    except ImportError as error:
        return None, str(error)


_native, WHY_ABSENT = load()

HOW_TO_BUILD = (
    "reinstall vidgap-segmenter where a C++ compiler is "
    "(VIDGAP_REQUIRE_NATIVE=1 makes a failed build an error)"
)
HOW_TO_BUILD_CUDA = "reinstall vidgap-segmenter where nvcc is, with VIDGAP_CUDA=1"
DEVICES = ("cpu", "cuda")

DTYPES = {torch.float32: 0, torch.float64: 1, torch.float16: 2, torch.bfloat16: 3}
"""Element types that the kernels take, in the numbering of csrc/common/dtype.h."""


def obstacle(device: torch.device) -> Obstacle | None:
    """Say what keeps the extension's kernels from running on `device`."""
    if device.type not in DEVICES:
        return Obstacle(f"made for {' and '.join(DEVICES)}, not for {device.type}")
    if _native is None:
        return Obstacle(f"not built in this installation ({WHY_ABSENT})", HOW_TO_BUILD)
    if device.type == "cuda":
        if not _native.cuda_architectures:
            return Obstacle("built without CUDA", HOW_TO_BUILD_CUDA)
        missing = missing_code(device, _native.cuda_architectures)
        return Obstacle(missing, HOW_TO_BUILD_CUDA) if missing else None
    return None


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def missing_code(device: torch.device, architectures: str) -> str:
    """Say why code for `architectures`, as CMake calls them ("80-real 90-virtual"), is too new.

    Empty where it is not, and where there is no GPU to ask.
    """
    if not torch.cuda.is_available():
        return ""
    major, minor = torch.cuda.get_device_capability(device)
    numbers = [int(name.split("-")[0].rstrip("af")) for name in architectures.split()]
    oldest, this = min(numbers, default=0), 10 * major + minor
    return f"built for GPUs of sm_{oldest} and later, not for sm_{this}" if this < oldest else ""


def extension() -> ModuleType:
    """Return the extension; only where `obstacle` is None."""
    assert _native is not None
    return _native


def built_for() -> str:
    """Say what the extension's code is made for, as "x86-64-v4; CUDA 80-real 90-real"."""
    if _native is None:
        return "nothing"
    cuda = _native.cuda_architectures
    return f"{_native.cpu_kernels()}; CUDA {cuda}" if cuda else _native.cpu_kernels()


def check_status(op: str, status: int) -> None:
    """Raise RuntimeError where a kernel's function did not return success."""
    if status != 0:
        raise RuntimeError(f"{op}: {extension().error_message(status)} (status {status})")
