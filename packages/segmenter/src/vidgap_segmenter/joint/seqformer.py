"""A SeqFormer (Wu et al. 2022) whose masks and losses are Mask2Former-VIS's."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from vidgap_segmenter.backbones import build_backbone
from vidgap_segmenter.clip_segmenter import ClipSegmenter
from vidgap_segmenter.frames import padded_size
from vidgap_segmenter.joint.seqformer_decoder import SeqFormerDecoder
from vidgap_segmenter.pixel_decoder import PixelDecoder
from vidgap_segmenter.precision import autocast_off
from vidgap_segmenter.settings import check_counts
from vidgap_segmenter.structures import ClipOutput, HeadInputs, over_frames
from vidgap_segmenter.targets import ClipTargets
from vidgap_segmenter.temporal import Features, TemporalModule


class SeqFormer(ClipSegmenter):
    """A query is one instance in all frames of a clip, and has a box in each.

    Class logits and embeddings of a query are the same in every frame. `forward` and `step` take
    what they are given at once for one clip, and `segment_image` decodes the last frame alone.
    docs/paper.md#seqformer says what differs from the release.

    Args:
        backbone: a name that `build_backbone` knows.
        num_classes: K, without "no instance".
        temporal: what mixes frames, or None; it is given a map for each of `strides`.
        embedding_dim: width of a separate embedding head; None: embeddings are the queries.
        channels: C of encoder and decoder.
        num_queries: Q.
        num_encoder_layers: deformable encoder layers.
        encoder_ffn_channels: hidden channels of their feed-forward part.
        num_decoder_layers: decoder layers.
        decoder_ffn_channels: hidden channels of their feed-forward part.
        num_heads: heads of all attention.
        num_points: points that a head of deformable attention samples on each scale.
        strides: of the encoded maps, fine to coarse (see `PixelDecoder`).
        train_backbone: False freezes the backbone: no gradient goes through it.
        full_precision_pixel_decoder: whether the pixel decoder stays float32 under autocast; the
            decoder always does.
    """

    architecture = "seqformer"
    joint = True

    def __init__(
        self,
        backbone: str = "resnet50",
        num_classes: int = 80,
        temporal: TemporalModule | None = None,
        embedding_dim: int | None = None,
        *,
        channels: int = 256,
        num_queries: int = 300,
        num_encoder_layers: int = 6,
        encoder_ffn_channels: int = 1024,
        num_decoder_layers: int = 6,
        decoder_ffn_channels: int = 1024,
        num_heads: int = 8,
        num_points: int = 4,
        strides: Sequence[int] = (8, 16, 32, 64),
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
            strides=strides,
            coarse_first=False,
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
            "strides": list(strides),
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
        self.decoder = SeqFormerDecoder(
            num_classes,
            channels=channels,
            num_queries=num_queries,
            num_layers=num_decoder_layers,
            ffn_channels=decoder_ffn_channels,
            num_heads=num_heads,
            num_levels=len(strides),
            num_points=num_points,
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
        joined = self.pixel_decoder.join(finest, features[0].flatten(0, 1))
        mask_features = self.pixel_decoder.project(joined)  # (B*T, C, h, w)
        clips, dtype = frames.shape[:2], self.decoder.class_embed.weight.dtype
        with autocast_off(frames.device):
            output = self.decoder(
                [map_.to(dtype) for map_ in features],
                mask_features.unflatten(0, clips).to(dtype),
                every_level=self.training,
            )
        *auxiliary, last = output.levels
        return ClipOutput(
            class_logits=last.class_logits,
            mask_logits=last.mask_logits,
            embeddings=over_frames(output.embeddings, clips[1]),
            auxiliary=tuple(auxiliary),
            frame_size=(frames.shape[-2], frames.shape[-1]),
            padded_size=padded_size(frames),
            boxes=last.boxes,
            head_inputs=HeadInputs.of(
                [over_frames(queries, clips[1]) for queries in output.queries],
                mask_features,
                joined,
                features,
            )
            if with_head_inputs
            else None,
        )
