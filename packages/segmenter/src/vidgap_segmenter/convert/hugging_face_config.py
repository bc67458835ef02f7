"""Reading the `config.json` of Hugging Face's Mask2Former, and writing one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vidgap_segmenter.backbones.swin import SWIN_SIZES
from vidgap_segmenter.convert.sizes import RESNETS, Settings
from vidgap_segmenter.names.hugging_face import STAGES


def class_names_of(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the classes that a `config.json` names in order; None where it only numbers them."""
    labels = config.get("id2label") or {}
    if not isinstance(labels, dict) or not all(
        index.isdecimal() and isinstance(name, str) for index, name in labels.items()
    ):
        raise ValueError("id2label must hold names by number")
    names = {int(index): name for index, name in labels.items()}
    if not names or all(name == f"LABEL_{index}" for index, name in names.items()):
        return None
    if sorted(names) != list(range(len(names))):
        raise ValueError(f"id2label must name 0 to {len(names) - 1}, got {sorted(names)}")
    return tuple(names[index] for index in range(len(names)))


def num_heads_of(config: Mapping[str, Any]) -> int:
    """Return a `config.json`'s number of attention heads, and check what shapes cannot tell.

    Raises:
        ValueError: a setting makes these weights another network than ours.
    """
    backbone = config.get("backbone_config") or {}
    if not isinstance(backbone, dict):
        raise ValueError(f"backbone_config must be an object, got {type(backbone).__name__}")
    wanted = [
        (config, "pre_norm", False),
        (config, "feature_strides", [4, 8, 16, 32]),
        (config, "common_stride", 4),
        (backbone, "downsample_in_bottleneck", False),
        (backbone, "downsample_in_first_stage", False),
        (backbone, "use_absolute_embeddings", False),
        (backbone, "out_features", STAGES),
    ]
    for section, name, value in wanted:
        if section.get(name, value) != value:
            raise ValueError(f"{name} must be {value}, got {section[name]}")
    heads = config.get("num_attention_heads", 8)
    if not isinstance(heads, int):
        raise ValueError(f"num_attention_heads must be a whole number, got {heads!r}")
    return heads


def config_of(settings: Settings, class_names: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the `config.json` of a Mask2Former of ours, as transformers reads it.

    Args:
        settings: a `Mask2Former.config`.
        class_names: in order of index; None numbers them.

    Raises:
        ValueError: transformers does not have its backbone, number of points or embedding head.
    """
    if settings["num_points"] != 4 or settings["embedding_dim"] is not None:
        raise ValueError(
            "Hugging Face's Mask2Former takes 4 points and has no embedding head, got "
            f"num_points={settings['num_points']}, embedding_dim={settings['embedding_dim']}"
        )
    names = class_names or [f"LABEL_{index}" for index in range(settings["num_classes"])]
    return {
        "architectures": ["Mask2FormerForUniversalSegmentation"],
        "model_type": "mask2former",
        "backbone_config": _backbone_config(str(settings["backbone"])),
        "feature_size": settings["channels"],
        "mask_feature_size": settings["channels"],
        "hidden_dim": settings["channels"],
        "encoder_feedforward_dim": settings["encoder_ffn_channels"],
        "encoder_layers": settings["num_encoder_layers"],
        "dim_feedforward": settings["decoder_ffn_channels"],
        "decoder_layers": settings["num_decoder_layers"] + 1,
        "num_attention_heads": settings["num_heads"],
        "num_queries": settings["num_queries"],
        "dropout": 0.0,
        "id2label": {str(index): name for index, name in enumerate(names)},
        "label2id": {name: index for index, name in enumerate(names)},
    }


def _backbone_config(name: str) -> dict[str, Any]:
    if name in SWIN_SIZES:
        size = SWIN_SIZES[name]
        return {
            "model_type": "swin",
            "embed_dim": size.width,
            "depths": list(size.depths),
            "num_heads": list(size.heads),
            "window_size": size.window,
            "out_features": STAGES,
        }
    for (depths, bottleneck), resnet in RESNETS.items():
        if resnet == name:
            return {
                "model_type": "resnet",
                "layer_type": "bottleneck" if bottleneck else "basic",
                "depths": list(depths),
                "hidden_sizes": [(256 if bottleneck else 64) << stage for stage in range(4)],
                "out_features": STAGES,
            }
    raise ValueError(f"backbone must be a ResNet or a Swin for Hugging Face, got {name!r}")
