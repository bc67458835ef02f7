"""The only place that joins the packages: configurations in, transforms, networks, criteria out."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeAlias, TypeVar

import torch
from safetensors import SafetensorError

from vidgap_augment import (
    ClipCompose,
    finetune_pseudo_clips,
    finetune_real_clips,
    pretrain_clips,
)
from vidgap_segmenter import (
    NETWORKS,
    ClipCriterion,
    ClipSegmenter,
    Criterion,
    Mask2Former,
    Mask2FormerVIS,
    MaskDINO,
    MaskDINOCriterion,
    SeqFormer,
    SeqFormerCriterion,
    load_backbone_weights,
)
from vidgap_segmenter.weights import ARCHITECTURE
from vidgap_temporal import MultiScaleTemporalModule
from vidgap_vis.config import (
    ContrastConfig,
    HeadConfig,
    LossConfig,
    ModelConfig,
    PseudoAugmentation,
    PseudoClipConfig,
    TemporalConfig,
    VideoClipConfig,
)
from vidgap_vis.errors import ConfigError, InputError, reason_of
from vidgap_vis.trackers.ctvis import ContrastiveLoss
from vidgap_vis.trackers.dvis import DVIS, ReferringTracker, TemporalRefiner
from vidgap_vis.trackers.genvis import GenVIS
from vidgap_vis.trackers.heads import LearnedHead
from vidgap_vis.trackers.idol import ReidLoss
from vidgap_vis.trackers.masktrack import TrackHead
from vidgap_vis.trackers.vita import VITA

Value = TypeVar("Value")

AnyCriterion: TypeAlias = Criterion | ClipCriterion | SeqFormerCriterion | MaskDINOCriterion

CRITERIA: dict[str, type[AnyCriterion]] = {
    Mask2Former.architecture: Criterion,
    Mask2FormerVIS.architecture: ClipCriterion,
    MaskDINO.architecture: MaskDINOCriterion,
    SeqFormer.architecture: SeqFormerCriterion,
}

STRIDES = {
    **dict.fromkeys((Mask2Former.architecture, Mask2FormerVIS.architecture), (8, 16, 32)),
    **dict.fromkeys((MaskDINO.architecture, SeqFormer.architecture), (8, 16, 32, 64)),
}
"""Of the maps that a pixel encoder hands to the temporal module, unless `strides` is given."""


def image_clips(clip: PseudoClipConfig) -> ClipCompose:
    """Return the transform of an image sample for pre-training."""
    return pretrain_clips(
        clip.num_frames,
        clip.size,
        scale_range=clip.scale_range,
        flip_probability=clip.flip_probability,
        **_arms(clip),
    )


def video_clips(clip: VideoClipConfig) -> ClipCompose:
    """Return the transform of a clip sample for fine-tuning."""
    return finetune_real_clips(
        crop_probability=clip.crop_probability,
        crop_range=clip.crop_range,
        short_edges=clip.short_edges,
        max_size=clip.max_size,
        flip_probability=clip.flip_probability,
    )


def joint_image_clips(clip: VideoClipConfig) -> ClipCompose:
    """Return the transform of an image sample for fine-tuning beside videos."""
    return finetune_pseudo_clips(
        clip.num_frames,
        crop_probability=or_else(clip.pseudo_crop_probability, clip.crop_probability),
        crop_short_edges=clip.pseudo_crop_short_edges,
        crop_max_size=clip.pseudo_crop_max_size,
        crop_range=or_else(clip.pseudo_crop_range, clip.crop_range),
        short_edges=clip.short_edges,
        max_size=clip.max_size,
        flip_probability=clip.flip_probability,
        **_arms(clip),
    )


def _arms(clip: PseudoAugmentation) -> dict[str, Any]:
    """Return the arguments that both makers of pseudo-clips share."""
    return {field.name: getattr(clip, field.name) for field in fields(PseudoAugmentation)}


def segmenter(
    model: ModelConfig, temporal: TemporalConfig | None, num_classes: int
) -> ClipSegmenter:
    """Build a model with random weights, from torch's default generator.

    The temporal module draws from a generator of its own, so a model without it starts from the
    same weights as one with it.

    Raises:
        ConfigError: a section asks for what its package cannot build.
    """
    arguments = given(vars(model))
    for not_built in ("backbone_weights", "gradient_checkpointing"):
        arguments.pop(not_built, None)
    network = NETWORKS[arguments.pop("architecture")]
    num_scales = len(model.strides or STRIDES[network.architecture])
    module = None
    if temporal is not None:
        try:
            with torch.random.fork_rng(devices=[]):
                module = MultiScaleTemporalModule(
                    channels=model.channels, num_scales=num_scales, **given(vars(temporal))
                )
        except ValueError as error:
            raise ConfigError("", "temporal", str(error)) from error
    try:
        built = network(num_classes=num_classes, temporal=module, **arguments)
    except (ValueError, RuntimeError) as error:
        raise ConfigError("", "model", str(error)) from error
    built.set_gradient_checkpointing(model.gradient_checkpointing)
    return built


def saved_network(config: Mapping[str, Any]) -> ClipSegmenter:
    """Build the network that a weights folder describes, with random weights.

    Args:
        config: the content of `config.json`.

    Raises:
        KeyError, TypeError, ValueError, ZeroDivisionError, RuntimeError: it describes none.
    """
    temporal = config["temporal"]
    module = None if temporal is None else MultiScaleTemporalModule(**temporal)
    settings = dict(config["segmenter"])
    network = NETWORKS[settings.pop(ARCHITECTURE, Mask2Former.architecture)]
    return network(**settings, temporal=module)


def given(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are not left to the constructor: null leaves them."""
    return {name: value for name, value in settings.items() if value is not None}


def or_else(value: Value | None, other: Value) -> Value:
    """Return a value, or another one where it is None."""
    return other if value is None else value


def load_backbone(model: ClipSegmenter, source: str) -> None:
    """Load pretrained weights into a model's backbone.

    Args:
        model: changed in place.
        source: a file, or the name of a package that carries them.

    Raises:
        InputError: it is missing or does not fit.
    """
    try:
        load_backbone_weights(model, source)
    except (ValueError, ImportError, OSError) as error:
        raise InputError("", "model.backbone_weights", reason_of(error)) from error
    except SafetensorError as error:
        message = f"{source} is damaged ({reason_of(error)})"
        raise InputError("", "model.backbone_weights", message) from error


def criterion(loss: LossConfig, model: ModelConfig, num_classes: int) -> AnyCriterion:
    """Build the criterion of a model.

    Raises:
        ConfigError: a weight is given for a loss that the model does not have.
    """
    settings = given(vars(loss))
    kind = CRITERIA[model.architecture]
    known = inspect.signature(kind).parameters
    for name in [name for name in settings if name not in known]:
        message = f"model.architecture {model.architecture} has no such loss; wanted null"
        raise ConfigError("", f"loss.{name}", message)
    return kind(num_classes, **settings)


def clip_criterion(loss: LossConfig, num_classes: int) -> ClipCriterion:
    """Build what compares the clips of VITA and GenVIS with a Mask2Former's settings."""
    return ClipCriterion(num_classes, **given(vars(loss)))


def contrastive_loss(contrast: ContrastConfig) -> ContrastiveLoss:
    """Build CTVIS's loss."""
    return ContrastiveLoss(**_arguments(contrast, ContrastiveLoss))


def reid_loss(contrast: ContrastConfig) -> ReidLoss:
    """Build IDOL's loss."""
    return ReidLoss(**_arguments(contrast, ReidLoss))


def _arguments(section: object, constructor: type) -> dict[str, Any]:
    """Return those settings of a section that a constructor takes, null left out."""
    known = inspect.signature(constructor).parameters
    return {name: value for name, value in given(vars(section)).items() if name in known}


def head(section: HeadConfig, model: ClipSegmenter) -> LearnedHead:
    """Build a head for a model's queries with random weights, from torch's default generator."""
    num_classes, channels = model.num_classes, model.config["channels"]
    sizes = section.given("num_layers", "num_heads", "ffn_channels")
    if section.name == "masktrack":
        width, dim = model.config["embedding_dim"] or channels, section.embedding_dim
        return TrackHead(width) if dim is None else TrackHead(width, dim)
    if section.name in ("dvis", "dvis_offline"):
        align = section.given("inverse_alignment")
        tracker = ReferringTracker(channels, num_classes, **sizes, **align)
        if section.name == "dvis":
            return DVIS(tracker)
        return DVIS(tracker, TemporalRefiner(channels, num_classes, **sizes))
    window = {"window": 0} if section.name == "genvis" else {}
    vita = VITA(
        num_classes,
        num_frame_queries=model.config["num_queries"],
        channels=channels,
        **sizes,
        **window | section.given("num_queries", "num_encoder_layers", "window"),
    )
    return GenVIS(vita) if section.name == "genvis" else vita
