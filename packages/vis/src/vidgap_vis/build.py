"""The only place that joins the packages: configurations in, transforms, models and weights out."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from vidgap_augment import (
    ClipCompose,
    finetune_pseudo_clips,
    finetune_real_clips,
    pretrain_clips,
)
from vidgap_segmenter import (
    NETWORKS,
    ClipSegmenter,
    Criterion,
    Mask2Former,
    MaskDINO,
    MaskDINOCriterion,
    WeightsMismatch,
    load_backbone_weights,
    parameter_groups,
)
from vidgap_segmenter.weights import (
    ARCHITECTURE,
    CLASS_WEIGHTS,
    CONFIG_FILE,
    WEIGHTS_FILE,
    load_checked,
    read_config,
    read_state_dict,
)
from vidgap_temporal import MultiScaleTemporalModule
from vidgap_vis.atomic import replacing_folder
from vidgap_vis.classes import ClassInfo, ClassList
from vidgap_vis.config import (
    LossConfig,
    ModelConfig,
    PseudoAugmentation,
    PseudoClipConfig,
    TemporalConfig,
    TrainConfig,
    VideoClipConfig,
)
from vidgap_vis.errors import ConfigError, InputError
from vidgap_vis.failures import WeightsError

CRITERIA: dict[str, type[Criterion | MaskDINOCriterion]] = {
    Mask2Former.architecture: Criterion,
    MaskDINO.architecture: MaskDINOCriterion,
}

STRIDES = {Mask2Former.architecture: (8, 16, 32), MaskDINO.architecture: (8, 16, 32, 64)}
"""Of the maps that a pixel encoder hands to the temporal module, unless a setting says others."""

PROVENANCE_FILE = "provenance.json"

SETTINGS_OF_A_RUN = ("num_classes", "train_backbone", "init")
"""Settings that a child may well have otherwise than its parent."""


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
        crop_probability=clip.crop_probability,
        crop_short_edges=clip.pseudo_crop_short_edges,
        crop_max_size=clip.pseudo_crop_max_size,
        crop_range=clip.crop_range,
        short_edges=clip.short_edges,
        max_size=clip.max_size,
        flip_probability=clip.flip_probability,
        **_arms(clip),
    )


def _arms(clip: PseudoAugmentation) -> dict[str, Any]:
    """Return what both makers of pseudo-clips take by the same names."""
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
    arguments = _given(model)
    for not_built in ("backbone_weights", "gradient_checkpointing"):
        arguments.pop(not_built, None)
    network = NETWORKS[arguments.pop("architecture")]
    num_scales = len(model.strides or STRIDES[network.architecture])
    module = None
    if temporal is not None:
        try:
            with torch.random.fork_rng(devices=[]):
                module = MultiScaleTemporalModule(
                    channels=model.channels, num_scales=num_scales, **asdict(temporal)
                )
        except ValueError as error:
            raise ConfigError("", "temporal", str(error)) from error
    try:
        built = network(num_classes=num_classes, temporal=module, **arguments)
    except (ValueError, RuntimeError) as error:
        raise ConfigError("", "model", str(error)) from error
    built.set_gradient_checkpointing(model.gradient_checkpointing)
    return built


def _given(section: ModelConfig | LossConfig) -> dict[str, Any]:
    """Return the settings that do not leave the value to the network."""
    return {name: value for name, value in asdict(section).items() if value is not None}


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
        raise InputError("", "model.backbone_weights", _reason(error)) from error
    except SafetensorError as error:
        message = f"{source} is damaged ({_reason(error)})"
        raise InputError("", "model.backbone_weights", message) from error


def criterion(
    loss: LossConfig, model: ModelConfig, num_classes: int
) -> Criterion | MaskDINOCriterion:
    """Build the criterion of a model.

    Raises:
        ConfigError: a loss is weighted that the model has not.
    """
    settings = _given(loss)
    kind = CRITERIA[model.architecture]
    for name in settings.keys() - inspect.signature(kind).parameters.keys():
        message = f"model.architecture {model.architecture} has no such loss; wanted null"
        raise ConfigError("", f"loss.{name}", message)
    return kind(num_classes, **settings)


def optimizer(model: ClipSegmenter, train: TrainConfig) -> torch.optim.AdamW:
    """Build AdamW; each group keeps its base learning rate as `initial_lr`."""
    groups = parameter_groups(model, train.lr, train.weight_decay, train.backbone_multiplier)
    return torch.optim.AdamW(
        [{**group, "initial_lr": group["lr"]} for group in groups], lr=train.lr, fused=True
    )


def save(
    folder: Path, model: ClipSegmenter, classes: ClassList, provenance: Mapping[str, object]
) -> None:
    """Write a weights folder: `config.json`, `model.safetensors`, `provenance.json`.

    Args:
        folder: replaced as a whole where it exists.
        model: what is saved.
        classes: what its labels mean.
        provenance: what it was made from, as JSON can hold it.
    """
    with replacing_folder(folder, overwrite=True) as temporary:
        model.save_pretrained(temporary, [asdict(info) for info in classes])
        text = json.dumps(dict(provenance), indent=2)
        (temporary / PROVENANCE_FILE).write_text(text + "\n", encoding="utf-8")


def load(folder: str | Path, device: str | torch.device = "cpu") -> tuple[ClipSegmenter, ClassList]:
    """Build the model that a weights folder holds, in eval mode, and its classes.

    Raises:
        InputError: something is missing or damaged (`WeightsError`: does not fit), by file.
    """
    folder = Path(folder)
    config, state, classes = _read_folder(folder)
    try:
        temporal = config["temporal"]
        module = None if temporal is None else MultiScaleTemporalModule(**temporal)
        settings = dict(config["segmenter"])
        network = NETWORKS[settings.pop(ARCHITECTURE, Mask2Former.architecture)]
        model = network(**settings, temporal=module)
    except (KeyError, TypeError, ValueError, ZeroDivisionError, RuntimeError) as error:
        message = f"describes no model that can be built ({_reason(error)})"
        raise InputError(folder / CONFIG_FILE, "", message) from error
    _load_checked(model, state, folder)
    return model.eval().to(device), classes


def initialise(model: ClipSegmenter, classes: ClassList, folder: str | Path) -> str:
    """Load a parent's weights into a model that is to be fine-tuned.

    The class head keeps its fresh values where the class list differs, and the temporal module its
    own where the parent has none; anything else must fit.

    Args:
        model: changed in place.
        classes: of the new data.
        folder: the parent's weights folder.

    Returns:
        What was not taken over, one line a weight, under a headline.

    Raises:
        InputError: as for `load`.
    """
    folder = Path(folder)
    config, state, before = _read_folder(folder)
    found = config["segmenter"].get(ARCHITECTURE, Mask2Former.architecture)
    if found != model.architecture:
        message = f"wanted {model.architecture}, as this run's model, got {found}"
        raise InputError(folder / CONFIG_FILE, f"segmenter.{ARCHITECTURE}", message)
    fresh: list[str] = []
    if [info.name for info in before] != [info.name for info in classes]:
        own = model.state_dict()
        fresh += [name for name in CLASS_WEIGHTS if name in own]
        state = {name: tensor for name, tensor in state.items() if name not in CLASS_WEIGHTS}
    if not any(name.startswith("temporal.") for name in state):
        fresh.append("temporal.")
    missing = _load_checked(model, state, folder, allow_missing=tuple(fresh))
    lines = [f"{folder}: {len(state)} weights taken over, {len(missing)} start afresh"]
    for name in missing:
        why = "the classes differ" if name in CLASS_WEIGHTS else "the parent has no temporal module"
        lines.append(f"  {name:<60}  {why}")
    return "\n".join([*lines, *_changed_settings(config, model)])


def _changed_settings(parent: Mapping[str, Any], model: ClipSegmenter) -> list[str]:
    """Say which settings differ from the parent's: not all of them change a weight's shape."""
    module = model.temporal if isinstance(model.temporal, MultiScaleTemporalModule) else None
    now = {"model": model.config, "temporal": module and module.config}
    before = {"model": parent["segmenter"], "temporal": parent["temporal"]}
    return [
        f"  {section}.{name}: the parent had {before[section][name]!r}, now {value!r}"
        for section, values in now.items()
        if values and before[section]
        for name, value in values.items()
        if name not in SETTINGS_OF_A_RUN and before[section].get(name, value) != value
    ]


def _read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor], ClassList]:
    """Read what a weights folder holds."""
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise InputError(folder, "", f"not a weights folder ({name} is missing)")
    try:
        config = read_config(folder)
        classes = tuple(ClassInfo(**info) for info in config["classes"])
        num_classes = config["segmenter"]["num_classes"]
        if [info.index for info in classes] != list(range(num_classes)):
            got = [info.index for info in classes]
            raise ValueError(f"classes: wanted indices 0 to {num_classes - 1} in order, got {got}")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(folder / CONFIG_FILE, "", _reason(error)) from error
    try:
        return config, read_state_dict(folder / WEIGHTS_FILE), classes
    except SafetensorError as error:
        raise InputError(folder / WEIGHTS_FILE, "", f"damaged ({_reason(error)})") from error


def _load_checked(
    model: ClipSegmenter,
    state: Mapping[str, Tensor],
    folder: Path,
    allow_missing: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """Load weights; return the names that were missing as allowed."""
    try:
        return load_checked(model, state, allow_missing=allow_missing).missing
    except WeightsMismatch as error:
        raise WeightsError(folder / WEIGHTS_FILE, str(error.report)) from error


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
