"""The results of a video: scores, the best pairs of a query and a class, and their masks.

All on tensors of a part of a video, so that no more than that part is held: class logits are summed
over frames as they come, masks are made and resized window by window. A frame's masks of n pairs
take n * H * W bytes; its mask logits of Q queries 4 * Q * h * w, so take the chosen queries'
embeddings first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vidgap_segmenter.precision import at_least_float32
from vidgap_segmenter.structures import describe


@dataclass(frozen=True)
class BestPairs:
    """Pairs of a query and a class, best first; of equal scores the lower label comes first.

    Attributes:
        queries: (n,) int64. A query may occur with several classes.
        labels: (n,) int64.
        scores: (n,), float32 or more.
    """

    queries: Tensor
    labels: Tensor
    scores: Tensor


def online_scores(mean_logits: Tensor) -> Tensor:
    """Return the class scores (..., K) of the tracker's class logits (..., K+1), mean of frames."""
    return at_least_float32(mean_logits).softmax(-1)[..., :-1]


def offline_scores(mean_logits: Tensor, refined_logits: Tensor) -> Tensor:
    """Return the class scores with a refiner: the larger probability of the two, (..., K).

    Args:
        mean_logits: (..., K+1), the tracker's, mean over frames.
        refined_logits: (..., K+1), the refiner's of any frame: they are the same in all.

    Raises:
        ValueError: the two differ in shape.
    """
    if mean_logits.shape != refined_logits.shape:
        raise ValueError(
            f"refined_logits must be {tuple(mean_logits.shape)} as mean_logits, "
            f"got {describe(refined_logits)}"
        )
    return torch.maximum(online_scores(mean_logits), online_scores(refined_logits))


def best_pairs(scores: Tensor, top_n: int) -> BestPairs:
    """Return the best pairs of all queries and classes.

    The release lists 10 a video on YouTube-VIS and 20 on OVIS. Masks do not count.

    Args:
        scores: (Q, K).
        top_n: at most so many.

    Raises:
        ValueError: scores are of another number of axes, or top_n is less than 1.
    """
    if scores.ndim != 2:
        raise ValueError(f"scores must be (Q, K), got {describe(scores)}")
    if top_n < 1:
        raise ValueError(f"top_n must be at least 1, got {top_n}")
    flat = scores.T.flatten()  # labels before queries: a stable sort breaks ties by label
    index = flat.argsort(descending=True, stable=True)[:top_n]
    num_queries = len(scores)
    return BestPairs(index % num_queries, index // num_queries, flat[index])


def result_masks(
    logits: Tensor,
    *,
    padded_size: tuple[int, int],
    frame_size: tuple[int, int],
    size: tuple[int, int],
) -> Tensor:
    """Resize mask logits to the padded frame, crop the padding, resize to `size`, threshold at 0.

    Args:
        logits: (N, T, h, w), over the padded frames, of a window of any T.
        padded_size: (H, W) of the frames that the network saw.
        frame_size: (H, W) of them without padding.
        size: (H, W) wanted, usually that of the frames on disk.

    Returns:
        (N, T, H, W) bool.

    Raises:
        ValueError: logits are of another number of axes, or a frame is larger than padded.
    """
    if logits.ndim != 4:
        raise ValueError(f"logits must be (N, T, h, w), got {describe(logits)}")
    if any(side > padded for side, padded in zip(frame_size, padded_size, strict=True)):
        raise ValueError(f"frame_size must be within the padded {padded_size}, got {frame_size}")
    large = _resize(at_least_float32(logits), padded_size)
    return _resize(large[..., : frame_size[0], : frame_size[1]], size) > 0


def _resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    if 0 in maps.shape:
        return maps.new_zeros(*maps.shape[:2], *size)
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
