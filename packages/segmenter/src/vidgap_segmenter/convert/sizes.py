"""The settings of a network, inferred from the shapes of its weights (under our names).

Where a weight is missing, the constructor's default stays, and the missing weight is reported later
with everything else that does not fit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vidgap_segmenter.backbones.swin import SWIN_SIZES

Settings = Mapping[str, Any]
"""Constructor's arguments of a network."""

RESNETS: dict[tuple[tuple[int, ...], bool], str] = {
    ((2, 2, 2, 2), False): "resnet18",
    ((3, 4, 6, 3), False): "resnet34",
    ((2, 2, 2, 2), True): "resnet26",
    ((3, 4, 6, 3), True): "resnet50",
    ((3, 4, 23, 3), True): "resnet101",
    ((3, 8, 36, 3), True): "resnet152",
}
"""(blocks of each stage, whether they are bottlenecks) -> name."""


ANCHORS: dict[tuple[int, ...], str] = {
    (8, 16, 32): "bitmask",
    (8, 16, 32, 64): "mask2box",
    (4, 8, 16, 32): "selected",
    (4, 8, 16, 32, 64): "bitmask",
}
"""Strides of Mask DINO's encoder -> `anchors` of the official configuration that has them."""


def mask2former_settings(state: Mapping[str, Tensor], num_heads: int) -> dict[str, Any]:
    """Return the arguments of `Mask2Former` that the weights determine, and `num_heads`.

    Raises:
        ValueError: the backbone is none of ours, or `num_heads` does not fit.
    """
    sizes = _Sizes(state)
    classes = sizes.rows("decoder.class_embed.weight")
    return _known(
        **_common(sizes, num_heads),
        num_classes=None if classes is None else classes - 1,
        embedding_dim=sizes.rows("decoder.embedding_head.4.weight"),
        num_queries=sizes.rows("decoder.query_feat.weight"),
    )


def mask_dino_settings(state: Mapping[str, Tensor], num_heads: int) -> dict[str, Any]:
    """Return the arguments of `MaskDINO` that the weights determine, `num_heads` and `anchors`.

    No weight determines `anchors`: it is that of the official configuration of the same strides.

    Raises:
        ValueError: as for `mask2former_settings`.
    """
    sizes = _Sizes(state)
    strides, coarse_first = _strides(sizes)
    return _known(
        **_common(sizes, num_heads),
        num_classes=sizes.rows("decoder.class_embed.weight"),
        embedding_dim=sizes.rows("decoder.embedding_head.4.weight"),
        strides=strides,
        coarse_first=coarse_first,
        anchors=ANCHORS.get(tuple(strides or ())),
    )


def _strides(sizes: _Sizes) -> tuple[list[int] | None, bool | None]:
    """Return the strides of a Mask DINO's encoder, and whether its level 0 is the coarsest."""
    widths = []
    extra = 0
    for level in range(sizes.count(r"pixel_decoder\.input_proj\.(\d+)\..*") or 0):
        weight = sizes.state.get(f"pixel_decoder.input_proj.{level}.0.weight")
        if weight is None or weight.ndim != 4:
            return None, None
        if weight.shape[-1] == 3:
            extra = 1
        else:
            widths.append(weight.shape[1])
    strides = [32 >> step for step in reversed(range(len(widths)))] + [64] * extra
    return (strides, widths != sorted(widths)) if widths else (None, None)


def _common(sizes: _Sizes, num_heads: int) -> dict[str, Any]:
    """Return the arguments that all networks have."""
    return {
        "backbone": backbone_name(sizes.state),
        "channels": sizes.columns("pixel_decoder.level_embed"),
        "num_encoder_layers": sizes.count(r"pixel_decoder\.layers\.(\d+)\..*"),
        "encoder_ffn_channels": sizes.rows("pixel_decoder.layers.0.linear1.weight"),
        "num_decoder_layers": sizes.count(r"decoder\.layers\.(\d+)\..*"),
        "decoder_ffn_channels": sizes.rows("decoder.layers.0.linear1.weight"),
        "num_heads": num_heads,
        "num_points": _num_points(sizes, num_heads),
    }


def backbone_name(state: Mapping[str, Tensor]) -> str:
    """Return the name of the backbone whose weights these are.

    Raises:
        ValueError: no ResNet and no Swin of ours has these sizes.
    """
    sizes = _Sizes(state)
    width = sizes.rows("backbone.patch_embed.proj.weight")
    if width is not None:
        return _swin_name(sizes, width)
    depths = tuple(sizes.count(rf"backbone\.body\.layer{s}\.(\d+)\..*") or 0 for s in range(1, 5))
    bottleneck = any(name.endswith("layer1.0.conv3.weight") for name in state)
    if (depths, bottleneck) not in RESNETS:
        kind = "bottlenecks" if bottleneck else "basic blocks"
        raise ValueError(f"no backbone has stages of {list(depths)} {kind}")
    return RESNETS[depths, bottleneck]


def _swin_name(sizes: _Sizes, width: int) -> str:
    depths = tuple(sizes.count(rf"backbone\.layers\.{s}\.blocks\.(\d+)\..*") or 0 for s in range(4))
    entries = sizes.rows("backbone.layers.0.blocks.0.attn.relative_position_bias_table") or 1
    window = (round(entries**0.5) + 1) // 2
    for name, size in SWIN_SIZES.items():
        if (size.width, size.depths, size.window) == (width, depths, window):
            return name
    raise ValueError(
        f"no Swin has width {width}, {list(depths)} blocks and windows of {window}; there are: "
        + ", ".join(f"{name} ({s.width}, {s.depths}, {s.window})" for name, s in SWIN_SIZES.items())
    )


def _num_points(sizes: _Sizes, num_heads: int) -> int | None:
    samples = sizes.rows("pixel_decoder.layers.0.self_attn.attention_weights.weight")
    levels = sizes.rows("pixel_decoder.level_embed")
    if samples is None or levels is None or samples < levels:
        return None
    if samples % (levels * num_heads):
        raise ValueError(
            f"num_heads must divide the {samples // levels} samples of a scale, got {num_heads}"
        )
    return samples // (levels * num_heads)


def _known(**settings: Any) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


class _Sizes:
    """Sizes of weights by name; None where there is no such weight, or it has no such axis."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.state = state

    def rows(self, name: str) -> int | None:
        return self._side(name, 0)

    def columns(self, name: str) -> int | None:
        return self._side(name, 1)

    def count(self, pattern: str) -> int | None:
        """Return one more than the largest number that a name has at the pattern's group.

        A number that is not below that of all weights counts nothing: it is found as unexpected.
        """
        numbers = [int(m[1]) for name in self.state if (m := re.fullmatch(pattern, name))]
        return max((n + 1 for n in numbers if n < len(self.state)), default=None)

    def _side(self, name: str, axis: int) -> int | None:
        tensor = self.state.get(name)
        return None if tensor is None or tensor.ndim <= axis else tensor.shape[axis]
