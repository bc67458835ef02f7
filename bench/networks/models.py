"""The networks that `segmenter` compares: ours, and Hugging Face's with the same weights."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.harness.contender import Tensors, Work, importable
from bench.harness.stages import Stages
from vidgap_segmenter import ClipTargets, Criterion, Mask2Former, convert

SEED = 0
NUM_CLASSES = 80
NUM_INSTANCES = 8
NUM_POINTS = 12544
SIZE_DIVISOR = 32

PROBES = {
    "decoder.query_feat.weight": "model.transformer_module.queries_features.weight",
    "pixel_decoder.mask_proj.weight": "model.pixel_level_module.decoder.mask_projection.weight",
    "pixel_decoder.layers.0.self_attn.sampling_offsets.weight": (
        "model.pixel_level_module.decoder.encoder.layers.0.self_attn.sampling_offsets.weight"
    ),
}
"""Parameters whose gradients must agree, ours to theirs, besides `FIRST`."""

FIRST = {
    "resnet50": (
        "backbone.body.conv1.weight",
        "model.pixel_level_module.encoder.embedder.embedder.convolution.weight",
    ),
    "swin_tiny": (
        "backbone.patch_embed.proj.weight",
        "model.pixel_level_module.encoder.swin.embeddings.patch_embeddings.projection.weight",
    ),
}
"""The parameter that gradients reach last, ours and theirs."""


def inputs(work: Work, seed: int) -> Tensors:
    """Return frames (1, T, 3, H, W), 0..255, and masks (N, T, H, W), rectangles that move, as bool.

    Hugging Face wants `padded` beside them, (T, N, H', W'), floating.
    """
    generator = work.generator(seed)
    height, width = work.size
    shape = (1, work.frames, 3, height, width)
    frames = 255 * torch.rand(shape, generator=generator, device=work.device)
    corners = torch.rand(NUM_INSTANCES, work.frames, 2, generator=generator, device=work.device)
    tops, lefts = (
        (corners * torch.tensor([height, width], device=work.device) * 0.7).long().unbind(-1)
    )
    rows, columns = (torch.arange(side, device=work.device) for side in work.size)
    down, across = rows - tops[..., None], columns - lefts[..., None]
    inside_rows = (down >= 0) & (down < height // 3)  # (N, T, H)
    inside_columns = (across >= 0) & (across < width // 4)
    masks = inside_rows[..., :, None] & inside_columns[..., None, :]
    targets = padded(masks.transpose(0, 1).to(work.dtype))
    return {"frames": frames, "masks": masks, "padded": targets}


def padded(maps: Tensor) -> Tensor:
    """Pad maps (..., H, W) with zeros to multiples of `SIZE_DIVISOR`."""
    height, width = maps.shape[-2:]
    return F.pad(maps, (0, -width % SIZE_DIVISOR, 0, -height % SIZE_DIVISOR))


@functools.cache
def ours(name: str, device: str, dtype: torch.dtype, full_precision: bool) -> Mask2Former:
    """Return our network, with the same weights each time.

    Offsets are random: initially samples lie between pixels, where their gradients jump.
    """
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        model = Mask2Former(name, NUM_CLASSES, full_precision_pixel_decoder=full_precision)
        for parameter_name, parameter in model.named_parameters():
            if parameter_name.endswith("sampling_offsets.weight"):
                nn.init.normal_(parameter, std=0.02)
    return model.to(device, dtype)


@functools.cache
def theirs(name: str, device: str) -> tuple[nn.Module | None, str]:
    """Return Hugging Face's network with our weights, or None and why not.

    Its batch norms are frozen, as ours: it is in eval mode and their weights get no gradients.
    """
    transformers, why = importable("transformers")
    if transformers is None:
        return None, why
    model = convert.twin(ours(name, "cpu", torch.float32, True))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(False)
    return model.to(device), ""


@dataclass(frozen=True)
class Ours:
    """Our network.

    Attributes:
        backbone: its name.
        owner: the network, whose mode is set.
        model: the callable: `owner`, or it compiled.
    """

    backbone: str
    owner: Mask2Former
    model: nn.Module
    criterion: Criterion = field(
        default_factory=lambda: Criterion(
            NUM_CLASSES, num_points=NUM_POINTS, sampler=frame_by_frame
        )
    )

    def forward(self, tensors: Tensors) -> Tensor:
        """Return mask logits, (1, Q, T, h, w)."""
        self.owner.eval()
        output: Any = self.model(tensors["frames"])
        return torch.as_tensor(output.mask_logits)

    def step(self, tensors: Tensors) -> Tensors:
        """Train without the optimiser; return the loss and some gradients.

        Drop path is off, as Hugging Face's is in eval mode.
        """
        self.owner.train().backbone.eval()
        masks = tensors["masks"].bool()
        labels = torch.arange(len(masks), device=masks.device)
        torch.manual_seed(SEED)
        with torch.enable_grad():
            output: Any = self.model(tensors["frames"])
            loss = self.criterion(output, [ClipTargets(labels, masks, labels)]).total
            loss.backward()
        return results(loss, self.owner, {name: name for name in probes(self.backbone)})

    def stages(self, training: bool) -> Stages:
        """Return its stages; a compiled network has none."""
        if self.model is not self.owner:
            return {}
        pixels: Any = self.owner.pixel_decoder
        stages: Stages = {
            "backbone": (self.owner.backbone, self.owner.backbone),
            "encoder": (pixels.input_proj[0], pixels.layers[-1]),
            "mask features": (pixels.lateral, pixels.mask_proj),
            "decoder": (self.owner.decoder, self.owner.decoder),
        }
        return {**stages, "criterion": (self.criterion, self.criterion)} if training else stages


@dataclass(frozen=True)
class Theirs:
    """Hugging Face's network.

    Attributes:
        backbone: its name.
        owner: the network.
        model: the callable: `owner`, or it compiled.
        norm: ours, which normalises frames for both.
    """

    backbone: str
    owner: nn.Module
    model: nn.Module
    norm: Mask2Former

    def forward(self, tensors: Tensors) -> Tensor:
        """Return mask logits, (1, Q, T, h, w)."""
        output: Any = self.model(pixel_values=self.images(tensors))
        return torch.as_tensor(output.masks_queries_logits.transpose(0, 1)[None])

    def step(self, tensors: Tensors) -> Tensors:
        """Train without the optimiser; return the loss and some gradients, under our names."""
        masks = list(tensors["padded"])
        labels = [torch.arange(len(frame), device=frame.device) for frame in masks]
        torch.manual_seed(SEED)
        with torch.enable_grad():
            images = self.images(tensors)
            loss = self.model(pixel_values=images, mask_labels=masks, class_labels=labels).loss
            loss.backward()
        return results(loss, self.owner, probes(self.backbone))

    def stages(self, training: bool) -> Stages:
        """Return the same stages as ours."""
        if self.model is not self.owner:
            return {}
        owner: Any = self.owner
        pixels = owner.model.pixel_level_module
        stages: Stages = {
            "backbone": (pixels.encoder, pixels.encoder),
            "encoder": (pixels.decoder.input_projections[0], pixels.decoder.encoder),
            "mask features": (pixels.decoder.adapter_1, pixels.decoder.mask_projection),
            "decoder": (owner.model.transformer_module, owner.model.transformer_module),
        }
        return {**stages, "criterion": (owner.criterion, owner.criterion)} if training else stages

    def images(self, tensors: Tensors) -> Tensor:
        """Return the frames normalised and padded, (T, 3, H', W')."""
        frames = tensors["frames"].flatten(0, 1)
        return padded((frames - self.norm.pixel_mean) / self.norm.pixel_std)


def probes(backbone: str) -> dict[str, str]:
    """Return the parameters whose gradients must agree, ours to theirs."""
    first, their_first = FIRST[backbone]
    return {**PROBES, first: their_first}


def results(loss: Tensor, model: nn.Module, names: dict[str, str]) -> Tensors:
    """Return a loss, and gradients of parameters under the keys of `names`; zero all gradients.

    So each step begins without any, and the memory measured is its own.
    """
    found = {"loss": loss.detach()}
    for key, name in names.items():
        gradient = model.get_parameter(name).grad
        assert gradient is not None
        found[f"gradient of {key}"] = gradient
    model.zero_grad()
    return found


def frame_by_frame(shape: tuple[int, ...], *, device: torch.device) -> Tensor:
    """Draw points as Hugging Face does: those for matching separately for each frame.

    A GPU's generator gives other numbers for one large tensor than for its parts.
    """
    if shape[1] != NUM_POINTS:
        return torch.rand(shape, device=device)
    return torch.cat([torch.rand(1, *shape[1:], device=device) for _ in range(shape[0])])
