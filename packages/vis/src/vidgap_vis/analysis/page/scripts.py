"""Data that a page holds, as script elements that nothing runs: read when they are looked at."""

from __future__ import annotations

import json
from typing import Any


def as_script(name: str, data: Any) -> str:
    """Return an element of ASCII characters, of which no text can end it or begin another."""
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>\n'
