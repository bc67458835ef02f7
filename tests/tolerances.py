"""Every tolerance of the test suite. Loosening one is a change of its own, with its reason."""

from __future__ import annotations

import torch

TOLERANCE: dict[torch.dtype, dict[str, float]] = {
    torch.float64: {"rtol": 1e-10, "atol": 1e-10},
    torch.float32: {"rtol": 1e-4, "atol": 1e-5},
    torch.bfloat16: {"rtol": 3e-2, "atol": 3e-2},
    torch.float16: {"rtol": 3e-3, "atol": 3e-3},
}
"""`torch.testing.assert_close` arguments for two computations of the same thing in a dtype."""

PARITY_FLOAT64 = 1e-8
"""Largest difference from another implementation, in standard deviations of the tensor."""

PARITY_FLOAT32 = 1e-4
"""The same in float32."""
