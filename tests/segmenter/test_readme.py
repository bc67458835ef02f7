"""The example of the package's README runs."""

from __future__ import annotations

import re
from pathlib import Path

import torch

README = Path(__file__).parents[2] / "packages" / "segmenter" / "README.md"


def test_the_example_runs() -> None:
    torch.manual_seed(0)
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(example, names)
    assert names["losses"].total.isfinite()
    assert [len(frames) for frames in names["instances"]] == [3]
