"""The temporal refiner: the tracks of a whole video, read at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from vidgap_segmenter.precision import at_least_float32
from vidgap_segmenter.structures import describe
from vidgap_vis.trackers.dvis.prediction import PredictionHead, QueryPrediction, check_queries
from vidgap_vis.trackers.layers import AttentionLayer, FFNLayer


class RefinerLayer(nn.Module):
    """Attention and convolutions over time; instances; a frame's queries; FFN.

    Args:
        channels: C.
        num_heads: of the attentions.
        ffn_channels: of the FFN's hidden layer.
    """

    def __init__(self, channels: int, num_heads: int, ffn_channels: int) -> None:
        super().__init__()
        self.time_attention = AttentionLayer(channels, num_heads)
        self.short_term = nn.Sequential(
            nn.Conv1d(channels, channels, 5, padding="same", padding_mode="replicate"),
            nn.ReLU(),
            nn.Conv1d(channels, channels, 3, padding="same", padding_mode="replicate"),
        )
        self.short_term_norm = nn.LayerNorm(channels)
        self.object_attention = AttentionLayer(channels, num_heads)
        self.cross_attention = AttentionLayer(channels, num_heads)
        self.ffn = FFNLayer(channels, ffn_channels)

    def forward(self, x: Tensor, frame_queries: Tensor) -> Tensor:
        """Refine tracks (B, Q, T, C) beside each frame's own queries (B*T, Q, C)."""
        clips, num_queries, num_frames, _ = x.shape
        x = x.flatten(0, 1)  # (B*Q, T, C)
        x = self.time_attention(x, x, x, x)
        x = self.short_term_norm(x + self.short_term(x.mT).mT)
        x = x.unflatten(0, (clips, num_queries)).transpose(1, 2).flatten(0, 1)  # (B*T, Q, C)
        x = self.object_attention(x, x, x, x)
        x = self.cross_attention(x, x, frame_queries, frame_queries)
        x = self.ffn(x)
        return x.unflatten(0, (clips, num_frames)).transpose(1, 2)


class TemporalRefiner(nn.Module):
    """DVIS's refiner (Zhang et al., ICCV 2023, "Temporal Refiner"): a video's tracks, corrected.

    There is no code of time: attention over frames knows no order, only the convolutions do. A
    query has one class for the video, from the mean of its frames with learned weights, and a mask
    embedding a frame.

    It keeps a video's queries, not its masks: the tracker's and each frame's own, 8 * Q * C bytes
    a frame in float32 (200 KiB at Q = 100, C = 256), and returns mask embeddings of half of that. A
    second pass over the frames makes the masks (`mask_logits`), window by window.

    Args:
        channels: C of the tracker's queries.
        num_classes: K, without "no instance".
        num_layers: refining layers.
        num_heads: of their attentions.
        ffn_channels: of their FFNs' hidden layers.

    Attributes:
        config: these arguments, as JSON can hold them.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        *,
        num_layers: int = 6,
        num_heads: int = 8,
        ffn_channels: int = 2048,
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, got {num_layers}")
        self.config: dict[str, Any] = {
            "channels": channels,
            "num_classes": num_classes,
            "num_layers": num_layers,
            "num_heads": num_heads,
            "ffn_channels": ffn_channels,
        }
        self.channels = channels
        self.layers = nn.ModuleList(
            RefinerLayer(channels, num_heads, ffn_channels) for _ in range(num_layers)
        )
        self.head = PredictionHead(channels, num_classes)
        self.activation_proj = nn.Linear(channels, 1)

    def forward(self, queries: Tensor, frame_queries: Tensor) -> QueryPrediction:
        """Refine all frames of a video.

        Args:
            queries: (B, Q, T, C), T >= 1, the tracker's, normed (`QueryPrediction.queries`).
            frame_queries: (B, Q', T, C), each frame's own (`ReferringTracker.frame_forward`).

        Returns:
            The prediction, with earlier layers' in training mode. Class logits are the same in
            every frame.

        Raises:
            ValueError: channels are not the refiner's, the two differ in clips or frames, or there
                is no frame.
        """
        check_queries("queries", queries, self.channels)
        check_queries("frame_queries", frame_queries, self.channels)
        if frame_queries.shape[::2] != queries.shape[::2]:
            raise ValueError(
                f"frame_queries must be ({len(queries)}, Q, {queries.shape[2]}, {self.channels}) "
                f"to match queries, got {describe(frame_queries)}"
            )
        frames = frame_queries.transpose(1, 2).flatten(0, 1)  # (B*T, Q', C)
        outputs = []
        x = queries
        for layer in self.layers:
            x = layer(x, frames)
            outputs.append(x)
        auxiliary = outputs[:-1] if self.training else []
        return replace(
            self._predict(x), auxiliary=tuple(self._predict(level) for level in auxiliary)
        )

    def _predict(self, x: Tensor) -> QueryPrediction:
        """Predict from the output of a layer, (B, Q, T, C)."""
        normed = self.head.norm(x)
        shares = at_least_float32(self.activation_proj(normed)).softmax(dim=2)  # (B, Q, T, 1)
        mean = (at_least_float32(normed) * shares).sum(dim=2, keepdim=True)
        logits = self.head.class_embed(mean).expand(-1, -1, x.shape[2], -1)  # (B, Q, T, K+1)
        return QueryPrediction(logits, self.head.mask_embed(normed), normed)
