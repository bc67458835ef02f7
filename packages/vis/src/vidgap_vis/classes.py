"""The classes of a data set: our index, its own category id, its name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class ClassInfo:
    """One class.

    Attributes:
        index: the label, 0..K-1.
        category_id: the id that the data set's own files use.
        name: for people to read.
    """

    index: int
    category_id: int
    name: str


ClassList = tuple[ClassInfo, ...]
"""All classes of a data set; entry i has index i."""


def from_categories(categories: Iterable[tuple[int, str]]) -> ClassList:
    """Number (category id, name) pairs in the order of their ids.

    Raises:
        ValueError: an id occurs twice.
    """
    ordered = sorted(categories, key=lambda category: category[0])
    for before, after in pairwise(ordered):
        if before[0] == after[0]:
            raise ValueError(
                f"category ids must differ, got {after[0]} for {before[1]!r} and {after[1]!r}"
            )
    return tuple(
        ClassInfo(index, category_id, name) for index, (category_id, name) in enumerate(ordered)
    )
