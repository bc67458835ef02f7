"""What the backends of `window_attention` are told beside tensors."""

from __future__ import annotations

from typing import NamedTuple


class WindowSettings(NamedTuple):
    """The arguments of the op, where they are described and checked."""

    num_heads: int
    window_size: int
    shift: int
    partner: tuple[int, ...] | None
