"""What the networks share: encoding frames, the temporal seam, saving and loading."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidgap_segmenter.backbones import Backbone, TimmBackbone
from vidgap_segmenter.checkpointing import Checkpointed
from vidgap_segmenter.frames import check_frames, padded_size
from vidgap_segmenter.pixel_decoder import PixelDecoder
from vidgap_segmenter.structures import ClipOutput
from vidgap_segmenter.targets import ClipTargets
from vidgap_segmenter.temporal import Features, TemporalModule, TemporalState, check_refined
from vidgap_segmenter.weights import (
    CONFIG_FILE,
    check_temporal,
    hub,
    load_checked,
    read_settings,
    read_weights,
    write_folder,
)

if TYPE_CHECKING:
    from typing_extensions import Self


class ClipSegmenter(nn.Module, ABC):
    """Segment instances in each frame of a clip; queries keep their index over its frames.

    Frames are independent but for `temporal`, which refines the encoder's maps between the
    deformable encoder and the FPN step. With `temporal=None` this is a network on images. A
    subclass adds `_decode`, from maps to predictions.

    Args:
        backbone: turns images into maps of strides 4 to 32.
        pixel_decoder: encodes these maps.
        temporal: the module that mixes frames, or None.
        num_classes: K, without "no instance".
        train_backbone: False freezes the backbone: no gradient goes through it.
        config: the network's arguments except `temporal`, as JSON can hold them.
    """

    architecture: ClassVar[str]
    """The network's name in `config.json`."""

    joint: ClassVar[bool] = False
    """Whether the frames of a clip share their queries, each of which is one instance."""

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        backbone: Backbone,
        pixel_decoder: PixelDecoder,
        temporal: TemporalModule | None,
        *,
        num_classes: int,
        train_backbone: bool,
        config: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self._config = dict(config)
        self.num_classes = num_classes
        self.train_backbone = train_backbone
        self.backbone = backbone
        self.pixel_decoder = pixel_decoder
        self.temporal = temporal
        mean, std = (
            torch.tensor(numbers).view(3, 1, 1)
            for numbers in (self.backbone.pixel_mean, self.backbone.pixel_std)
        )
        self.register_buffer("pixel_mean", mean, persistent=False)
        self.register_buffer("pixel_std", std, persistent=False)
        self.backbone.requires_grad_(self.train_backbone)
        self.train()

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments except `temporal`, as JSON can hold them."""
        return dict(self._config)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a frozen backbone stays in eval mode."""
        super().train(mode)
        self.backbone.train(mode and self.train_backbone)
        return self

    def set_gradient_checkpointing(self, on: bool = True) -> None:
        """Have layers compute their activations again in the backward pass instead of keeping them.

        Blocks of the backbone and layers of encoder and decoder then keep only their inputs: the
        same gradients from less memory, in more time (docs/results/gradient_checkpointing.md). The
        setting is not saved with the weights.
        """
        for module in self.modules():
            if isinstance(module, (Checkpointed, TimmBackbone)):
                module.gradient_checkpointing = on

    def forward(
        self,
        frames: Tensor,
        targets: Sequence[ClipTargets] | None = None,
        *,
        with_head_inputs: bool = False,
    ) -> ClipOutput:
        """Segment clips.

        Args:
            frames: (B, T, 3, H, W), RGB, 0..255, uint8 or floating, any H and W.
            targets: the instances of each clip, masks (N, T, H, W), for a network that learns by
                denoising them (Mask DINO in training mode); ignored otherwise.
            with_head_inputs: whether the output includes `HeadInputs`.

        Returns:
            Predictions for every frame; auxiliary levels in training mode only.
        """
        finest, features = self._encode(frames)
        refined = self._refine(features)
        return self._decode(finest, refined, frames, targets, with_head_inputs=with_head_inputs)

    def step(
        self,
        frames: Tensor,
        state: TemporalState | None = None,
        *,
        with_head_inputs: bool = False,
        repeated_next: int = 0,
    ) -> tuple[ClipOutput, TemporalState | None]:
        """Segment the next frames of a stream.

        Args:
            frames: (B, T, 3, H, W) as for `forward`, any T >= 1.
            state: what the last step returned; None before the first frame.
            with_head_inputs: whether the output includes `HeadInputs`.
            repeated_next: how many of the frames, the last ones, the next step begins with again,
                0 to T. They do not advance the state, which is that before them.

        Returns:
            Predictions for these frames, and the state with which the next step begins (None
            without a temporal module).

        Raises:
            ValueError: `repeated_next` is out of range.
        """
        finest, features = self._encode(frames)
        num_frames = frames.shape[1]
        if not 0 <= repeated_next <= num_frames:
            raise ValueError(
                f"repeated_next must be 0 to the step's {num_frames} frames, got {repeated_next}"
            )
        if self.temporal is None:
            refined, state = features, None
        else:
            advance = num_frames - repeated_next
            # Modules that are given each frame once need not know the argument.
            part = {} if advance in (0, num_frames) else {"state_after": advance}
            refined, after = self.temporal.step(features, state, **part)
            check_refined(features, refined)
            state = after if advance else state
        output = self._decode(finest, refined, frames, with_head_inputs=with_head_inputs)
        return output, state

    def segment_image(self, images: Tensor, num_copies: int) -> ClipOutput:
        """Segment images as the last frame of a clip of copies (paper A.2).

        The layers before the temporal module treat frames independently, so they run once.

        Args:
            images: (B, 3, H, W), RGB, 0..255.
            num_copies: T, usually that of training.

        Returns:
            Predictions with T = 1.
        """
        if num_copies < 1:
            raise ValueError(f"num_copies must be at least 1, got {num_copies}")
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"images must be (B, 3, H, W), got shape {tuple(images.shape)}")
        frames = images[:, None]
        finest, features = self._encode(frames)
        if self.temporal is not None:
            copies = [map_.expand(-1, num_copies, -1, -1, -1) for map_ in features]
            features = [map_[:, -1:] for map_ in self._refine(copies)]
        return self._decode(finest, features, frames)

    @property
    def padding_colour(self) -> Tensor:
        """The uint8 colour nearest to zero after normalisation, (3,), on the CPU.

        It pads clips of bytes to the size of a batch; `pad_clips` is exact, in floats.
        """
        return self.pixel_mean.detach().flatten().round().to("cpu", torch.uint8)

    def pad_clips(self, clips: Sequence[Tensor]) -> Tensor:
        """Make a batch of clips of unequal sizes: pad them right and bottom with the mean colour.

        It is zero after normalisation, as in the official networks, which attend to the padding,
        too. Pad target masks alike, with False; `ClipOutput.clip` cuts out one clip's predictions.

        Args:
            clips: (T, 3, H_b, W_b) of one T, RGB, 0..255.

        Returns:
            (B, T, 3, H, W) with the largest H and W, in the dtype of the weights, on their device.
        """
        lengths = sorted({len(clip) for clip in clips})
        if len(lengths) != 1 or any(clip.ndim != 4 or clip.shape[1] != 3 for clip in clips):
            shapes = [tuple(clip.shape) for clip in clips]
            raise ValueError(f"clips must be (T, 3, H, W) of one T, got shapes {shapes}")
        height, width = (max(clip.shape[axis] for clip in clips) for axis in (2, 3))
        size = (len(clips), lengths[0], 3, height, width)
        batch = self.pixel_mean.expand(size).clone()
        for padded, clip in zip(batch, clips, strict=True):
            padded[..., : clip.shape[2], : clip.shape[3]] = clip
        return batch

    def save_pretrained(self, folder: str | Path, classes: Sequence[Mapping[str, object]]) -> None:
        """Write `config.json` and `model.safetensors` into `folder`, overwriting them.

        Args:
            folder: made where it is missing; other files in it stay.
            classes: one `{"index": 0, "category_id": 1, "name": "cat"}` a class, in order of index.

        Raises:
            ValueError: `classes` does not list every class of the model, or its temporal module has
                no `config`.
        """
        write_folder(self, folder, classes)

    def push_to_hub(
        self, repo_id: str, classes: Sequence[Mapping[str, object]], *, private: bool = False
    ) -> str:
        """Save to a repository `user/name` of the Hugging Face Hub; return its URL.

        Args:
            repo_id: made where it is missing.
            classes: as for `save_pretrained`.
            private: whether a repository that is made is private.

        Raises:
            ImportError: huggingface_hub is not installed.
            ValueError: as for `save_pretrained`, or `repo_id` is not such a name.
        """
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder, classes)
            return hub.push_to_hub(folder, repo_id, private=private)

    @classmethod
    def from_pretrained(cls, folder: str | Path, temporal: TemporalModule | None = None) -> Self:
        """Build a model from a folder that `save_pretrained` wrote, in eval mode.

        Args:
            folder: on disk, or a repository of the Hugging Face Hub ("user/name").
            temporal: the module that the weights belong to, or None.

        Raises:
            ValueError: the folder holds another network's weights, or a temporal module's while
                none is passed or one with other settings.
            WeightsMismatch: the weights do not fit.
        """
        folder = hub.resolve(folder)
        settings = read_settings(folder, cls.architecture)
        check_temporal(folder, temporal)
        try:
            model = cls(**settings, temporal=temporal)
        except TypeError as error:  # an unknown argument
            raise ValueError(f"{Path(folder) / CONFIG_FILE}: {error}") from error
        load_checked(model, read_weights(folder, with_temporal=temporal is not None))
        return model.eval()

    @abstractmethod
    def _decode(
        self,
        finest: Tensor,
        features: Features,
        frames: Tensor,
        targets: Sequence[ClipTargets] | None = None,
        *,
        with_head_inputs: bool = False,
    ) -> ClipOutput:
        """Turn the stride-4 map (B*T, C_4, h, w) and the refined maps into predictions."""

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
            maps = self.backbone(images)
        features = self.pixel_decoder.encode(maps)
        return maps[0], [map_.unflatten(0, frames.shape[:2]) for map_ in features]

    def _prepare(self, frames: Tensor) -> Tensor:
        """Normalise frames, then pad them with zeros right and bottom, (B*T, 3, H', W')."""
        check_frames(frames, self.pixel_mean.device)
        images = frames.flatten(0, 1).to(self.pixel_mean.dtype)
        images = (images - self.pixel_mean) / self.pixel_std
        height, width = padded_size(images)
        return F.pad(images, (0, width - images.shape[-1], 0, height - images.shape[-2]))
