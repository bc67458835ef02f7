"""VITA's and GenVIS's official files: names of the head, and the module that they make.

Sources: sukjunhwang/VITA and miranheo/GenVIS, whose checkpoints hold the head under `PREFIX` beside
the frame decoder's `backbone.` and `sem_seg_head.`, named as Mask2Former's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from vidgap_segmenter.names.table import Table
from vidgap_segmenter.weights import load_checked
from vidgap_vis.trackers.genvis import GenVIS
from vidgap_vis.trackers.vita import VITA

PREFIX = "vita_module."
"""Of the head's names in official checkpoints of both."""

HEAD = [
    ("input_proj.*", "input_proj_dec.*"),
    *(
        row
        for ours, theirs in [
            ("encoder.attention.#.", "enc_self_attn.#.self_attn."),
            ("layers.#.self_attention.", "transformer_self_attention_layers.#.self_attn."),
            ("layers.#.cross_attention.", "transformer_cross_attention_layers.#.multihead_attn."),
        ]
        for row in [
            (f"{ours}attention.*", f"{theirs}*"),
            (f"{ours}attention.out_proj.*", f"{theirs}out_proj.*"),
            (f"{ours}norm.*", f"{theirs.rpartition('#.')[0]}#.norm.*"),
        ]
    ),
    *(
        row
        for ours, theirs in [
            ("encoder.ffn.#.", "enc_ffn.#."),
            ("layers.#.ffn.", "transformer_ffn_layers.#."),
        ]
        for row in [
            (f"{ours}inner.*", f"{theirs}linear1.*"),
            (f"{ours}outer.*", f"{theirs}linear2.*"),
            (f"{ours}norm.*", f"{theirs}norm.*"),
        ]
    ),
    ("query_feat.*", "query_feat.*"),
    ("query_embed.*", "query_embed.*"),
    ("frame_query_pos.*", "fq_pos.*"),
    ("norm.*", "decoder_norm.*"),
    ("class_embed.*", "class_embed.*"),
    ("mask_embed.0.*", "mask_embed.layers.0.*"),
    ("mask_embed.2.*", "mask_embed.layers.1.*"),
    ("mask_embed.4.*", "mask_embed.layers.2.*"),
    ("frame_similarity.*", "sim_embed_frame.*"),
    ("clip_similarity.*", "sim_embed_clip.*"),
    ("mask_proj.*", "vita_mask_features.*"),
]

MEMORY = [
    ("query_key.*", "pre_query_embed_k.*"),
    ("query_value.*", "pre_query_embed_v.*"),
    ("memory_key.*", "pre_memory_embed_k.*"),
    ("memory_value.*", "pre_memory_embed_v.*"),
]


def vita_table(prefix: str = PREFIX) -> Table:
    """Return the names of `VITA`'s weights and of the official ones, under a prefix."""
    return Table.of((ours, prefix + theirs) for ours, theirs in HEAD)


def genvis_table(prefix: str = PREFIX) -> Table:
    """Return the same for `GenVIS`."""
    rows = [*((f"vita.{ours}", theirs) for ours, theirs in HEAD), *MEMORY]
    return Table.of((ours, prefix + theirs) for ours, theirs in rows)


@dataclass(frozen=True)
class OfficialVITA:
    """The head of an official file, in eval mode.

    Attributes:
        head: GenVIS where the file has its memory.
        rest: names that are not the head's: the frame decoder's.
    """

    head: VITA | GenVIS
    rest: tuple[str, ...]


def vita_head(
    state: Mapping[str, Tensor],
    *,
    prefix: str = PREFIX,
    window: int | None = None,
    num_heads: int = 8,
) -> OfficialVITA:
    """Make the head of an official file, in the dtype of its weights.

    Args:
        state: the file's weights by their official names.
        prefix: of the head's names.
        window: frames of the encoder's windows, which no weight tells; None: as in the released
            configurations, 6 for VITA and 0 (all) for GenVIS.
        num_heads: of all attentions, likewise.

    Raises:
        ValueError: there is no head under the prefix, or no table knows one of its names.
        WeightsMismatch: a weight is missing, too many or of another shape.
    """
    rest = tuple(name for name in state if not name.startswith(prefix))
    memory = f"{prefix}pre_memory_embed_k.weight" in state
    table = genvis_table(prefix) if memory else vita_table(prefix)
    renamed = table.to_ours({name: state[name] for name in state if name.startswith(prefix)})
    if renamed.unknown:
        raise ValueError(f"no table of VITA or GenVIS knows {', '.join(renamed.unknown[:5])}")
    if not renamed.state:
        raise ValueError(f"state must hold a head under {prefix!r}, got none")
    if window is None:
        window = 0 if memory else 6
    vita = _sized(renamed.state, "vita." if memory else "", window, num_heads)
    head = GenVIS(vita) if memory else vita
    load_checked(head.to(next(iter(renamed.state.values())).dtype), renamed.state)
    return OfficialVITA(head.eval(), rest)


def _sized(state: Mapping[str, Tensor], prefix: str, window: int, num_heads: int) -> VITA:
    """Make a VITA of the sizes that its weights, under our names, tell."""
    wanted = ("class_embed.weight", "query_feat.weight", "frame_query_pos.weight")
    shapes = {}
    for name in (*wanted, "layers.0.ffn.inner.weight"):
        if prefix + name not in state:
            raise ValueError(f"state must hold {name} (under our name), got none")
        shapes[name] = state[prefix + name].shape
    classes, queries, frame_queries, ffn = shapes.values()
    return VITA(
        classes[0] - 1,
        num_frame_queries=frame_queries[0],
        channels=classes[1],
        num_queries=queries[0],
        num_encoder_layers=_count(state, f"{prefix}encoder.ffn."),
        num_layers=_count(state, f"{prefix}layers."),
        num_heads=num_heads,
        ffn_channels=ffn[0],
        window=window,
    )


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """Return how many numbered modules there are under a prefix."""
    names = [name.removeprefix(prefix) for name in state if name.startswith(prefix)]
    return len({name.split(".")[0] for name in names})
