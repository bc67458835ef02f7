"""The result of a video: the best pairs of a clip query and a class, ranked with their masks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vidgap_segmenter.precision import at_least_float32


class VideoResult:
    """The best pairs of a query and a class, whose masks are made window by window.

    What must be kept of a video before its masks can be made are its frame queries for VITA, fQ * C
    numbers a frame (102,400 bytes for 100 queries of 256 float32 numbers), and for GenVIS the mask
    embeddings, cQ * C numbers a clip. The masks of a window are made of its stride-4 maps, which
    are read again or kept elsewhere; here two sums a pair remain of them.

    Args:
        probabilities: (cQ, K), without "no instance"; GenVIS: their maximum over clips.
        top_k: pairs, at most cQ * K.

    Raises:
        ValueError: top_k is less than 1.

    Attributes:
        queries: (n,) int64, of each pair, the best class score first.
        labels: (n,) int64.
        class_scores: (n,).
    """

    def __init__(self, probabilities: Tensor, top_k: int) -> None:
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        flat, order = probabilities.flatten().sort(descending=True, stable=True)
        self.class_scores, order = flat[:top_k], order[:top_k]
        self.queries = order // probabilities.shape[1]
        self.labels = order % probabilities.shape[1]
        self._inside = torch.zeros_like(self.class_scores, dtype=torch.float64)
        self._pixels = torch.zeros_like(self._inside)

    def add(
        self,
        mask_logits: Tensor,
        padded_size: tuple[int, int],
        frame_size: tuple[int, int],
        size: tuple[int, int],
    ) -> Tensor:
        """Take the masks of the next T frames, a frame at a time.

        Args:
            mask_logits: (n, T, h, w) of `queries`, over the padded frames.
            padded_size: (H, W) of the frames the network saw, with padding.
            frame_size: (H, W) without.
            size: (H, W) of the masks to return.

        Returns:
            (n, T, H, W) bool of `size`, in the order of `queries`.

        Raises:
            ValueError: there are no masks for each pair.
        """
        if mask_logits.ndim != 4 or len(mask_logits) != len(self.queries):
            raise ValueError(
                f"mask_logits must be ({len(self.queries)}, T, h, w), "
                f"got {tuple(mask_logits.shape)}"
            )
        height, width = frame_size
        masks = mask_logits.new_zeros((*mask_logits.shape[:2], *size), dtype=torch.bool)
        for time in range(mask_logits.shape[1]):
            padded = _resize(at_least_float32(mask_logits[:, time]), padded_size)
            logits = padded[:, :height, :width]
            probabilities = logits.sigmoid()
            inside = probabilities > 0.5
            self._inside += (probabilities * inside).sum((1, 2), dtype=torch.float64)
            self._pixels += inside.sum((1, 2))
            masks[:, time] = _resize(logits, size) > 0
        return masks

    def scores(self) -> Tensor:
        """Return the pairs' scores (n,): class score times the mean mask probability inside.

        The mean is over all pixels of the frames so far, at `frame_size`; 0 where the masks are
        empty.
        """
        return self.class_scores * (self._inside / (self._pixels + 1e-6)).to(self.class_scores)

    def order(self) -> Tensor:
        """Return the pairs (n,) by falling score; of equal ones, the lower label first."""
        rows = self.labels.argsort(stable=True)
        return rows[self.scores()[rows].argsort(descending=True, stable=True)]


def _resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (n, h, w), bilinear."""
    return F.interpolate(maps[None], size=size, mode="bilinear", align_corners=False)[0]
