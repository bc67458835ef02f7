"""The joint decoders and their losses, run as their official numbers want it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from vis.support.official_numbers import Array, generator

from vidgap_segmenter import ClipCriterion, ClipOutput, ClipTargets, Prediction
from vidgap_segmenter.joint.seqformer_decoder import SeqFormerDecoder
from vidgap_segmenter.mask2former.decoder import MaskedDecoder
from vidgap_segmenter.names import official
from vidgap_segmenter.names.table import Table
from vidgap_segmenter.position import clip_position_embedding
from vidgap_segmenter.structures import over_frames

Arrays = Mapping[str, Array]
Constants = Mapping[str, Any]

OF_LAYER = {
    "self_norm": "norm2",
    "cross_norm": "norm1",
    "ffn_norm": "norm3",
    "box_self_norm": "norm2_box",
    "box_cross_norm": "norm1_box",
    "box_ffn_norm": "norm3_box",
    "self_attn": "self_attn",
    "self_attn.out_proj": "self_attn.out_proj",
    "box_self_attn": "self_attn_box",
    "box_self_attn.out_proj": "self_attn_box.out_proj",
    **{f"linear{i}": f"linear{i}" for i in (1, 2)},
    **{f"box_linear{i}": f"linear{i}_box" for i in (1, 2)},
    **{
        f"cross_attn.{part.removesuffix('.*')}": f"cross_attn.{part.removesuffix('.*')}"
        for part in official.DEFORMABLE
    },
    "box_output_proj": "cross_attn.output_proj_box",
    "time_attention": "time_attention_weights",
}
SEQFORMER = Table.of(
    [
        *((f"layers.#.{ours}.*", f"layers.#.{theirs}.*") for ours, theirs in OF_LAYER.items()),
        *((f"box_embed.#.{2 * i}.*", f"bbox_embed.#.layers.{i}.*") for i in range(3)),
    ]
)
"""Names in a decoder of ours, and in the official SeqFormer's."""


@torch.no_grad()
def m2f_vis(weights: Arrays, inputs: Arrays, constants: Constants) -> dict[str, Array]:
    """Run Mask2Former-VIS's decoder on a clip."""
    named = {official.PREDICTOR + name: torch.as_tensor(w) for name, w in weights.items()}
    renamed = official.MASK2FORMER.to_ours(named)
    assert not renamed.unknown
    state = {name.removeprefix("decoder."): w for name, w in renamed.state.items()}
    decoder = MaskedDecoder(
        constants["K"],
        channels=constants["C"],
        num_queries=constants["Q"],
        num_layers=constants["layers"],
        ffn_channels=constants["ffn"],
        num_heads=constants["heads"],
        num_scales=3,
        embedding_dim=None,
    )
    decoder.to(next(iter(state.values())).dtype).load_state_dict(state)
    maps = [torch.as_tensor(inputs[f"x{level}"]) for level in range(3)]
    features, num_frames = torch.as_tensor(inputs["mask_features"]), constants["T"]
    output = decoder(maps, features, every_level=True, num_frames=num_frames)
    outputs: dict[str, Array] = {}
    *auxiliary, last = output.levels
    levels = {"": last} | {f"aux{index}_": level for index, level in enumerate(auxiliary)}
    for prefix, level in levels.items():
        outputs[prefix + "pred_logits"] = level.class_logits.numpy()
        masks = level.mask_logits.unflatten(2, (num_frames, -1))
        outputs[prefix + "pred_masks"] = masks.numpy()
    size = (maps[0].shape[-2], maps[0].shape[-1])
    position = clip_position_embedding(
        num_frames, size, constants["C"], device=features.device, dtype=features.dtype
    )
    by_cell = position.unflatten(0, (num_frames, *size))  # (T, h, w, C)
    outputs["pos_level0"] = by_cell.permute(0, 3, 1, 2)[None].numpy()
    return outputs


@torch.no_grad()
def m2f_vis_loss(
    weights: Arrays,  # noqa: ARG001 (as all of `RUNS`)
    inputs: Arrays,
    constants: Constants,
) -> dict[str, Array]:
    """Match and compare the predictions of two levels with the objects of a clip."""
    last, aux = (
        Prediction(
            over_frames(torch.as_tensor(inputs[name + "pred_logits"]), constants["T"]),
            torch.as_tensor(inputs[name + "pred_masks"]),
        )
        for name in ("", "aux0_")
    )
    size = tuple(constants["size"])
    output = ClipOutput(last.class_logits, last.mask_logits, last.class_logits, (aux,), size, size)
    targets = ClipTargets(
        torch.as_tensor(inputs["labels"]),
        torch.as_tensor(inputs["masks"]) > 0,
        torch.arange(constants["N"]),
    )
    criterion = ClipCriterion(constants["K"], num_points=constants["points"], sampler=points)
    losses = criterion(output, [targets])
    tables = [matching.table(0) for matching in losses.matchings]  # (N, T) each
    assert all(torch.equal(table, table[:, :1].expand_as(table)) for table in tables)
    outputs = {"query_of_object": torch.stack([table[:, 0] for table in tables]).numpy()}
    for name, part in (("ce", "class"), ("mask", "mask"), ("dice", "dice")):
        final, auxiliary = losses.parts[part].numpy()
        outputs |= {f"loss_{name}": final[None], f"loss_{name}_0": auxiliary[None]}
    return outputs


@torch.no_grad()
def seqformer(weights: Arrays, inputs: Arrays, constants: Constants) -> dict[str, Array]:
    """Run SeqFormer's decoder layers on a clip."""
    renamed = SEQFORMER.to_ours({name: torch.as_tensor(w) for name, w in weights.items()})
    assert not renamed.unknown
    decoder = SeqFormerDecoder(
        1,
        channels=constants["C"],
        num_queries=constants["Q"],
        num_layers=constants["layers"],
        ffn_channels=constants["ffn"],
        num_heads=constants["heads"],
        num_levels=len(constants["levels"]),
        num_points=constants["points"],
    )
    decoder.to(next(iter(renamed.state.values())).dtype)
    fit = decoder.load_state_dict(renamed.state, strict=False)
    assert not fit.unexpected_keys
    assert not any(name.startswith(("layers.", "box_embed.")) for name in fit.missing_keys)
    content, position, reference, memory = (
        torch.as_tensor(inputs[name]) for name in ("tgt", "query_pos", "reference_points", "memory")
    )
    sizes = [(height, width) for height, width in constants["levels"]]
    refined = decoder.refine(
        content, position[0], reference.transpose(1, 2), memory.flatten(0, 1), sizes
    )
    by_layer: dict[str, list[Tensor]] = {
        "instance_queries": [level.instances for level in refined],
        "box_queries": [level.box_queries.transpose(1, 2) for level in refined],
        "reference_points": [level.boxes.transpose(1, 2) for level in refined],
    }
    return {name: torch.stack(tensors).numpy() for name, tensors in by_layer.items()}


RUNS: dict[str, Callable[[Arrays, Arrays, Constants], dict[str, Array]]] = {
    "m2f_vis": m2f_vis,
    "m2f_vis_loss": m2f_vis_loss,
    "seqformer": seqformer,
}


def points(shape: tuple[int, ...], *, device: torch.device) -> Tensor:
    """Return the numbers that stood in for all draws of a shape, float64."""
    drawn = generator("points", tuple(shape)).random_sample(shape)
    return torch.from_numpy(drawn).to(device)
