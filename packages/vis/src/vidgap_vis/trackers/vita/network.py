"""VITA: objects of a whole video from the queries of its frames (Heo et al., NeurIPS 2022, §3).

*VITA: Video Instance Segmentation via Object Token Association*. The frames themselves are not
looked at: what a frame decoder's queries hold of them is what the video's queries are made from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vidgap_segmenter.mlp import mlp
from vidgap_segmenter.precision import at_least_float32, autocast_off
from vidgap_vis.trackers.layers import AttentionLayer, FFNLayer
from vidgap_vis.trackers.vita.encoder import ObjectEncoder


@dataclass(frozen=True)
class ClipPrediction:
    """What clip queries predict; float32 or more.

    Attributes:
        class_logits: (..., cQ, K+1), index K is "no instance".
        mask_embeddings: (..., cQ, C), for `VITA.mask_logits`.
    """

    class_logits: Tensor
    mask_embeddings: Tensor


@dataclass(frozen=True)
class VITAOutput(ClipPrediction):
    """The prediction of the last decoder layer, and what training and GenVIS need besides.

    Attributes:
        queries: (..., cQ, C), what the last layer gives, before the norm.
        frame_similarity: (..., T, fQ, C), whose dot products with `clip_similarity` tell whether
            two queries show the same instance.
        clip_similarity: (..., cQ, C), likewise.
        auxiliary: of the layers before the last, first to last; empty in eval mode.
    """

    queries: Tensor
    frame_similarity: Tensor
    clip_similarity: Tensor
    auxiliary: tuple[ClipPrediction, ...] = ()


class DecoderLayer(nn.Module):
    """Clip queries read the frame queries, then each other: cross, self, feed-forward."""

    def __init__(self, channels: int, num_heads: int, ffn_channels: int) -> None:
        super().__init__()
        self.cross_attention = AttentionLayer(channels, num_heads)
        self.self_attention = AttentionLayer(channels, num_heads)
        self.ffn = FFNLayer(channels, ffn_channels)

    def forward(self, queries: Tensor, query_pos: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Return refined clip queries (B, cQ, C).

        Args:
            queries: (B, cQ, C).
            query_pos: their learned positions, (cQ, C).
            keys: (B, T*fQ, C), frame queries with theirs.
            values: (B, T*fQ, C), without.
        """
        queries = self.cross_attention(queries, queries + query_pos, keys, values)
        positioned = queries + query_pos
        return self.ffn(self.self_attention(queries, positioned, positioned, queries))


class VITA(nn.Module):
    """The head of VITA on the queries of a frame decoder.

    Args:
        num_classes: K, without "no instance".
        num_frame_queries: fQ, of the frame decoder.
        channels: C of frame queries, clip queries and masks' features.
        num_queries: cQ, clip queries.
        num_encoder_layers: see `ObjectEncoder`.
        num_layers: decoder layers.
        num_heads: attention heads.
        ffn_channels: hidden channels of the feed-forward parts.
        window: frames that attend to each other in the encoder; 0: all (GenVIS).

    Attributes:
        config: these arguments, as JSON can hold them.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        num_frame_queries: int = 100,
        channels: int = 256,
        num_queries: int = 100,
        num_encoder_layers: int = 6,
        num_layers: int = 3,
        num_heads: int = 8,
        ffn_channels: int = 2048,
        window: int = 6,
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "num_classes": num_classes,
            "num_frame_queries": num_frame_queries,
            "channels": channels,
            "num_queries": num_queries,
            "num_encoder_layers": num_encoder_layers,
            "num_layers": num_layers,
            "num_heads": num_heads,
            "ffn_channels": ffn_channels,
            "window": window,
        }
        self.num_classes = num_classes
        self.num_queries = num_queries
        self.input_proj = nn.Linear(channels, channels)
        self.encoder = ObjectEncoder(
            channels,
            num_layers=num_encoder_layers,
            num_heads=num_heads,
            ffn_channels=ffn_channels,
            window=window,
        )
        self.query_feat = nn.Embedding(num_queries, channels)
        self.query_embed = nn.Embedding(num_queries, channels)
        self.frame_query_pos = nn.Embedding(num_frame_queries, channels)
        self.layers = nn.ModuleList(
            DecoderLayer(channels, num_heads, ffn_channels) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(channels)
        self.class_embed = nn.Linear(channels, num_classes + 1)
        self.mask_embed = mlp(channels, channels, channels)
        self.frame_similarity = nn.Linear(channels, channels)
        self.clip_similarity = nn.Linear(channels, channels)
        self.mask_proj = nn.Conv2d(channels, channels, 1)

    def forward(self, frame_queries: Tensor, start: Tensor | None = None) -> VITAOutput:
        """Predict the instances of videos, or of clips.

        Args:
            frame_queries: (..., T, fQ, C), normed, with any axes in front: (B, T, fQ, C), or in
                training the last L frame-decoder levels, (L, B, T, fQ, C), each decoded by itself.
            start: (..., cQ, C), the clip queries to begin with; None: the learned ones.

        Raises:
            ValueError: there is no frame, or the queries, channels or `start` have another shape.
        """
        leading = self._check(frame_queries, start)
        num_frames = frame_queries.shape[-3]
        frames = self.encoder(self.input_proj(frame_queries.reshape(-1, *frame_queries.shape[-3:])))
        values = frames.flatten(1, 2)  # (B, T*fQ, C)
        keys = values + self.frame_query_pos.weight.repeat(num_frames, 1)
        if start is None:
            queries = self.query_feat.weight.expand(len(frames), -1, -1)
        else:
            queries = start.reshape(-1, *start.shape[-2:])
        auxiliary: list[ClipPrediction] = []
        for index, layer in enumerate(self.layers):
            queries = layer(queries, self.query_embed.weight, keys, values)
            if self.training and index + 1 < len(self.layers):
                auxiliary.append(ClipPrediction(*self._predict(self.norm(queries), leading)))
        normed = self.norm(queries)
        return VITAOutput(
            *self._predict(normed, leading),
            queries=at_least_float32(queries).unflatten(0, leading),
            frame_similarity=at_least_float32(self.frame_similarity(frames)).unflatten(0, leading),
            clip_similarity=at_least_float32(self.clip_similarity(normed)).unflatten(0, leading),
            auxiliary=tuple(auxiliary),
        )

    def _predict(self, normed: Tensor, leading: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Return class logits and mask embeddings; few numbers, so autocast is left out."""
        with autocast_off(normed.device):
            normed = at_least_float32(normed)
            outputs = self.class_embed(normed), self.mask_embed(normed)
        return outputs[0].unflatten(0, leading), outputs[1].unflatten(0, leading)

    def mask_logits(self, mask_embeddings: Tensor, before_projection: Tensor) -> Tensor:
        """Make masks at stride 4.

        The 1x1 convolution is applied to the embeddings, which are fewer than the pixels:
        e · (W f + b) = (Wᵀ e) · f + e · b.

        Args:
            mask_embeddings: (..., Q, C), of all clip queries or of some.
            before_projection: (..., T, C, h, w), `HeadInputs.before_projection`: the pixel
                decoder's map before its own projection. Products are in its dtype.

        Returns:
            (..., Q, T, h, w), in the embeddings' dtype.

        Raises:
            ValueError: the maps have another number of channels.
        """
        weight, bias = self.mask_proj.weight[:, :, 0, 0], self.mask_proj.bias
        assert bias is not None
        if before_projection.ndim < 4 or before_projection.shape[-3] != len(weight):
            raise ValueError(
                f"before_projection must be (..., T, {len(weight)}, h, w), "
                f"got {tuple(before_projection.shape)}"
            )
        with autocast_off(weight.device):
            folded = (mask_embeddings @ weight).to(before_projection.dtype)  # (..., Q, C)
            offset = mask_embeddings @ bias  # (..., Q)
        logits = torch.einsum("...qc,...tchw->...qthw", folded, before_projection)
        return logits + offset[..., None, None, None]

    def _check(self, frame_queries: Tensor, start: Tensor | None) -> tuple[int, ...]:
        """Return the axes in front of (T, fQ, C)."""
        shape = tuple(frame_queries.shape)
        wanted = tuple(self.frame_query_pos.weight.shape)
        if len(shape) < 4 or shape[-2:] != wanted:
            raise ValueError(
                f"frame_queries must be (..., T, {wanted[0]} queries, {wanted[1]} channels), "
                f"got {shape}"
            )
        if shape[-3] == 0:
            raise ValueError(f"frame_queries must be of 1 frame or more, got {shape}")
        if start is not None and start.shape != (*shape[:-3], self.num_queries, wanted[1]):
            raise ValueError(
                f"start must be {(*shape[:-3], self.num_queries, wanted[1])}, "
                f"got {tuple(start.shape)}"
            )
        return shape[:-3]
