"""The README's examples run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

README = Path(__file__).parents[2] / "packages" / "temporal" / "README.md"


def run_example(number: int) -> dict[str, object]:
    """Run one of the two examples and return its names."""
    examples = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 2
    names: dict[str, object] = {}
    exec(compile(examples[number], str(README), "exec"), names)
    return names


def test_the_example_of_the_module_runs():
    names = run_example(0)
    for maps, clip in zip(names["mixed"], names["clip"], strict=True):
        assert torch.equal(maps, clip[:, -1:])  # the identity, frame by frame


def test_the_example_of_attach_trains_the_module_and_takes_it_out():
    pytest.importorskip("torchvision")
    torch.manual_seed(0)
    names = run_example(1)
    detector, temporal = names["detector"], names["temporal"]
    assert isinstance(temporal, nn.Module)
    assert isinstance(detector, nn.Module)
    assert torch.isfinite(names["loss"])
    assert len(names["detections"]) == 3
    assert not hasattr(detector, "temporal")
    silent = [p for p in temporal.parameters() if p.grad is None or not p.grad.any()]
    assert not silent
