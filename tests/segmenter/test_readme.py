"""The examples of the package's README run, one after another."""

from __future__ import annotations

import re
from pathlib import Path

import torch

README = Path(__file__).parents[2] / "packages" / "segmenter" / "README.md"


def test_the_examples_run() -> None:
    torch.manual_seed(0)
    examples = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    for example in examples:
        exec(example, names)
    assert names["losses"].total.isfinite()
    assert [len(frames) for frames in names["instances"]] == [3]
    assert names["out"].shape == (1, 100, 256)
