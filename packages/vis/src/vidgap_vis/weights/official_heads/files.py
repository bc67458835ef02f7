"""The head of an official file, whosever it is, and the official names of a head's weights."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from vidgap_vis.trackers.dvis import DVIS
from vidgap_vis.trackers.genvis import GenVIS
from vidgap_vis.trackers.heads import LearnedHead
from vidgap_vis.trackers.vita import VITA
from vidgap_vis.weights.official_heads import dvis, vita

PREFIXES = (dvis.TRACKER, dvis.REFINER, vita.PREFIX)
"""Of the names of heads; all others are the segmenter's."""


def read_head(state: Mapping[str, Tensor], num_heads: int | None = None) -> LearnedHead | None:
    """Make the head of an official file; None where there is none.

    Args:
        state: the file's weights under `PREFIXES`, by their official names.
        num_heads: of all attentions, which no weight tells; None: 8, as in all official ones.

    Raises:
        ValueError: no table knows a name, or part of a head is missing.
        WeightsMismatch: a weight is missing, too many or of another shape.
    """
    heads = 8 if num_heads is None else num_heads
    if any(name.startswith(vita.PREFIX) for name in state):
        return vita.vita_head(state, num_heads=heads).head
    if state:
        found = dvis.dvis_heads(state, num_heads=heads)
        return DVIS(found.tracker, found.refiner).eval()
    return None


def official_names(head: LearnedHead) -> dict[str, Tensor]:
    """Return the weights of a head under their official names.

    Raises:
        ValueError: there is no official file of such a head.
    """
    tables = {
        DVIS: dvis.TABLE,
        VITA: vita.vita_table(),
        GenVIS: vita.genvis_table(),
    }
    table = tables.get(type(head))
    if table is None:
        raise ValueError(f"official names: a {type(head).__name__} has none")
    return table.to_theirs(head.state_dict())


def title_of(head: LearnedHead) -> str:
    """Return what a head is called in reports."""
    if isinstance(head, DVIS):
        return "DVIS's tracker and refiner" if head.refiner else "DVIS's tracker"
    return f"{type(head).__name__}'s head"
