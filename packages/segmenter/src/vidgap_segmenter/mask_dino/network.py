"""Mask DINO (Li et al. 2023) over clips, with a seam for a temporal module."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from vidgap_segmenter.backbones import build_backbone
from vidgap_segmenter.clip_segmenter import ClipSegmenter
from vidgap_segmenter.frame_targets import FrameTargets
from vidgap_segmenter.frames import padded_size
from vidgap_segmenter.mask_dino.decoder import Anchors, MaskDINODecoder
from vidgap_segmenter.mask_dino.denoising import Denoising, make_denoising
from vidgap_segmenter.mask_dino.output import MaskDINOOutput, Reconstruction
from vidgap_segmenter.pixel_decoder import PixelDecoder
from vidgap_segmenter.precision import autocast_off
from vidgap_segmenter.settings import check_counts
from vidgap_segmenter.structures import HeadInputs, Prediction, by_clip
from vidgap_segmenter.targets import ClipTargets, check_targets
from vidgap_segmenter.temporal import Features, TemporalModule


class MaskDINO(ClipSegmenter):
    """Mask DINO: queries selected from the encoder, with boxes that say where they look.

    The defaults are the official ResNet-50 configuration of 46.3 AP; Swin-L has
    `strides=(4, 8, 16, 32, 64)` and `anchors="bitmask"`.

    Args:
        backbone: a name that `build_backbone` knows.
        num_classes: K.
        temporal: what mixes frames, or None; it is given a map for each of `strides`.
        embedding_dim: width of a separate embedding head; None: embeddings are the queries.
        channels: C of encoder and decoder.
        num_queries: Q; frames with fewer tokens on the encoder's maps have a query for each.
        num_encoder_layers: deformable encoder layers.
        encoder_ffn_channels: hidden channels of their feed-forward part.
        num_decoder_layers: decoder layers.
        decoder_ffn_channels: hidden channels of their feed-forward part.
        num_heads: heads of all attention.
        num_points: points that a head of deformable attention samples on each scale.
        strides: of the encoded maps, fine to coarse (see `PixelDecoder`).
        coarse_first: the order of levels in the weights ("high2low" in official configurations).
        anchors: where the first boxes come from.
        num_denoising: denoising queries in training, as `make_denoising` has it; 0 is none.
        label_noise: probability that a noised instance has a random label.
        box_noise: how far its box is moved.
        train_backbone: False freezes the backbone: no gradient goes through it.
        full_precision_pixel_decoder: whether the pixel decoder stays float32 under autocast, as in
            the official recipe; the decoder always does.

    Raises:
        ValueError: an argument is out of its range; in training mode `forward` raises it for
            targets that do not fit the frames.
    """

    architecture = "mask_dino"

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
        encoder_ffn_channels: int = 2048,
        num_decoder_layers: int = 9,
        decoder_ffn_channels: int = 2048,
        num_heads: int = 8,
        num_points: int = 4,
        strides: Sequence[int] = (8, 16, 32, 64),
        coarse_first: bool = False,
        anchors: Anchors = "mask2box",
        num_denoising: int = 100,
        label_noise: float = 0.2,
        box_noise: float = 0.4,
        train_backbone: bool = True,
        full_precision_pixel_decoder: bool = True,
    ) -> None:
        if num_denoising < 0 or not 0 <= label_noise <= 1 or box_noise < 0:
            raise ValueError(
                "num_denoising and box_noise must be 0 or more and label_noise in [0, 1], got "
                f"{num_denoising}, {box_noise}, {label_noise}"
            )
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
            coarse_first=coarse_first,
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
            "coarse_first": coarse_first,
            "anchors": anchors,
            "num_denoising": num_denoising,
            "label_noise": label_noise,
            "box_noise": box_noise,
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
        self.num_denoising = num_denoising
        self.label_noise = label_noise
        self.box_noise = box_noise
        self.decoder = MaskDINODecoder(
            num_classes,
            channels=channels,
            num_queries=num_queries,
            num_layers=num_decoder_layers,
            ffn_channels=decoder_ffn_channels,
            num_heads=num_heads,
            num_levels=len(strides),
            num_points=num_points,
            anchors=anchors,
            embedding_dim=embedding_dim,
        )

    def _decode(
        self,
        finest: Tensor,
        features: Features,
        frames: Tensor,
        targets: Sequence[ClipTargets] | None = None,
        *,
        with_head_inputs: bool = False,
    ) -> MaskDINOOutput:
        maps = [map_.flatten(0, 1) for map_ in features]  # (B, T, C, H, W) -> (B*T, C, H, W)
        joined = self.pixel_decoder.join(finest, maps[0])
        mask_features = self.pixel_decoder.project(joined)
        denoising = self._denoising(frames, targets)
        # The decoder numbers levels the other way round than the encoder, as official weights do.
        levels = maps if self.pixel_decoder.coarse_first else maps[::-1]
        with autocast_off(frames.device):
            output = self.decoder(
                [map_.to(self.decoder.norm.weight.dtype) for map_ in levels],
                mask_features.to(self.decoder.norm.weight.dtype),
                denoising,
                every_level=self.training,
            )
        num_frames = frames.shape[1]
        num_slots = 0 if denoising is None else denoising.labels.shape[1]

        def predictions(rows: slice) -> list[Prediction]:
            return [Prediction.of(level, num_frames, rows) for level in output.levels]

        *auxiliary, last = predictions(slice(num_slots, None))
        reconstruction = None
        if denoising is not None:
            *earlier, final = predictions(slice(num_slots))
            reconstruction = Reconstruction((final, *earlier), denoising)
        return MaskDINOOutput(
            class_logits=last.class_logits,
            mask_logits=last.mask_logits,
            embeddings=by_clip(output.embeddings, num_frames),
            auxiliary=tuple(auxiliary),
            frame_size=(frames.shape[-2], frames.shape[-1]),
            padded_size=padded_size(frames),
            boxes=last.boxes,
            independent_classes=True,
            proposals=Prediction.of(output.proposals, num_frames) if self.training else None,
            reconstruction=reconstruction,
            head_inputs=HeadInputs.of(
                [by_clip(level.queries[:, num_slots:], num_frames) for level in output.levels],
                mask_features,
                joined,
                features,
            )
            if with_head_inputs
            else None,
        )

    def _denoising(self, frames: Tensor, targets: Sequence[ClipTargets] | None) -> Denoising | None:
        """Noise the instances, while training and where they are given."""
        if not self.training or targets is None:
            return None
        num_clips, num_frames, _, height, width = frames.shape
        check_targets(targets, num_clips, num_frames, (height, width), self.num_classes)
        clips = [clip.to(frames.device) for clip in targets]
        return make_denoising(
            FrameTargets.from_clips(clips, padded_size(frames)),
            self.num_classes,
            num_denoising=self.num_denoising,
            label_noise=self.label_noise,
            box_noise=self.box_noise,
        )
