"""Hugging Face's Mask2Former as oracle: the same small network, filled with our weights."""

from __future__ import annotations

import re

from torch import Tensor, nn
from transformers import (
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    ResNetConfig,
    SwinConfig,
)

from vidgap_segmenter import Mask2Former

STAGES = ["stage1", "stage2", "stage3", "stage4"]
BACKBONES = {
    "resnet26": lambda: ResNetConfig(
        layer_type="bottleneck",
        depths=[2, 2, 2, 2],
        hidden_sizes=[256, 512, 1024, 2048],
        out_features=STAGES,
    ),
    "swin_tiny": lambda: SwinConfig(out_features=STAGES),
}

PIXEL = "model.pixel_level_module.decoder."
DECODER = "model.transformer_module."
ENCODER = "model.pixel_level_module.encoder."

# Ours -> Hugging Face's in memory. The first pattern that matches is used.
NAMES = [
    (r"pixel_decoder\.input_proj\.", PIXEL + "input_projections."),
    (r"pixel_decoder\.level_embed", PIXEL + "level_embed"),
    (r"pixel_decoder\.layers\.(\d+)\.norm1", PIXEL + r"encoder.layers.\1.self_attn_layer_norm"),
    (r"pixel_decoder\.layers\.(\d+)\.norm2", PIXEL + r"encoder.layers.\1.final_layer_norm"),
    (r"pixel_decoder\.layers\.(\d+)\.linear", PIXEL + r"encoder.layers.\1.fc"),
    (r"pixel_decoder\.layers\.", PIXEL + "encoder.layers."),
    (r"pixel_decoder\.lateral\.", PIXEL + "adapter_1."),
    (r"pixel_decoder\.smooth\.", PIXEL + "layer_1."),
    (r"pixel_decoder\.mask_proj\.", PIXEL + "mask_projection."),
    (r"decoder\.query_feat\.", DECODER + "queries_features."),
    (r"decoder\.query_embed\.", DECODER + "queries_embedder."),
    (r"decoder\.level_embed\.", DECODER + "level_embed."),
    (r"decoder\.layers\.(\d+)\.cross_norm", DECODER + r"decoder.layers.\1.cross_attn_layer_norm"),
    (r"decoder\.layers\.(\d+)\.self_norm", DECODER + r"decoder.layers.\1.self_attn_layer_norm"),
    (r"decoder\.layers\.(\d+)\.ffn_norm", DECODER + r"decoder.layers.\1.final_layer_norm"),
    (r"decoder\.layers\.(\d+)\.linear", DECODER + r"decoder.layers.\1.fc"),
    (r"decoder\.layers\.", DECODER + "decoder.layers."),
    (r"decoder\.norm\.", DECODER + "decoder.layernorm."),
    (r"decoder\.mask_embed\.0\.", DECODER + "decoder.mask_predictor.mask_embedder.0.0."),
    (r"decoder\.mask_embed\.2\.", DECODER + "decoder.mask_predictor.mask_embedder.1.0."),
    (r"decoder\.mask_embed\.4\.", DECODER + "decoder.mask_predictor.mask_embedder.2.0."),
    (r"decoder\.class_embed\.", "class_predictor."),
    (r"backbone\.body\.conv1\.", ENCODER + "embedder.embedder.convolution."),
    (r"backbone\.body\.bn1\.", ENCODER + "embedder.embedder.normalization."),
    (
        r"backbone\.body\.layer(\d)\.(\d+)\.conv(\d)",
        lambda m: f"{_block(m)}.layer.{int(m[3]) - 1}.convolution",
    ),
    (
        r"backbone\.body\.layer(\d)\.(\d+)\.bn(\d)",
        lambda m: f"{_block(m)}.layer.{int(m[3]) - 1}.normalization",
    ),
    (
        r"backbone\.body\.layer(\d)\.(\d+)\.downsample\.0",
        lambda m: f"{_block(m)}.shortcut.convolution",
    ),
    (
        r"backbone\.body\.layer(\d)\.(\d+)\.downsample\.1",
        lambda m: f"{_block(m)}.shortcut.normalization",
    ),
    (r"backbone\.patch_embed\.proj", ENCODER + "swin.embeddings.patch_embeddings.projection"),
    (r"backbone\.patch_embed\.norm", ENCODER + "swin.embeddings.norm"),
    (
        r"backbone\.norms\.(\d)",
        lambda m: f"{ENCODER}hidden_states_norms.stage{int(m[1]) + 1}",
    ),
    (r"backbone\.layers\.(.*)\.norm1", ENCODER + r"swin.encoder.layers.\1.layernorm_before"),
    (r"backbone\.layers\.(.*)\.norm2", ENCODER + r"swin.encoder.layers.\1.layernorm_after"),
    (r"backbone\.layers\.(.*)\.attn\.proj", ENCODER + r"swin.encoder.layers.\1.attention.o_proj"),
    (
        r"backbone\.layers\.(.*)\.attn\.relative_position_bias_table",
        ENCODER
        + r"swin.encoder.layers.\1.attention.relative_position_bias.relative_position_bias_table",
    ),
    (r"backbone\.layers\.(.*)\.attn\.", ENCODER + r"swin.encoder.layers.\1.attention."),
    (r"backbone\.layers\.", ENCODER + "swin.encoder.layers."),
]


def _block(match: re.Match) -> str:
    return f"{ENCODER}encoder.stages.{int(match[1]) - 1}.layers.{match[2]}"


def twin(model: Mask2Former, backbone: str) -> Mask2FormerForUniversalSegmentation:
    """Build Hugging Face's model of the same sizes, weights and dtype, in eval mode."""
    ours = model.config
    config = Mask2FormerConfig(
        backbone_config=BACKBONES[backbone](),
        feature_size=ours["channels"],
        mask_feature_size=ours["channels"],
        hidden_dim=ours["channels"],
        encoder_feedforward_dim=ours["encoder_ffn_channels"],
        encoder_layers=ours["num_encoder_layers"],
        dim_feedforward=ours["decoder_ffn_channels"],
        decoder_layers=ours["num_decoder_layers"] + 1,
        num_attention_heads=ours["num_heads"],
        num_queries=ours["num_queries"],
        num_labels=ours["num_classes"],
        dropout=0.0,
    )
    theirs = Mask2FormerForUniversalSegmentation(config).to(model.pixel_mean.dtype).eval()
    state = dict(_renamed(model))
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    ignored = ("num_batches_tracked", "criterion.empty_weight", "swin.layernorm")
    assert not unexpected
    assert not [name for name in missing if not any(part in name for part in ignored)]
    return theirs


def _renamed(model: nn.Module) -> list[tuple[str, Tensor]]:
    """Our weights under their names; their self-attention keeps q, k and v apart."""
    state = []
    for name, tensor in model.state_dict().items():
        renamed = _rename(name)
        if ".self_attn.in_proj_" in renamed:
            stem, kind = renamed.split("in_proj_")
            state += [
                (f"{stem}{p}_proj.{kind}", t) for p, t in zip("qkv", tensor.chunk(3), strict=True)
            ]
        elif ".attention.qkv." in renamed:
            stem, kind = renamed.split("qkv.")
            state += [
                (f"{stem}{p}_proj.{kind}", t) for p, t in zip("qkv", tensor.chunk(3), strict=True)
            ]
        else:
            state.append((renamed, tensor))
    return state


def _rename(name: str) -> str:
    for pattern, replacement in NAMES:
        if re.match(pattern, name):
            return re.sub(f"^{pattern}", replacement, name)
    raise AssertionError(f"no name for {name}")
