"""The README's example runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import torch

README = Path(__file__).parents[2] / "packages" / "temporal" / "README.md"


def test_the_example_of_the_readme_runs():
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(example, str(README), "exec"), names)
    for maps, clip in zip(names["mixed"], names["clip"], strict=True):
        assert torch.equal(maps, clip[:, -1:])  # the identity, frame by frame
