"""Names of Hugging Face's Mask2Former, as its folders hold them.

On disk a Swin backbone has the names of transformers 4; transformers 5 renames it in memory, while
loading (`conversion_mapping.py`, "swin" and "SwinBackbone"), and back while saving.
"""

from __future__ import annotations

from vidgap_segmenter.names.official import DEFORMABLE
from vidgap_segmenter.names.table import Table

PIXEL = "model.pixel_level_module.decoder."
ENCODER = "model.pixel_level_module.encoder."
TRANSFORMER = "model.transformer_module."
DECODER = TRANSFORMER + "decoder."
LAYER = DECODER + "layers.#."
STAGES = ["stage1", "stage2", "stage3", "stage4"]
"""Of a backbone, as its output norms and `out_features` name them."""

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
"""Names in transformers 5's `state_dict()` -> names on disk."""

LEFT_OUT = [
    (r"criterion\..*", "belongs to the loss"),
    (rf"{ENCODER}(swin\.)?layernorm\..*", "is used by nothing"),
    (r".*\.num_batches_tracked", "batch norms are frozen"),
    (r".*\.relative_position_index", "is computed"),
]
"""(pattern, why our networks do not use it)."""
