"""How the Triton kernels split windows and heads of a size, and which are too large for them."""

from __future__ import annotations

from dataclasses import dataclass

from vidgap_temporal.ops.backend import Obstacle

SMALLEST_BLOCK = 64
"""Tokens of a block: windows smaller than 8x8 share one."""

MOST_TOKENS = 256
"""Tokens of a window: 16x16. A program holds all of its keys."""

MOST_ELEMENTS = 8192
"""Elements of a head's keys in a block, both axes padded; more do not fit a GPU's 99 KiB."""

MOST_FRAMES = 1024
"""Frames of a clip with partners, which are arguments of a kernel: there is room for 4 kB."""


@dataclass(frozen=True)
class Tiles:
    """How the kernels split their work; `kernels.py` explains the terms.

    Attributes:
        pack: windows of a block.
        keys: slots of a block.
        queries: slots of a piece of a block.
        depth: channels of a head, padded.
        num_warps: of a program.
        num_stages: 2 where the maps of the next block are fetched while this one is computed.
    """

    pack: int
    keys: int
    queries: int
    depth: int
    num_warps: int
    num_stages: int


def tiles_of(window_size: int, head_channels: int, itemsize: int) -> Tiles:
    """Return what fits into the registers (docs/kernels.md) for elements of `itemsize` bytes."""
    tokens = window_size**2
    keys = max(SMALLEST_BLOCK, power_of_two(tokens))
    depth = max(16, power_of_two(head_channels))
    row_bytes = depth * itemsize
    queries = SMALLEST_BLOCK if keys == SMALLEST_BLOCK and row_bytes <= 128 else 16
    is_small = queries == keys and row_bytes <= 64 and itemsize == 2
    num_warps, num_stages = (4, 2) if is_small else (8, 1)
    return Tiles(max(1, keys // tokens), keys, queries, depth, num_warps, num_stages)


def power_of_two(size: int) -> int:
    """Return the smallest power of two that is no less."""
    return 1 << (size - 1).bit_length()


def obstacle_of_size(window_size: int, head_channels: int, num_frames: int) -> Obstacle | None:
    """Say what is too large for the kernels."""
    if window_size**2 > MOST_TOKENS:
        return Obstacle(f"takes windows of up to {MOST_TOKENS} tokens, not of {window_size**2}")
    tiles = tiles_of(window_size, head_channels, 4)
    if tiles.keys * tiles.depth > MOST_ELEMENTS:
        return Obstacle(
            f"takes heads of up to {MOST_ELEMENTS // tiles.keys} channels for windows of "
            f"{window_size}x{window_size}, not of {head_channels}"
        )
    if num_frames > MOST_FRAMES:
        return Obstacle(f"takes clips of up to {MOST_FRAMES} frames, not of {num_frames}")
    return None
