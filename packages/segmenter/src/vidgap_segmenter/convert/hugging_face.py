"""Names and settings of Hugging Face's Mask2Former, as its folders hold them.

On disk a Swin backbone has the names of transformers 4; transformers 5 renames it in memory, while
loading (`conversion_mapping.py`, "swin" and "SwinBackbone"), and back while saving.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vidgap_segmenter.backbones.swin import SWIN_SIZES
from vidgap_segmenter.convert.official import DEFORMABLE
from vidgap_segmenter.convert.sizes import RESNETS, Settings
from vidgap_segmenter.name_table import Table

PIXEL = "model.pixel_level_module.decoder."
ENCODER = "model.pixel_level_module.encoder."
TRANSFORMER = "model.transformer_module."
DECODER = TRANSFORMER + "decoder."
LAYER = DECODER + "layers.#."
STAGES = ["stage1", "stage2", "stage3", "stage4"]

RESNET = [
    ("backbone.body.conv1.*", ENCODER + "embedder.embedder.convolution.*"),
    ("backbone.body.bn1.*", ENCODER + "embedder.embedder.normalization.*"),
    *(
        row
        for stage in range(4)
        for ours, theirs in [
            (f"backbone.body.layer{stage + 1}.#.", f"{ENCODER}encoder.stages.{stage}.layers.#.")
        ]
        for row in [
            *((f"{ours}conv{i + 1}.*", f"{theirs}layer.{i}.convolution.*") for i in range(3)),
            *((f"{ours}bn{i + 1}.*", f"{theirs}layer.{i}.normalization.*") for i in range(3)),
            (f"{ours}downsample.0.*", f"{theirs}shortcut.convolution.*"),
            (f"{ours}downsample.1.*", f"{theirs}shortcut.normalization.*"),
        ]
    ),
]

BLOCK = "backbone.layers.#.blocks.#."
THEIR_BLOCK = ENCODER + "encoder.layers.#.blocks.#."
ATTENTION = THEIR_BLOCK + "attention.self."
SWIN = [
    ("backbone.patch_embed.proj.*", ENCODER + "embeddings.patch_embeddings.projection.*"),
    ("backbone.patch_embed.norm.*", ENCODER + "embeddings.norm.*"),
    *(
        (f"backbone.norms.{stage}.*", f"{ENCODER}hidden_states_norms.{name}.*")
        for stage, name in enumerate(STAGES)
    ),
    (BLOCK + "norm1.*", THEIR_BLOCK + "layernorm_before.*"),
    (BLOCK + "norm2.*", THEIR_BLOCK + "layernorm_after.*"),
    (BLOCK + "attn.qkv.*", [f"{ATTENTION}{part}.*" for part in ("query", "key", "value")]),
    (BLOCK + "attn.proj.*", THEIR_BLOCK + "attention.output.dense.*"),
    (BLOCK + "attn.relative_position_bias_table", ATTENTION + "relative_position_bias_table"),
    (BLOCK + "mlp.fc1.*", THEIR_BLOCK + "intermediate.dense.*"),
    (BLOCK + "mlp.fc2.*", THEIR_BLOCK + "output.dense.*"),
    ("backbone.layers.#.downsample.norm.*", ENCODER + "encoder.layers.#.downsample.norm.*"),
    (
        "backbone.layers.#.downsample.reduction.*",
        ENCODER + "encoder.layers.#.downsample.reduction.*",
    ),
]

PIXEL_DECODER = [
    ("pixel_decoder.input_proj.#.#.*", PIXEL + "input_projections.#.#.*"),
    ("pixel_decoder.level_embed", PIXEL + "level_embed"),
    *(
        (f"pixel_decoder.layers.#.self_attn.{part}", f"{PIXEL}encoder.layers.#.self_attn.{part}")
        for part in DEFORMABLE
    ),
    ("pixel_decoder.layers.#.norm1.*", PIXEL + "encoder.layers.#.self_attn_layer_norm.*"),
    ("pixel_decoder.layers.#.norm2.*", PIXEL + "encoder.layers.#.final_layer_norm.*"),
    ("pixel_decoder.layers.#.linear1.*", PIXEL + "encoder.layers.#.fc1.*"),
    ("pixel_decoder.layers.#.linear2.*", PIXEL + "encoder.layers.#.fc2.*"),
    ("pixel_decoder.lateral.#.*", PIXEL + "adapter_1.#.*"),
    ("pixel_decoder.smooth.#.*", PIXEL + "layer_1.#.*"),
    ("pixel_decoder.mask_proj.*", PIXEL + "mask_projection.*"),
]

MASKED_DECODER = [
    ("decoder.query_feat.*", TRANSFORMER + "queries_features.*"),
    ("decoder.query_embed.*", TRANSFORMER + "queries_embedder.*"),
    ("decoder.level_embed.*", TRANSFORMER + "level_embed.*"),
    ("decoder.layers.#.cross_attn.*", LAYER + "cross_attn.*"),
    ("decoder.layers.#.cross_attn.out_proj.*", LAYER + "cross_attn.out_proj.*"),
    ("decoder.layers.#.cross_norm.*", LAYER + "cross_attn_layer_norm.*"),
    *(
        (
            f"decoder.layers.#.self_attn.in_proj_{kind}",
            [f"{LAYER}self_attn.{part}_proj.{kind}" for part in "qkv"],
        )
        for kind in ("weight", "bias")
    ),
    ("decoder.layers.#.self_attn.out_proj.*", LAYER + "self_attn.out_proj.*"),
    ("decoder.layers.#.self_norm.*", LAYER + "self_attn_layer_norm.*"),
    ("decoder.layers.#.linear1.*", LAYER + "fc1.*"),
    ("decoder.layers.#.linear2.*", LAYER + "fc2.*"),
    ("decoder.layers.#.ffn_norm.*", LAYER + "final_layer_norm.*"),
    ("decoder.norm.*", DECODER + "layernorm.*"),
    ("decoder.class_embed.*", "class_predictor.*"),
    *(
        (
            f"decoder.mask_embed.{2 * layer}.*",
            f"{DECODER}mask_predictor.mask_embedder.{layer}.0.*",
        )
        for layer in range(3)
    ),
]

MASK2FORMER = Table.of([*RESNET, *SWIN, *PIXEL_DECODER, *MASKED_DECODER])

IN_MEMORY_SPELLINGS = [
    (rf"^({ENCODER})swin\.(encoder|embeddings)\.", r"\1\2."),
    *(
        (rf"^({ENCODER}.*\.blocks\.\d+)\.{in_memory}", rf"\1.{on_disk}")
        for in_memory, on_disk in [
            (r"attention\.q_proj\.", "attention.self.query."),
            (r"attention\.k_proj\.", "attention.self.key."),
            (r"attention\.v_proj\.", "attention.self.value."),
            (r"attention\.o_proj\.", "attention.output.dense."),
            (r"attention\.relative_position_bias\.", "attention.self."),
            (r"mlp\.fc1\.", "intermediate.dense."),
            (r"mlp\.fc2\.", "output.dense."),
        ]
    ),
]
"""What `state_dict()` says in transformers 5 -> what stands on disk."""

LEFT_OUT = [
    (r"criterion\..*", "belongs to the loss"),
    (rf"{ENCODER}(swin\.)?layernorm\..*", "is used by nothing"),
    (r".*\.num_batches_tracked", "batch norms are frozen"),
    (r".*\.relative_position_index", "is computed"),
]
"""(pattern, why it has no place in our networks)."""


def class_names(config: Mapping[str, Any]) -> tuple[str, ...] | None:
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


def num_heads(config: Mapping[str, Any]) -> int:
    """Return the attention heads that a `config.json` gives, and check what shapes cannot tell.

    Raises:
        ValueError: a setting makes another network than ours of the same weights.
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


def config(settings: Settings, class_names: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the `config.json` of a Mask2Former of ours, as transformers reads it.

    Args:
        settings: a `Mask2Former.config`.
        class_names: of its classes; None numbers them.

    Raises:
        ValueError: its backbone, or its number of points, is one that transformers does not have.
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
