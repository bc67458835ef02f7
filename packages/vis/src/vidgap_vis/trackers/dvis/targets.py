"""Which query learns which instance: the one that it is matched with when it first appears."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from vidgap_segmenter import ClipTargets, Criterion, Prediction
from vidgap_segmenter.frame_targets import FrameTargets
from vidgap_segmenter.joint.matching import ClipMatching
from vidgap_segmenter.matcher import assign, weighted_table
from vidgap_segmenter.precision import at_least_float32
from vidgap_segmenter.structures import by_frame


def consistent_matching(
    criterion: Criterion,
    prediction: Prediction,
    targets: Sequence[ClipTargets],
    listed: FrameTargets,
    *,
    reuse_queries: bool = False,
) -> ClipMatching:
    """Match each instance in the first frame that shows it; it keeps that query in all frames.

    DVIS (Zhang et al., ICCV 2023), "Referring Tracker". An instance that no frame shows, and one
    that finds all queries taken, has no query. The device is waited for once, for all costs.

    Args:
        criterion: whose costs count, those of single frames.
        prediction: (B, Q, T, ...), in which a query is one instance.
        targets: of the B clips, on the device of `prediction`.
        listed: the same, which list all instances in every frame (`list_unseen`).
        reuse_queries: let an instance that comes later take a query that another one has, as the
            release does: both masks are then learned, and the class of the later one.

    Returns:
        Pairs in the order of matching: by first frame, then by query.

    Raises:
        NonFiniteLoss: a cost is not finite.
    """
    frames = FrameTargets.from_clips([_at_first(clip) for clip in targets], listed.padded_size)
    costs = criterion.costs(
        at_least_float32(by_frame(prediction.class_logits)),
        at_least_float32(by_frame(prediction.mask_logits)),
        frames,
    )
    table = weighted_table(costs, criterion.weights).numpy()  # (B*T, Q, n)
    newcomers = np.split(frames.instances.cpu().numpy(), np.cumsum(frames.counts)[:-1])
    num_frames = listed.num_frames
    pairs: list[list[tuple[int, int]]] = [[] for _ in targets]
    for frame, instances in enumerate(newcomers):
        own = pairs[frame // num_frames]
        taken = [] if reuse_queries else [query for query, _ in own]
        free = np.setdiff1d(np.arange(table.shape[1]), taken)
        slots = assign(table[frame], free, range(len(instances)))
        own.extend((query, int(instances[slot])) for query, slot in slots)
    return ClipMatching.of(pairs, listed)


def _at_first(clip: ClipTargets) -> ClipTargets:
    """Leave each instance's mask in the first frame that shows it."""
    present = clip.masks.flatten(2).any(-1)  # (N, T)
    first: Tensor = present & (present.cumsum(1) == 1)
    return replace(clip, masks=clip.masks & first[..., None, None])
