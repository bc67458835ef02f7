"""What IDOL's embeddings learn by: key frame against reference frame (Wu et al., ECCV 2022, §3.2).

The embedding of an instance in the key frame should be like those of its queries in the reference
frame, and unlike the others there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidgap_segmenter.losses import mean_over_processes
from vidgap_segmenter.points import Sampler, uniform
from vidgap_segmenter.precision import at_least_float32, autocast_off
from vidgap_segmenter.structures import describe
from vidgap_vis.trackers.idol.targets import FrameCosts, one_to_many

NUM_POSITIVE, NUM_CANDIDATES = 10, 100
"""How many IoUs are summed for an instance's positives, and for what is no negative of it."""


@dataclass(frozen=True)
class ReidTargets:
    """What the embeddings of B pairs of a key and a reference frame are compared with.

    Attributes:
        anchors: (B, N) int64, the query of each instance in the key frame, -1 where one of the two
            frames lacks it.
        positives: (B, N, Q) bool, its queries in the reference frame.
        negatives: (B, N, Q) bool, those that do not show it; what is neither does not count.
    """

    anchors: Tensor
    positives: Tensor
    negatives: Tensor

    @classmethod
    def of(
        cls, key: FrameCosts, reference: FrameCosts, *, idol_compat: bool = False
    ) -> ReidTargets:
        """Choose them, on the CPU.

        Args:
            key: the costs of the key frames.
            reference: those of the reference frames, with the same instances.
            idol_compat: as in `one_to_many`; the release then chooses candidates by the costs that
                it changed while it chose positives, and a positive that is no candidate is a
                negative too.

        Raises:
            ValueError: the two list other numbers of frames or instances.
        """
        if key.present.shape != reference.present.shape:
            raise ValueError(
                f"reference must be of {key.present.shape} frames and instances as key, "
                f"got {reference.present.shape}"
            )
        found = [
            one_to_many(frames, most, idol_compat=idol_compat)
            for frames, most in (
                (key, NUM_POSITIVE),
                (reference, NUM_POSITIVE),
                (reference, NUM_CANDIDATES),
            )
        ]
        anchors, best = (torch.from_numpy(table.best) for table in found[:2])
        positive, candidate = (torch.from_numpy(table.taken) for table in found[1:])
        shown = (anchors >= 0) & (best >= 0)
        negative = ~candidate & shown[..., None]
        if not idol_compat:
            negative = negative & ~positive
        return cls(anchors.where(shown, -1), positive & shown[..., None], negative)

    def to(self, device: torch.device | str) -> ReidTargets:
        """Return the same targets on `device`."""
        moved = (x.to(device) for x in (self.anchors, self.positives, self.negatives))
        return ReidTargets(*moved)


class ReidLoss(nn.Module):
    """Contrast the embeddings of two frames (IDOL §3.2, eqs. 3 to 5).

    An instance's losses are log(1 + sum exp(anchor . negative - anchor . positive)) over all pairs
    of a positive and a negative, and the mean squared error of cosines from 1 and 0, over all
    positives and some negatives, which are drawn.

    Args:
        weight: of the first loss.
        cosine_weight: of the second.
        negatives: drawn for each positive, for the second loss.
        draw: draws what is left to chance.
    """

    def __init__(
        self,
        *,
        weight: float = 2.0,
        cosine_weight: float = 3.0,
        negatives: int = 10,
        draw: Sampler = uniform,
    ) -> None:
        super().__init__()
        if negatives < 1:
            raise ValueError(f"negatives must be at least 1, got {negatives}")
        self.weights = {"contrast": weight, "cosine": cosine_weight}
        self.negatives = negatives
        self.draw = draw

    def forward(self, key: Tensor, reference: Tensor, targets: ReidTargets) -> dict[str, Tensor]:
        """Compute both losses, unweighted, as means over all instances of the batch.

        Args:
            key: embeddings of the key frames, (B, Q, C), floating; computed in float32 or more.
            reference: those of the reference frames, (B, Q, C).
            targets: on any device.

        Returns:
            "contrast" and "cosine", scalars; 0 where no instance is in both frames.

        Raises:
            ValueError: the three do not fit each other.
        """
        if key.ndim != 3 or reference.shape != key.shape:
            raise ValueError(
                f"key and reference must be (B, Q, C), got {describe(key)}, {describe(reference)}"
            )
        clips, _, queries = targets.positives.shape
        if (clips, queries) != key.shape[:2]:
            raise ValueError(
                f"targets must be of {tuple(key.shape[:2])} clips and queries, "
                f"got {(clips, queries)}"
            )
        with autocast_off(key.device):
            targets = targets.to(key.device)
            items = targets.anchors >= 0
            mean = mean_over_processes(items.sum(), key.device).clamp(min=1)
            anchors, others = self._vectors(key, reference, targets.anchors)
            contrast = _contrast(anchors @ others.mT, targets)
            cosines = F.normalize(anchors, dim=-1) @ F.normalize(others, dim=-1).mT
            drawn = self._drawn(targets)
            squares = (cosines - 1) ** 2 * targets.positives + cosines**2 * drawn
            counts = targets.positives.sum(-1) + drawn.sum(-1)
            cosine = squares.sum(-1) / counts.clamp(min=1)
            return {
                "contrast": torch.where(items, contrast, 0).sum() / mean,
                "cosine": torch.where(items, cosine, 0).sum() / mean,
            }

    @staticmethod
    def _vectors(key: Tensor, reference: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor]:
        """Return the anchors (B, N, C) and all embeddings of the reference frames (B, Q, C)."""
        index = anchors.clamp(min=0)[..., None].expand(-1, -1, key.shape[2])
        return at_least_float32(key).gather(1, index), at_least_float32(reference)

    def _drawn(self, targets: ReidTargets) -> Tensor:
        """Choose `negatives` for each positive, or all if there are fewer, (B, N, Q)."""
        keys = self.draw(tuple(targets.negatives.shape), device=targets.negatives.device)
        keys = keys.masked_fill(~targets.negatives, torch.inf)
        ranks = keys.argsort(dim=-1, stable=True).argsort(dim=-1)
        wanted = self.negatives * targets.positives.sum(-1, keepdim=True)
        return targets.negatives & (ranks < wanted)


def _contrast(dots: Tensor, targets: ReidTargets) -> Tensor:
    """Return log(1 + sum exp(negative - positive)) of dot products (B, N, Q), (B, N)."""
    # Finite: with no positive or no negative the loss is 0, and so are its gradients.
    least = torch.finfo(dots.dtype).min / 4
    far = dots.masked_fill(~targets.negatives, least).logsumexp(-1)
    near = (-dots).masked_fill(~targets.positives, least).logsumexp(-1)
    return F.softplus(far + near)
