"""SeqFormer's decoder: a query for an instance, and one for its box in each frame (§3).

Wu et al., *SeqFormer: Sequential Transformer for Video Instance Segmentation*, ECCV 2022. Masks are
products of a query's mask embedding with the mask features, as in Mask2Former-VIS, and not
SeqFormer's dynamic convolutions (docs/paper.md#seqformer).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidgap_segmenter.attention import Attention
from vidgap_segmenter.boxes import inverse_sigmoid
from vidgap_segmenter.checkpointing import Checkpointed
from vidgap_segmenter.deformable_attention import DeformableAttention
from vidgap_segmenter.mlp import embedding_head, mlp
from vidgap_segmenter.structures import Prediction, by_clip, describe, over_frames, stack_frames

SMALL_BOX = -2.0
"""Logit of the first boxes' width and height (Deformable DETR)."""


@dataclass(frozen=True)
class RefinedQueries:
    """The queries after a layer.

    Attributes:
        instances: one for all frames of a clip, (B, Q, C).
        box_queries: one in each frame, (B, Q, T, C).
        boxes: what these say, (B, Q, T, 4): centre x, centre y, width, height in [0, 1].
    """

    instances: Tensor
    box_queries: Tensor
    boxes: Tensor


@dataclass(frozen=True)
class SeqFormerDecoderOutput:
    """Predictions after each layer, or the last alone, and the queries they were made from.

    Attributes:
        levels: first to last.
        queries: of the same levels, (B, Q, C) each.
        embeddings: (B, Q, C).
    """

    levels: list[Prediction]
    queries: list[Tensor]
    embeddings: Tensor


class SeqFormerDecoder(nn.Module):
    """Refine instance queries by what their box queries find in each frame.

    Args:
        num_classes: K, without "no instance".
        channels: C of features, mask features and queries.
        num_queries: Q.
        num_layers: decoder layers.
        ffn_channels: hidden channels of their feed-forward parts.
        num_heads: attention heads.
        num_levels: L, the number of maps that `forward` is given.
        num_points: points that a head samples on each of them.
        embedding_dim: width of a separate embedding head; None: embeddings are the instance
            queries.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        channels: int,
        num_queries: int,
        num_layers: int,
        ffn_channels: int,
        num_heads: int,
        num_levels: int,
        num_points: int,
        embedding_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.query_feat = nn.Embedding(num_queries, channels)
        self.query_embed = nn.Embedding(num_queries, channels)
        self.reference = nn.Linear(channels, 2)
        self.layers = nn.ModuleList(
            SeqFormerLayer(channels, ffn_channels, num_heads, num_levels, num_points)
            for _ in range(num_layers)
        )
        self.box_embed = nn.ModuleList(mlp(channels, channels, 4) for _ in range(num_layers))
        self.class_embed = nn.Linear(channels, num_classes + 1)
        self.mask_embed = mlp(channels, channels, channels)
        self.embedding_head = embedding_head(channels, embedding_dim)
        self.num_levels = num_levels
        nn.init.xavier_uniform_(self.reference.weight)
        nn.init.zeros_(self.reference.bias)
        for index, head in enumerate(self.box_embed):
            assert isinstance(head, nn.Sequential)
            last = head[-1]
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            if index == 0:
                nn.init.constant_(last.bias[2:], SMALL_BOX)

    def forward(
        self, features: Sequence[Tensor], mask_features: Tensor, *, every_level: bool
    ) -> SeqFormerDecoderOutput:
        """Decode clips.

        Args:
            features: (B, T, C, H_l, W_l), in the order of the weights.
            mask_features: (B, T, C, h, w), stride 4.
            every_level: also predict after each layer but the last, as training needs.

        Raises:
            ValueError: there is no frame, or maps differ in clips, frames or channels.
        """
        self._check(features, mask_features)
        num_clips, num_frames = mask_features.shape[:2]
        maps = [map_.flatten(0, 1) for map_ in features]  # (B*T, C, H_l, W_l)
        tokens = torch.cat([map_.flatten(2).transpose(1, 2) for map_ in maps], dim=1)
        sizes = [(map_.shape[-2], map_.shape[-1]) for map_ in maps]
        query_pos = self.query_embed.weight
        centres = self.reference(query_pos).sigmoid()  # (Q, 2)
        refined = self.refine(
            self.query_feat.weight.expand(num_clips, -1, -1),
            query_pos,
            centres[:, None].expand(num_clips, -1, num_frames, -1),
            tokens,
            sizes,
        )
        stacked = stack_frames(mask_features.flatten(0, 1), num_frames)  # (B, C, T*h, w)
        read = refined if every_level else refined[-1:]
        queries = [level.instances for level in read]
        return SeqFormerDecoderOutput(
            [self._predict(level, stacked, num_frames) for level in read],
            queries,
            self.embedding_head(queries[-1]),
        )

    def refine(
        self,
        instances: Tensor,
        query_pos: Tensor,
        reference: Tensor,
        tokens: Tensor,
        sizes: list[tuple[int, int]],
    ) -> list[RefinedQueries]:
        """Run the layers. A box query starts as its instance's, the same in each frame.

        Args:
            instances: instance queries, (B, Q, C).
            query_pos: position embeddings of instance and box queries alike, (Q, C).
            reference: where box queries look first, (x, y) in [0, 1], (B, Q, T, 2).
            tokens: the maps of each frame, one after another, (B*T, S, C).
            sizes: (H_l, W_l) of each map.

        Returns:
            The queries after each layer.
        """
        num_frames = reference.shape[2]
        boxes = reference.transpose(1, 2).flatten(0, 1)  # (B*T, Q, 2), later (B*T, Q, 4)
        box_queries = over_frames(instances, num_frames).transpose(1, 2).flatten(0, 1)
        refined = []
        for layer, box_embed in zip(self.layers, self.box_embed, strict=True):
            around = boxes[:, :, None].expand(-1, -1, len(sizes), -1)
            instances, box_queries = layer(instances, box_queries, query_pos, around, tokens, sizes)
            moved = box_embed(box_queries)
            logits = inverse_sigmoid(boxes)
            if logits.shape[-1] == 2:  # a point says nothing about width and height
                logits = F.pad(logits, (0, 2))
            new = (moved + logits).sigmoid()
            refined.append(
                RefinedQueries(
                    instances, by_clip(box_queries, num_frames), by_clip(new, num_frames)
                )
            )
            boxes = new.detach()
        return refined

    def _predict(self, level: RefinedQueries, stacked: Tensor, num_frames: int) -> Prediction:
        """Read a level, given the mask features of a clip's frames below each other."""
        logits = self.mask_embed(level.instances) @ stacked.flatten(2)  # (B, Q, T*h*w)
        return Prediction(
            over_frames(self.class_embed(level.instances), num_frames),
            logits.unflatten(2, (num_frames, -1, stacked.shape[-1])),
            level.boxes,
        )

    def _check(self, features: Sequence[Tensor], mask_features: Tensor) -> None:
        if mask_features.ndim != 5 or 0 in mask_features.shape[:2]:
            raise ValueError(
                "mask_features must be (B, T, C, h, w) of at least one frame, "
                f"got {describe(mask_features)}"
            )
        if len(features) != self.num_levels:
            raise ValueError(f"features must be {self.num_levels} maps, got {len(features)}")
        wanted = (*mask_features.shape[:2], self.query_feat.embedding_dim)
        named = [(f"features[{index}]", map_) for index, map_ in enumerate(features)]
        for name, map_ in [*named, ("mask_features", mask_features)]:
            if map_.ndim != 5 or map_.shape[:3] != wanted:
                raise ValueError(f"{name} must be {wanted} + (H, W), got {describe(map_)}")


class SeqFormerLayer(Checkpointed):
    """Self-attention, one sampling for both queries, attention over time; post-norm (§3).

    Box queries alone say where to sample. What they find is projected twice: for themselves, and
    for the instance query, which takes a mean over frames, weighted by what the box queries are
    worth.
    """

    def __init__(
        self, channels: int, ffn_channels: int, num_heads: int, num_levels: int, num_points: int
    ) -> None:
        super().__init__()
        self.self_attn = Attention(channels, num_heads)
        self.self_norm = nn.LayerNorm(channels)
        self.cross_attn = DeformableAttention(channels, num_heads, num_levels, num_points)
        self.cross_norm = nn.LayerNorm(channels)
        self.linear1 = nn.Linear(channels, ffn_channels)
        self.linear2 = nn.Linear(ffn_channels, channels)
        self.ffn_norm = nn.LayerNorm(channels)
        self.box_self_attn = Attention(channels, num_heads)
        self.box_self_norm = nn.LayerNorm(channels)
        self.box_output_proj = nn.Linear(channels, channels)
        self.box_cross_norm = nn.LayerNorm(channels)
        self.box_linear1 = nn.Linear(channels, ffn_channels)
        self.box_linear2 = nn.Linear(ffn_channels, channels)
        self.box_ffn_norm = nn.LayerNorm(channels)
        self.time_attention = nn.Linear(channels, 1)
        linears = (self.linear1, self.linear2, self.box_linear1, self.box_linear2)
        for linear in (*linears, self.box_output_proj, self.time_attention):
            nn.init.xavier_uniform_(linear.weight)
        nn.init.zeros_(self.box_output_proj.bias)

    def forward(
        self,
        instances: Tensor,
        box_queries: Tensor,
        query_pos: Tensor,
        reference: Tensor,
        tokens: Tensor,
        sizes: list[tuple[int, int]],
    ) -> tuple[Tensor, Tensor]:
        """Return refined instance queries (B, Q, C) and box queries (B*T, Q, C).

        Args:
            instances: instance queries, (B, Q, C).
            box_queries: those of each frame, (B*T, Q, C).
            query_pos: position embeddings of both, (Q, C).
            reference: points or boxes around which box queries sample, (B*T, Q, L, 2 or 4).
            tokens: the maps of each frame, one after another, (B*T, S, C).
            sizes: (H_l, W_l) of each map.
        """
        positioned = instances + query_pos
        attended = self.self_attn(positioned, positioned, instances)
        instances = self.self_norm(instances + attended)
        positioned = box_queries + query_pos
        attended = self.box_self_attn(positioned, positioned, box_queries)
        box_queries = self.box_self_norm(box_queries + attended)
        sampled = self.cross_attn.sample(box_queries + query_pos, reference, tokens, sizes)
        box_queries = self.box_cross_norm(box_queries + self.box_output_proj(sampled))
        hidden = F.relu(self.box_linear1(box_queries), inplace=True)
        box_queries = self.box_ffn_norm(box_queries + self.box_linear2(hidden))
        num_clips = len(instances)
        weights = self.time_attention(box_queries).unflatten(0, (num_clips, -1)).softmax(1)
        found = self.cross_attn.output_proj(sampled).unflatten(0, (num_clips, -1))  # (B, T, Q, C)
        instances = self.cross_norm(instances + (weights * found).sum(1))
        hidden = F.relu(self.linear1(instances), inplace=True)
        return self.ffn_norm(instances + self.linear2(hidden)), box_queries
