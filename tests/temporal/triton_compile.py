"""Compile the kernels of window attention for a GPU that need not be there, and describe them.

    python triton_compile.py sm_90:bf16:WINDOW:HEAD_CHANNELS ...

prints a line of JSON a case, a list of kernels. Triton must not be interpreting: a process of its
own.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from vidgap_temporal.ops.window_attention import kernels
from vidgap_temporal.ops.window_attention.launch import launch_for
from vidgap_temporal.ops.window_attention.settings import WindowSettings

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
DIVISIBLE = [["tt.divisibility", 16]]
HEADS = 2


def source_of(kernel: Any, values: dict[str, Any], dtype: str) -> ASTSource:
    """Return the kernel for arguments like `values`; other arguments are tensors."""
    signature: dict[str, Any] = {}
    constants: dict[tuple[int, ...], Any] = {}
    attributes: dict[tuple[int, ...], Any] = {}
    for index, name in enumerate(kernel.arg_names):
        value = values.get(name)
        if name.isupper():
            signature[name] = "constexpr"
            constants[(index,)] = value
        elif isinstance(value, tuple):
            signature[name] = tuple("i64" if item >> 31 else "i32" for item in value)
            for item in range(len(value)):
                if value[item] % 16 == 0:
                    attributes[(index, item)] = DIVISIBLE
        elif value is not None:
            signature[name] = "fp32" if isinstance(value, float) else "i32"
        else:
            is_float32 = name in ("bias", "partial", "bias_grad")
            signature[name] = "*fp32" if is_float32 else f"*{dtype}"
            attributes[(index,)] = DIVISIBLE
    return ASTSource(kernel, signature, constants, attributes)


def describe(kernel: Any, values: dict[str, Any], capability: int, dtype: str) -> dict[str, Any]:
    """Compile, and return what the machine code needs and uses."""
    made = triton.compile(
        source_of(kernel, values, dtype),
        target=GPUTarget("cuda", capability, 32),
        options={name: values[name] for name in ("num_warps", "num_stages")},
    )
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(made.asm["cubin"])
        command = [str(tool), "--dump-resource-usage", file.name]
        usage = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    needs = {name: int(size) for name, size in re.findall(r"(REG|STACK|LOCAL):(\d+)", usage)}
    code = made.asm["ptx"]
    return {
        "kernel": kernel.__name__,
        "registers": needs["REG"],
        "spilled": needs["STACK"] + needs["LOCAL"],
        "shared": made.metadata.shared,
        "wgmma": code.count("wgmma.mma_async"),
        "tcgen05": code.count("tcgen05.mma"),
        "mma": code.count("mma.sync"),
        "wide_loads": code.count("ld.global.v4") + len(re.findall(r"cp\.async\.cg.*, 0x10", code)),
        "wide_stores": code.count("st.global.v4"),
    }


def describe_all(
    architecture: str, dtype: str, window: str, head_channels: str
) -> list[dict[str, Any]]:
    """Compile all kernels for maps with heads of `head_channels`."""
    q = torch.empty(1, 6, 16, 16, HEADS * int(head_channels), dtype=DTYPES[dtype])
    settings = WindowSettings(HEADS, int(window), 1, partner=(1, 0, 3, 2, 5, 4))
    values = dict(launch_for(q, 8, settings).arguments)
    # Slices of one map, as the attention modules have them.
    strides = tuple(3 * stride for stride in q.stride()[:4])
    values |= {f"{name}_strides": strides for name in "qkv"}
    values |= {"BIAS_GRAD": True, "SIDE": 1 << (int(window) - 1).bit_length()}
    made = (kernels.forward_kernel, kernels.backward_kernel, kernels.bias_gradient_kernel)
    capability = int(architecture.removeprefix("sm_"))
    return [describe(kernel, values, capability, dtype) for kernel in made]


if __name__ == "__main__":
    for case in sys.argv[1:]:
        print(json.dumps(describe_all(*case.split(":"))))
