"""What is this package's own about its ops: names, and what its extension is built with.

`backend.py` and `extension.py` beside this file have the same bytes in every package that has ops
(tests/architecture/test_twins.py), because none of these packages may import another.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

Backend: TypeAlias = Literal["auto", "reference", "native", "triton"]
"""What the argument `backend` of an op may be."""

DISTRIBUTION = "vidgap-temporal"
EXTENSION = "vidgap_temporal._native"
"""The compiled module."""

TOOL = "nvcc"
"""What builds the extension."""
