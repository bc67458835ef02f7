"""The memory that a call takes."""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

MEBI = 2**20


def peak_mib(call: Callable[[], Any]) -> float | None:
    """Return the rise of the resident set during a call; None if the system does not tell.

    It is right for large tensors; small ones may fit into memory that the allocator keeps.
    """
    if sys.platform != "linux":
        call()
        return None
    ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    except OSError:
        call()
        return None
    before = _status("VmRSS")
    call()
    return (_status("VmHWM") - before) / MEBI


def _status(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
