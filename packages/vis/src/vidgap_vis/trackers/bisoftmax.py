"""Bi-softmax similarity, and its greedy assignment, as CTVIS and IDOL have them."""

from __future__ import annotations

import numpy as np

from vidgap_vis.trackers.detections import Bools, Floats, Ints


def bisoftmax(detections: Floats, memories: Floats) -> Floats:
    """Return the mean of two softmaxes of dot products: over tracks, and over detections.

    Args:
        detections: (D, C), D and M at least 1.
        memories: (M, C), of tracks.

    Returns:
        (D, M), of the detections' dtype.
    """
    dots = detections @ memories.T
    both: Floats = (softmax(dots, 1) + softmax(dots, 0)) / detections.dtype.type(2)
    return both


def softmax(values: Floats, axis: int) -> Floats:
    """Return the softmax of a matrix along an axis."""
    powers = np.exp(values - values.max(axis=axis, keepdims=True))
    result: Floats = powers / powers.sum(axis=axis, keepdims=True)
    return result


def match_greedily(similarity: Floats, threshold: float, weights: Ints | None) -> Ints:
    """Return the column of each row's track, the first row first, -1 for none: (D,).

    A row gets the best of the columns that are left, if it is above the threshold. Where several
    are above, each counts by its weight.

    Args:
        similarity: (D, M), in [0, 1], of detections, best first, and tracks.
        threshold: what similarities have to be above.
        weights: (M,), 1 or more, the frames that have shown each track; None: all alike.
    """
    columns = np.full(len(similarity), -1, np.int64)
    if similarity.size == 0:
        return columns
    best, above = _best(similarity, threshold, weights)
    taken = np.zeros(similarity.shape[1], np.bool_)
    for row in range(len(similarity)):
        column, matches = best[row], above[row]
        if taken[column]:  # another detection was better; what is left may do
            left = similarity[[row]]
            left[:, taken] = 0
            (column,), (matches,) = _best(left, threshold, weights)
        if matches:
            columns[row] = column
            taken[column] = True
    return columns


def _best(similarity: Floats, threshold: float, weights: Ints | None) -> tuple[Ints, Bools]:
    """Return the best column (D,) of each row (D, M), and whether it is above the threshold."""
    above = similarity > threshold
    values = similarity
    if weights is not None:
        # A track that is not above cannot win by its weight: those that are weigh 1 or more.
        several = above.sum(axis=1, keepdims=True) > 1
        values = np.where(several, similarity * weights * above, similarity)
    best = values.argmax(axis=1)
    return best, above[np.arange(len(best)), best]
