"""The referring tracker: each frame's queries, told by the last frame's which instance they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from vidgap_segmenter.structures import describe
from vidgap_vis.trackers.dvis.alignment import align, in_order
from vidgap_vis.trackers.dvis.prediction import PredictionHead, QueryPrediction, check_queries
from vidgap_vis.trackers.layers import AttentionLayer, FFNLayer


@dataclass(frozen=True)
class ReferringState:
    """What the tracker remembers of a video, however long: 2 * B * Q * C numbers.

    Attributes:
        outputs: (B, Q, C), what the last layer gave for the last frame, not normed.
        aligned: (B, Q, C), the segmenter's queries of that frame in the order of slots.
    """

    outputs: Tensor
    aligned: Tensor


class ReferringLayer(nn.Module):
    """Referring cross-attention, self-attention, FFN (DVIS, "Referring Tracker").

    Args:
        channels: C.
        num_heads: of the attentions.
        ffn_channels: of the FFN's hidden layer.
    """

    def __init__(self, channels: int, num_heads: int, ffn_channels: int) -> None:
        super().__init__()
        self.cross_attention = AttentionLayer(channels, num_heads)
        self.self_attention = AttentionLayer(channels, num_heads)
        self.ffn = FFNLayer(channels, ffn_channels)

    def forward(self, identity: Tensor, query: Tensor, frame: Tensor) -> Tensor:
        """Read a frame's queries.

        Args:
            identity: (B, Q, C), what the attention is added to.
            query: (B, Q, C), what asks.
            frame: (B, Q, C), keys and values.

        Returns:
            (B, Q, C).
        """
        x = self.cross_attention(identity, query, frame, frame)
        x = self.self_attention(x, x, x, x)
        return self.ffn(x)


class ReferringTracker(nn.Module):
    """DVIS's tracker (Zhang et al., ICCV 2023, "Referring Tracker"): from frame to frame.

    The queries of a frame, ordered by `align`, are corrected by layers in which the last frame's
    outputs ask and this frame's queries answer. In the first frame they ask themselves. There are
    no positions, and nothing but the last frame is remembered.

    Args:
        channels: C of the segmenter's queries.
        num_classes: K, without "no instance".
        num_layers: referring layers.
        num_heads: of their attentions.
        ffn_channels: of their FFNs' hidden layers.
        inverse_alignment: order queries by the inverse of the assignment, as the release does and
            as its weights were trained: right only where an assignment is its own inverse.

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
        inverse_alignment: bool = False,
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
            "inverse_alignment": inverse_alignment,
        }
        self.channels = channels
        self.inverse_alignment = inverse_alignment
        self.layers = nn.ModuleList(
            ReferringLayer(channels, num_heads, ffn_channels) for _ in range(num_layers)
        )
        self.head = PredictionHead(channels, num_classes)

    def step(
        self, queries: Tensor, state: ReferringState | None = None
    ) -> tuple[QueryPrediction, Tensor, ReferringState]:
        """Take the next T frames; where a video is cut into steps changes nothing.

        The host waits for the device once, for the costs of all T alignments. Gradients flow
        through the state, from frame to frame.

        Args:
            queries: (B, Q, T, C), T >= 1, the segmenter's, after its decoder's norm.
            state: what the last step returned; None before the first frame.

        Returns:
            The prediction, with earlier layers' in training mode; which of the segmenter's queries
            each slot began from, (B, Q, T) int64; and the state after these frames.

        Raises:
            ValueError: channels are not the tracker's, clips or queries not as many as before,
                there is no frame, or a query is not finite.
        """
        check_queries("queries", queries, self.channels)
        if state is not None and queries[:, :, 0].shape != state.aligned.shape:
            clips, slots, channels = state.aligned.shape
            raise ValueError(
                f"queries must be ({clips}, {slots}, T, {channels}), as in the frames before, "
                f"got {describe(queries)}"
            )
        order = align(
            queries, None if state is None else state.aligned, inverse=self.inverse_alignment
        )
        aligned = in_order(queries, order)
        last = None if state is None else state.outputs
        frames = []
        for frame, identity in zip(queries.unbind(2), aligned.unbind(2), strict=True):
            levels = self.refer(identity, last, frame)
            last = levels[-1]
            frames.append(levels if self.training else [last])
        assert last is not None
        # T lists of levels -> a level's frames together, (B, Q, T, C)
        *earlier, final = (torch.stack(level, dim=2) for level in zip(*frames, strict=True))
        prediction = self.head(final)
        prediction = replace(prediction, auxiliary=tuple(self.head(level) for level in earlier))
        # contiguous: a view would keep the whole clip
        return prediction, order, ReferringState(last, aligned[:, :, -1].contiguous())

    def refer(self, identity: Tensor, last: Tensor | None, frame: Tensor) -> list[Tensor]:
        """Run the layers on one frame, without waiting for the device.

        Args:
            identity: (B, Q, C), the frame's queries in the order of slots.
            last: (B, Q, C), the outputs of the frame before, which ask in every layer; None in the
                first frame, where each layer's input asks.
            frame: (B, Q, C), the frame's queries in any order.

        Returns:
            The output (B, Q, C) of each layer, not normed.
        """
        outputs: list[Tensor] = []
        x = identity
        for layer in self.layers:
            x = layer(x, x if last is None else last, frame)
            outputs.append(x)
        return outputs

    def frame_forward(self, queries: Tensor) -> Tensor:
        """Run the layers on every frame by itself, as on a first frame: what the refiner reads.

        Args:
            queries: (B, Q, T, C) of the segmenter.

        Returns:
            (B, Q, T, C), normed, in the segmenter's order.

        Raises:
            ValueError: as for `step`.
        """
        check_queries("queries", queries, self.channels)
        frames = queries.transpose(1, 2).flatten(0, 1)  # (B*T, Q, C)
        outputs = self.head.norm(self.refer(frames, None, frames)[-1])
        return outputs.unflatten(0, (len(queries), -1)).transpose(1, 2)
