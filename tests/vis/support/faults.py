"""What every fault of an input file must look like."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vidgap_vis.errors import InputError


def assert_fault(read: Callable[[Path], object], path: Path, message: str) -> None:
    """Check that `read(path)` fails in one line that names the file and matches `message`."""
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
