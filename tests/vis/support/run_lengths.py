"""Run lengths as COCO's strings, written from the format's description; any lengths, even wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from vidgap_vis.formats.rle import Rle, Size


def compressed(counts: Sequence[int]) -> str:
    """The string of run lengths; unlike an encoder's, they may be zero, negative or too large."""
    before = [0, 0, 0, *counts[1:]]
    return "".join(digits(count - before[i]) for i, count in enumerate(counts))


def digits(number: int) -> str:
    """A signed number, five bits a character, the lowest first."""
    text = ""
    while True:
        low, number = number & 31, number >> 5
        last = number == (-1 if low & 16 else 0)
        text += chr(48 + low + (0 if last else 32))
        if last:
            return text


def plain_counts(mask: np.ndarray) -> list[int]:
    """The run lengths of a mask, (H, W), down its columns."""
    counts, inside = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != inside:
            counts.append(0)
            inside = pixel
        counts[-1] += 1
    return counts


@st.composite
def masks(draw: st.DrawFn, size: Size) -> Rle:
    """Masks of one size: any run lengths, many of zero, so that runs touch."""
    pixels = size[0] * size[1]
    cuts = draw(st.lists(st.integers(0, pixels), max_size=12))
    edges = [0, *sorted(cuts), pixels]
    return Rle(size, compressed(np.diff(edges).tolist()))


def mutated(draw: st.DrawFn, text: str, alphabet: st.SearchStrategy[str]) -> str:
    """A text with a stretch deleted, repeated or replaced."""
    start = draw(st.integers(0, len(text)))
    stop = draw(st.integers(start, min(len(text), start + 8)))
    kind = draw(st.sampled_from(["delete", "repeat", "replace", "truncate"]))
    middle = {"repeat": text[start:stop] * 2, "replace": draw(alphabet)}.get(kind, "")
    return text[:start] + middle + ("" if kind == "truncate" else text[stop:])
