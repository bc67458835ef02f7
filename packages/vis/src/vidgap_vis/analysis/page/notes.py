"""What a reader of the page must know beside its numbers."""

from __future__ import annotations

from collections.abc import Sequence

from vidgap_vis.analysis.results import Analysed

MOST_FAULTS = 5
"""Frames that are named."""

MOST_CHARACTERS = 300
"""Of a fault."""


def remarks(results: Sequence[Analysed]) -> list[str]:
    """Return what is odd about truth or results."""
    notes = []
    lines = results[0].data["videos"]
    empty = [line["name"] for line in lines if not line["truths"] and not line["crowds"]]
    if len(empty) == len(lines):
        notes.append("No video has a truth, so there is nothing to find, and no AP.")
    elif empty:
        notes.append(
            f"{len(empty)} of {len(lines)} videos have no truth; what is found there is wrong."
        )
    for one in results:
        if not one.data["size"]["predictions"]:
            notes.append(f"{one.name} has no predictions.")
        elif one.data["size"]["truths"] and not any(
            line["lost"] < len(line["truths"]) for line in one.data["videos"]
        ):
            notes.append(f"No prediction of {one.name} matches any truth.")
    return notes


def left_out(
    num_timelines: int, num_strips: int, faults: Sequence[str], max_mb: float
) -> list[str]:
    """Return what the page does not show, and why."""
    notes = []
    bound = f"the page was to have at most {max_mb:g} MB (--max_mb)"
    if num_timelines:
        notes.append(f"Timelines of the {num_timelines} best videos are left out: {bound}.")
    if num_strips:
        notes.append(f"Strips of {num_strips} moments are left out: {bound}.")
    return notes + unreadable(faults)


def unreadable(faults: Sequence[str]) -> list[str]:
    """Return a sentence about frames that cannot be read; none where there are none."""
    if not faults:
        return []
    named = "; ".join(fault[:MOST_CHARACTERS] for fault in faults[:MOST_FAULTS])
    others = len(faults) - MOST_FAULTS
    more = f"; and {others} others" if others > 0 else ""
    return [f"{len(faults)} frames cannot be shown: {named}{more}."]
