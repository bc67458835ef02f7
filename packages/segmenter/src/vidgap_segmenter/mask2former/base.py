"""What Mask2Former and Mask2Former-VIS share: the parts of the network, and how it decodes."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence

from torch import Tensor

from vidgap_segmenter.backbones import build_backbone
from vidgap_segmenter.clip_segmenter import ClipSegmenter
from vidgap_segmenter.frames import padded_size
from vidgap_segmenter.mask2former.decoder import MaskedDecoder
from vidgap_segmenter.pixel_decoder import PixelDecoder
from vidgap_segmenter.settings import check_counts
from vidgap_segmenter.structures import (
    ClipOutput,
    HeadInputs,
    Prediction,
    by_clip,
    over_frames,
)
from vidgap_segmenter.targets import ClipTargets
from vidgap_segmenter.temporal import Features, TemporalModule

STRIDES = (8, 16, 32)
"""Of the encoded maps."""


class MaskedSegmenter(ClipSegmenter, ABC):
    """Learned queries that attend within their own masks.

    Args:
        backbone: a name that `build_backbone` knows.
        num_classes: K, without "no instance".
        temporal: what mixes frames, or None.
        embedding_dim: width of a separate embedding head; None: embeddings are the queries.
        channels: C of encoder and decoder.
        num_queries: Q.
        num_encoder_layers: deformable encoder layers.
        encoder_ffn_channels: hidden channels of their feed-forward part.
        num_decoder_layers: decoder layers.
        decoder_ffn_channels: hidden channels of their feed-forward part.
        num_heads: heads of all attention.
        num_points: points that a head of the deformable encoder samples on each scale.
        train_backbone: False freezes the backbone: no gradient goes through it.
        full_precision_pixel_decoder: whether the pixel decoder stays float32 under autocast, as in
            the official recipe.
    """

    def __init__(
        self,
        backbone: str = "resnet50",
        num_classes: int = 80,
        temporal: TemporalModule | None = None,
        embedding_dim: int | None = None,
        *,
        channels: int = 256,
        num_queries: int = 100,
        num_encoder_layers: int = 6,
        encoder_ffn_channels: int = 1024,
        num_decoder_layers: int = 9,
        decoder_ffn_channels: int = 2048,
        num_heads: int = 8,
        num_points: int = 4,
        train_backbone: bool = True,
        full_precision_pixel_decoder: bool = True,
    ) -> None:
        counts = {
            "num_classes": num_classes,
            "embedding_dim": embedding_dim,
            "channels": channels,
            "num_queries": num_queries,
            "num_encoder_layers": num_encoder_layers,
            "encoder_ffn_channels": encoder_ffn_channels,
            "num_decoder_layers": num_decoder_layers,
            "decoder_ffn_channels": decoder_ffn_channels,
            "num_heads": num_heads,
            "num_points": num_points,
        }
        check_counts(counts)
        built = build_backbone(backbone)
        pixel_decoder = PixelDecoder(
            built.channels,
            strides=STRIDES,
            coarse_first=True,
            channels=channels,
            num_layers=num_encoder_layers,
            ffn_channels=encoder_ffn_channels,
            num_heads=num_heads,
            num_points=num_points,
            full_precision=full_precision_pixel_decoder,
        )
        config = {
            "backbone": backbone,
            **counts,
            "train_backbone": train_backbone,
            "full_precision_pixel_decoder": full_precision_pixel_decoder,
        }
        super().__init__(
            built,
            pixel_decoder,
            temporal,
            num_classes=num_classes,
            train_backbone=train_backbone,
            config=config,
        )
        self.decoder = MaskedDecoder(
            num_classes,
            channels=channels,
            num_queries=num_queries,
            num_layers=num_decoder_layers,
            ffn_channels=decoder_ffn_channels,
            num_heads=num_heads,
            num_scales=len(STRIDES),
            embedding_dim=embedding_dim,
        )

    def _decode(
        self,
        finest: Tensor,
        features: Features,
        frames: Tensor,
        targets: Sequence[ClipTargets] | None = None,  # noqa: ARG002 (learned queries: no denoising)
        *,
        with_head_inputs: bool = False,
    ) -> ClipOutput:
        maps = [map_.flatten(0, 1) for map_ in features]  # (B, T, C, H, W) -> (B*T, C, H, W)
        joined = self.pixel_decoder.join(finest, maps[0])
        mask_features = self.pixel_decoder.project(joined)
        num_frames = frames.shape[1]
        output = self.decoder(
            maps[::-1],
            mask_features,
            every_level=self.training,
            num_frames=num_frames if self.joint else None,
        )
        read = Prediction.of_clips if self.joint else Prediction.of
        *auxiliary, last = (read(level, num_frames) for level in output.levels)
        return ClipOutput(
            class_logits=last.class_logits,
            mask_logits=last.mask_logits,
            embeddings=self._of_frames(output.embeddings, num_frames),
            auxiliary=tuple(auxiliary),
            frame_size=(frames.shape[-2], frames.shape[-1]),
            padded_size=padded_size(frames),
            head_inputs=HeadInputs.of(
                [self._of_frames(level.queries, num_frames) for level in output.levels],
                mask_features,
                joined,
                features,
            )
            if with_head_inputs
            else None,
        )

    def _of_frames(self, rows: Tensor, num_frames: int) -> Tensor:
        """Turn rows of the decoder (R, Q, C) into (B, Q, T, C)."""
        return over_frames(rows, num_frames) if self.joint else by_clip(rows, num_frames)
