"""What DVIS predicts from queries, and the layers that do it: tracker and refiner have one each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vidgap_segmenter.mlp import mlp
from vidgap_segmenter.structures import describe


@dataclass(frozen=True)
class QueryPrediction:
    """What is predicted for the queries of T frames; a query's index is its identity.

    Attributes:
        class_logits: (B, Q, T, K+1), index K is "no instance".
        mask_embeddings: (B, Q, T, C), whose dot products with mask features are mask logits
            (`mask_logits`): the masks of a video need not exist at once.
        queries: (B, Q, T, C), normed.
        auxiliary: predictions of the earlier layers, first to last (empty in eval mode).
    """

    class_logits: Tensor
    mask_embeddings: Tensor
    queries: Tensor
    auxiliary: tuple[QueryPrediction, ...] = ()


class PredictionHead(nn.Module):
    """A norm, a linear layer to classes and an MLP to mask embeddings, shared by all layers.

    Args:
        channels: C.
        num_classes: K, without "no instance".
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.class_embed = nn.Linear(channels, num_classes + 1)
        self.mask_embed = mlp(channels, channels, channels)

    def forward(self, x: Tensor) -> QueryPrediction:
        """Predict from the output of a layer, (B, Q, T, C), not normed."""
        queries = self.norm(x)
        return QueryPrediction(self.class_embed(queries), self.mask_embed(queries), queries)


def mask_logits(mask_embeddings: Tensor, mask_features: Tensor) -> Tensor:
    """Multiply mask embeddings with the mask features of their frames.

    Frames do not mix: those of a video may come in parts of any length.

    Args:
        mask_embeddings: (B, Q, T, C).
        mask_features: (B, T, C, h, w).

    Returns:
        (B, Q, T, h, w).

    Raises:
        ValueError: clips, frames or channels of the two differ.
    """
    clips, _, frames, channels = mask_embeddings.shape
    if mask_features.ndim != 5 or mask_features.shape[:3] != (clips, frames, channels):
        raise ValueError(
            f"mask_features must be ({clips}, {frames}, {channels}, h, w) to match "
            f"mask_embeddings, got {describe(mask_features)}"
        )
    return torch.einsum("bqtc,btchw->bqthw", mask_embeddings, mask_features)


def check_queries(name: str, queries: Tensor, channels: int) -> None:
    """Raise ValueError unless queries are (B, Q, T, channels) with a frame."""
    if queries.ndim != 4 or queries.shape[3] != channels:
        raise ValueError(f"{name} must be (B, Q, T, {channels}), got {describe(queries)}")
    if queries.shape[2] == 0:
        raise ValueError(f"{name} must have a frame, T >= 1, got {describe(queries)}")
