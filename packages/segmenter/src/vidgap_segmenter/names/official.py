"""Names of the official Mask2Former, CTVIS and Mask DINO, and of Detectron2's and their backbones.

Mask2Former-VIS has Mask2Former's names (`mask2former_video/modeling`): no weight is its own.

Sources: facebookresearch/Mask2Former `mask2former/modeling` (also `_load_from_state_dict`, which
renames older files), KainingYing/CTVIS `cl_mask2former_transformer_decoder.py` (`reid_embed`),
IDEA-Research/MaskDINO `maskdino/modeling`, facebookresearch/detectron2 `backbone/resnet.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from vidgap_segmenter.names.table import Table

HEAD = "sem_seg_head."
PIXEL = HEAD + "pixel_decoder."
PREDICTOR = HEAD + "predictor."
CROSS = PREDICTOR + "transformer_cross_attention_layers.#."
SELF = PREDICTOR + "transformer_self_attention_layers.#."
FFN = PREDICTOR + "transformer_ffn_layers.#."
DINO_LAYER = PREDICTOR + "decoder.layers.#."

RESNET = [
    ("backbone.body.conv1.*", "backbone.stem.conv1.*"),
    ("backbone.body.bn1.*", "backbone.stem.conv1.norm.*"),
    *(
        row
        for stage in range(1, 5)
        for ours, theirs in [(f"backbone.body.layer{stage}.#.", f"backbone.res{stage + 1}.#.")]
        for row in [
            *((f"{ours}conv{conv}.*", f"{theirs}conv{conv}.*") for conv in (1, 2, 3)),
            *((f"{ours}bn{conv}.*", f"{theirs}conv{conv}.norm.*") for conv in (1, 2, 3)),
            (f"{ours}downsample.0.*", f"{theirs}shortcut.*"),
            (f"{ours}downsample.1.*", f"{theirs}shortcut.norm.*"),
        ]
    ),
]

SWIN_BLOCK = "backbone.layers.#.blocks.#."
SWIN = [
    ("backbone.norms.#.*", "backbone.norm#.*"),
    *(
        (name, name)
        for name in [
            "backbone.patch_embed.proj.*",
            "backbone.patch_embed.norm.*",
            *(SWIN_BLOCK + part for part in ("norm1.*", "norm2.*", "mlp.fc1.*", "mlp.fc2.*")),
            *(SWIN_BLOCK + part for part in ("attn.qkv.*", "attn.proj.*")),
            SWIN_BLOCK + "attn.relative_position_bias_table",
            "backbone.layers.#.downsample.reduction.*",
            "backbone.layers.#.downsample.norm.*",
        ]
    ),
]

DEFORMABLE = ("sampling_offsets.*", "attention_weights.*", "value_proj.*", "output_proj.*")

PIXEL_DECODER = [
    ("pixel_decoder.input_proj.#.#.*", PIXEL + "input_proj.#.#.*"),
    ("pixel_decoder.level_embed", PIXEL + "transformer.level_embed"),
    *(
        (f"pixel_decoder.layers.#.{part}", f"{PIXEL}transformer.encoder.layers.#.{part}")
        for part in [
            *(f"self_attn.{part}" for part in DEFORMABLE),
            *("norm1.*", "norm2.*", "linear1.*", "linear2.*"),
        ]
    ),
    ("pixel_decoder.lateral.0.*", PIXEL + "adapter_1.*"),
    ("pixel_decoder.lateral.1.*", PIXEL + "adapter_1.norm.*"),
    ("pixel_decoder.smooth.0.*", PIXEL + "layer_1.*"),
    ("pixel_decoder.smooth.1.*", PIXEL + "layer_1.norm.*"),
    ("pixel_decoder.mask_proj.*", PIXEL + "mask_features.*"),
]

CLASS_AND_MASK = [
    ("decoder.class_embed.*", PREDICTOR + "class_embed.*"),
    ("decoder.mask_embed.0.*", PREDICTOR + "mask_embed.layers.0.*"),
    ("decoder.mask_embed.2.*", PREDICTOR + "mask_embed.layers.1.*"),
    ("decoder.mask_embed.4.*", PREDICTOR + "mask_embed.layers.2.*"),
    ("decoder.norm.*", PREDICTOR + "decoder_norm.*"),
]

MASK2FORMER_DECODER = [
    ("decoder.query_feat.*", PREDICTOR + "query_feat.*"),
    ("decoder.query_embed.*", PREDICTOR + "query_embed.*"),
    ("decoder.level_embed.*", PREDICTOR + "level_embed.*"),
    ("decoder.layers.#.cross_attn.*", CROSS + "multihead_attn.*"),
    ("decoder.layers.#.cross_attn.out_proj.*", CROSS + "multihead_attn.out_proj.*"),
    ("decoder.layers.#.cross_norm.*", CROSS + "norm.*"),
    ("decoder.layers.#.self_attn.*", SELF + "self_attn.*"),
    ("decoder.layers.#.self_attn.out_proj.*", SELF + "self_attn.out_proj.*"),
    ("decoder.layers.#.self_norm.*", SELF + "norm.*"),
    ("decoder.layers.#.linear1.*", FFN + "linear1.*"),
    ("decoder.layers.#.linear2.*", FFN + "linear2.*"),
    ("decoder.layers.#.ffn_norm.*", FFN + "norm.*"),
    *CLASS_AND_MASK,
]

EMBEDDING_HEAD = [
    ("decoder.embedding_head.0.*", PREDICTOR + "reid_embed.layers.0.*"),
    ("decoder.embedding_head.2.*", PREDICTOR + "reid_embed.layers.1.*"),
    ("decoder.embedding_head.4.*", PREDICTOR + "reid_embed.layers.2.*"),
]

MASK_DINO_DECODER = [
    ("decoder.proposal_proj.*", PREDICTOR + "enc_output.*"),
    ("decoder.proposal_norm.*", PREDICTOR + "enc_output_norm.*"),
    ("decoder.label_embed.*", PREDICTOR + "label_enc.*"),
    ("decoder.place_embed.0.*", PREDICTOR + "decoder.ref_point_head.layers.0.*"),
    ("decoder.place_embed.2.*", PREDICTOR + "decoder.ref_point_head.layers.1.*"),
    ("decoder.box_embed.0.*", PREDICTOR + "_bbox_embed.layers.0.*"),
    ("decoder.box_embed.2.*", PREDICTOR + "_bbox_embed.layers.1.*"),
    ("decoder.box_embed.4.*", PREDICTOR + "_bbox_embed.layers.2.*"),
    ("decoder.layers.#.self_attn.*", DINO_LAYER + "self_attn.*"),
    ("decoder.layers.#.self_attn.out_proj.*", DINO_LAYER + "self_attn.out_proj.*"),
    *((f"decoder.layers.#.cross_attn.{p}", f"{DINO_LAYER}cross_attn.{p}") for p in DEFORMABLE),
    ("decoder.layers.#.cross_norm.*", DINO_LAYER + "norm1.*"),
    ("decoder.layers.#.self_norm.*", DINO_LAYER + "norm2.*"),
    ("decoder.layers.#.linear1.*", DINO_LAYER + "linear1.*"),
    ("decoder.layers.#.linear2.*", DINO_LAYER + "linear2.*"),
    ("decoder.layers.#.ffn_norm.*", DINO_LAYER + "norm3.*"),
    *CLASS_AND_MASK,
]

BACKBONE = Table.of([*RESNET, *SWIN])
MASK2FORMER = Table.of([*RESNET, *SWIN, *PIXEL_DECODER, *MASK2FORMER_DECODER, *EMBEDDING_HEAD])
MASK_DINO = Table.of([*RESNET, *SWIN, *PIXEL_DECODER, *MASK_DINO_DECODER, *EMBEDDING_HEAD])

OLD_SPELLINGS = [
    (r"\bstatic_query\b", "query_feat"),
    (r"^sem_seg_head\.(?!predictor\.|pixel_decoder\.)", PIXEL),
]
"""Of Mask2Former files from before version 2 of its modules, as all `.pkl` of its model zoo."""


def as_in_the_zoo(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a Mask2Former's weights as in the `.pkl` files of its model zoo.

    The official head takes weights without a version, as arrays are, for old ones, and inserts
    `pixel_decoder.` into every name but the predictor's, even into up-to-date ones
    (`MaskFormerHead._load_from_state_dict`).
    """
    return {name.replace(PIXEL, HEAD): tensor for name, tensor in state.items()}


LEFT_OUT = [
    (r"((vita|genvis)_)?criterion\..*", "belongs to the loss"),
    (r"pixel_(mean|std)", "comes with the backbone"),
    (r".*\.num_batches_tracked", "batch norms are frozen"),
    (r".*\.(relative_position_index|attn_mask)", "is computed"),
]
"""(pattern, why our networks do not use it)."""

SHARED = [
    (r"(.*predictor\.)(?:decoder\.bbox_embed\.\d+|bbox_embed\.\d+)(\..*)", r"\1_bbox_embed\2"),
    (r"(.*predictor\.)decoder\.norm(\..*)", r"\1decoder_norm\2"),
]
"""Mask DINO's further names of one tensor: its layers share the box head and the last norm."""


def with_aliases(state: Mapping[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    """Add every further name that the official Mask DINO has for its shared tensors."""
    complete = dict(state)
    for name, tensor in state.items():
        head, found, rest = name.partition("predictor._bbox_embed.")
        if found:
            for layer in range(num_layers):
                complete[f"{head}predictor.bbox_embed.{layer}.{rest}"] = tensor
                complete[f"{head}predictor.decoder.bbox_embed.{layer}.{rest}"] = tensor
        head, found, rest = name.partition("predictor.decoder_norm.")
        if found:
            complete[f"{head}predictor.decoder.norm.{rest}"] = tensor
    return complete
