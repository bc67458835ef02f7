"""Colours by which a track and the truth that it follows are known from frame to frame."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from vidgap_vis.evaluation.arrays import Ints
from vidgap_vis.evaluation.reassignment import NONE


def track_colours(owners: Ints, tracks: Iterable[int]) -> dict[int, int]:
    """Number the colours of tracks.

    Truth n has colour n. So has, of the tracks that find it more often than any other truth, the
    one that does so in most frames. Other tracks have colours of their own.

    Args:
        owners: (T, N), the track that finds each truth in each frame; -1: none.
        tracks: that need a colour, too.

    Returns:
        track -> number of its colour.
    """
    num_truths = owners.shape[1]
    finders, times = np.unique(owners[owners != NONE], return_counts=True)
    best: dict[int, tuple[int, int]] = {}  # truth -> (frames, track)
    for track in finders.tolist():
        counts = (owners == track).sum(axis=0)
        truth = int(counts.argmax())
        best[truth] = max(best.get(truth, (0, NONE)), (int(counts[truth]), track))
    colours = {track: truth for truth, (_, track) in best.items()}
    for track in dict.fromkeys([*finders[np.argsort(-times, kind="stable")].tolist(), *tracks]):
        if track not in colours:
            colours[track] = max([num_truths - 1, *colours.values()]) + 1
    return colours
