"""Mask2Former (Cheng et al. 2022) over clips, with a seam for a temporal module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidgap_segmenter import weights
from vidgap_segmenter.backbones import build_backbone
from vidgap_segmenter.decoder import FramePrediction, MaskedDecoder
from vidgap_segmenter.pixel_decoder import PixelDecoder
from vidgap_segmenter.structures import ClipOutput, Prediction
from vidgap_segmenter.temporal import Features, TemporalModule, TemporalState, check_refined

SIZE_DIVISOR = 32


class Mask2Former(nn.Module):
    """Segment instances in each frame of a clip; queries keep their index over its frames.

    Frames are independent but for `temporal`, which refines the encoder's maps between the
    deformable encoder and the FPN step. With `temporal=None` this is Mask2Former on images.

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
        num_points: samples a head of the deformable encoder takes from each scale.
        train_backbone: False freezes the backbone: no gradient goes through it.
        full_precision_pixel_decoder: whether the pixel decoder stays float32 under autocast, as in
            the official recipe.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

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
        super().__init__()
        self._config: dict[str, str | int | bool | None] = {
            "backbone": backbone,
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
            "train_backbone": train_backbone,
            "full_precision_pixel_decoder": full_precision_pixel_decoder,
        }
        self.num_classes = num_classes
        self.train_backbone = train_backbone
        self.backbone = build_backbone(backbone)
        self.pixel_decoder = PixelDecoder(
            self.backbone.channels,
            channels=channels,
            num_layers=num_encoder_layers,
            ffn_channels=encoder_ffn_channels,
            num_heads=num_heads,
            num_points=num_points,
            full_precision=full_precision_pixel_decoder,
        )
        self.temporal = temporal
        self.decoder = MaskedDecoder(
            num_classes,
            channels=channels,
            num_queries=num_queries,
            num_layers=num_decoder_layers,
            ffn_channels=decoder_ffn_channels,
            num_heads=num_heads,
            embedding_dim=embedding_dim,
        )
        mean, std = (
            torch.tensor(numbers).view(3, 1, 1)
            for numbers in (self.backbone.pixel_mean, self.backbone.pixel_std)
        )
        self.register_buffer("pixel_mean", mean, persistent=False)
        self.register_buffer("pixel_std", std, persistent=False)
        self.backbone.requires_grad_(train_backbone)
        self.train()

    @property
    def config(self) -> dict[str, str | int | bool | None]:
        """The constructor's arguments except `temporal`, as JSON can hold them."""
        return dict(self._config)

    def train(self, mode: bool = True) -> Mask2Former:
        """Set the mode; a frozen backbone stays in eval mode."""
        super().train(mode)
        self.backbone.train(mode and self.train_backbone)
        return self

    def forward(self, frames: Tensor) -> ClipOutput:
        """Segment clips.

        Args:
            frames: (B, T, 3, H, W), RGB, 0..255, uint8 or floating, any H and W.

        Returns:
            Predictions for every frame; auxiliary levels in training mode only.
        """
        finest, features = self._encode(frames)
        return self._decode(finest, self._refine(features), frames)

    def step(
        self, frames: Tensor, state: TemporalState | None = None
    ) -> tuple[ClipOutput, TemporalState | None]:
        """Segment the next frames of a stream.

        Args:
            frames: (B, T, 3, H, W) as for `forward`, any T >= 1.
            state: what the last step returned; None before the first frame.

        Returns:
            Predictions for these frames, and the state after them (None without a temporal
            module).
        """
        finest, features = self._encode(frames)
        if self.temporal is None:
            return self._decode(finest, features, frames), None
        refined, state = self.temporal.step(features, state)
        check_refined(features, refined)
        return self._decode(finest, refined, frames), state

    def segment_image(self, images: Tensor, num_copies: int) -> ClipOutput:
        """Segment images as the last frame of a clip of copies (paper A.2).

        What comes before the temporal module sees each frame alone, so it runs once.

        Args:
            images: (B, 3, H, W), RGB, 0..255.
            num_copies: T, usually that of training.

        Returns:
            Predictions with T = 1.
        """
        if num_copies < 1:
            raise ValueError(f"num_copies must be at least 1, got {num_copies}")
        if images.ndim != 4:
            raise ValueError(f"images must be (B, 3, H, W), got shape {tuple(images.shape)}")
        frames = images[:, None]
        finest, features = self._encode(frames)
        if self.temporal is not None:
            copies = [map_.expand(-1, num_copies, -1, -1, -1) for map_ in features]
            features = [map_[:, -1:] for map_ in self._refine(copies)]
        return self._decode(finest, features, frames)

    def save_pretrained(self, folder: str | Path, classes: Sequence[Mapping[str, object]]) -> None:
        """Write `config.json` and `model.safetensors` into `folder` (see `weights`)."""
        weights.save_pretrained(self, folder, classes)

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, temporal: TemporalModule | None = None
    ) -> Mask2Former:
        """Build a model from a folder that `save_pretrained` wrote, in eval mode.

        Raises:
            ValueError: the folder holds weights of a temporal module and none is passed, or the
                weights do not fit; the message is a table of what does not.
        """
        model = cls(**weights.read_config(folder)["segmenter"], temporal=temporal)
        weights.load_folder(model, folder)
        return model.eval()

    def _refine(self, features: Features) -> Features:
        if self.temporal is None:
            return features
        refined = self.temporal(features)
        check_refined(features, refined)
        return refined

    def _encode(self, frames: Tensor) -> tuple[Tensor, Features]:
        """Return the stride-4 map (B*T, C_4, h, w) and what the temporal seam takes."""
        images = self._prepare(frames)
        with torch.set_grad_enabled(self.train_backbone and torch.is_grad_enabled()):
            finest, *maps = self.backbone(images)
        features = self.pixel_decoder.encode(maps)
        return finest, [map_.unflatten(0, frames.shape[:2]) for map_ in features]

    def _prepare(self, frames: Tensor) -> Tensor:
        """Normalise frames, then pad them with zeros right and bottom, (B*T, 3, H', W')."""
        if frames.ndim != 5 or frames.shape[2] != 3:
            raise ValueError(f"frames must be (B, T, 3, H, W), got shape {tuple(frames.shape)}")
        if frames.dtype != torch.uint8 and not frames.is_floating_point():
            raise ValueError(f"frames must be uint8 or floating, 0..255, got {frames.dtype}")
        images = (frames.flatten(0, 1) - self.pixel_mean) / self.pixel_std
        height, width = images.shape[-2:]
        return F.pad(images, (0, -width % SIZE_DIVISOR, 0, -height % SIZE_DIVISOR))

    def _decode(self, finest: Tensor, features: Features, frames: Tensor) -> ClipOutput:
        clips, num_frames, _, height, width = frames.shape
        maps = [map_.flatten(0, 1) for map_ in features]  # (B, T, C, H, W) -> (B*T, C, H, W)
        mask_features = self.pixel_decoder.mask_features(finest, maps[0])
        output = self.decoder(maps[::-1], mask_features, every_level=self.training)

        def by_clip(tensor: Tensor) -> Tensor:
            return tensor.unflatten(0, (clips, num_frames)).transpose(1, 2)  # (B, Q, T, ...)

        def prediction(level: FramePrediction) -> Prediction:
            return Prediction(by_clip(level.class_logits), by_clip(level.mask_logits))

        *auxiliary, last = map(prediction, output.levels)
        return ClipOutput(
            class_logits=last.class_logits,
            mask_logits=last.mask_logits,
            embeddings=by_clip(output.embeddings),
            auxiliary=tuple(auxiliary),
            frame_size=(height, width),
            padded_size=(height + -height % SIZE_DIVISOR, width + -width % SIZE_DIVISOR),
        )
