"""The README's examples run as they stand, one after the other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from augment.clips import assert_whole

README = Path(__file__).parents[2] / "packages" / "augment" / "README.md"


def test_the_examples_of_the_readme_run() -> None:
    examples = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 7
    names: dict[str, Any] = {"__name__": "readme"}
    for number, example in enumerate(examples):
        exec(compile(example, f"{README}, example {number}", "exec"), names)
        assert_whole(names["clip"])
    assert names["masks"].shape == (3, 3, 240, 320)
