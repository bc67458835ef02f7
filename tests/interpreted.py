"""Triton kernels on a CPU: run in a process of their own, as Triton reads its environment once."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys

import pytest
from torch.torch_version import TorchVersion

IS_INSTALLED = importlib.util.find_spec("triton") is not None
VERSION = importlib.metadata.version("triton") if IS_INSTALLED else "0"

needs_triton = pytest.mark.skipif(not IS_INSTALLED, reason="Triton is not installed")
needs_interpreter = pytest.mark.skipif(
    TorchVersion(VERSION) < "3.8", reason="Triton 3.6 cannot interpret loops with NumPy 2.4"
)


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python on `command`; TRITON_INTERPRET only where it is given."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    own.pop("TRITON_INTERPRET", None)
    return subprocess.run(
        [sys.executable, *command], env={**own, **environment}, capture_output=True, text=True
    )
