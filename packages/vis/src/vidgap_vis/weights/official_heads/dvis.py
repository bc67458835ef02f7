"""DVIS's official files: names of tracker and refiner, and the modules that they make.

Source: zhang-tao-whu/DVIS `dvis/video_dvis_modules.py`; a file has `tracker.` and `refiner.` beside
the segmenter's `backbone.` and `sem_seg_head.`, which are Mask2Former's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from vidgap_segmenter.names.table import Table
from vidgap_segmenter.weights import load_checked
from vidgap_vis.trackers.dvis import ReferringTracker, TemporalRefiner

TRACKER, REFINER = "tracker.", "refiner."

CROSS = ("transformer_cross_attention_layers", "multihead_attn")
SELF = ("transformer_self_attention_layers", "self_attn")
TIME = ("transformer_time_self_attention_layers", "self_attn")
OBJECT = ("transformer_obj_self_attention_layers", "self_attn")


def _attention(ours: str, theirs: tuple[str, str]) -> list[tuple[str, str]]:
    layers, attention = theirs
    return [
        (f"layers.#.{ours}.attention.*", f"{layers}.#.{attention}.*"),
        (f"layers.#.{ours}.attention.out_proj.*", f"{layers}.#.{attention}.out_proj.*"),
        (f"layers.#.{ours}.norm.*", f"{layers}.#.norm.*"),
    ]


SHARED = [
    *_attention("cross_attention", CROSS),
    ("layers.#.ffn.inner.*", "transformer_ffn_layers.#.linear1.*"),
    ("layers.#.ffn.outer.*", "transformer_ffn_layers.#.linear2.*"),
    ("layers.#.ffn.norm.*", "transformer_ffn_layers.#.norm.*"),
    ("head.norm.*", "decoder_norm.*"),
    ("head.class_embed.*", "class_embed.*"),
    ("head.mask_embed.0.*", "mask_embed.layers.0.*"),
    ("head.mask_embed.2.*", "mask_embed.layers.1.*"),
    ("head.mask_embed.4.*", "mask_embed.layers.2.*"),
]

TRACKER_ROWS = [*SHARED, *_attention("self_attention", SELF)]

REFINER_ROWS = [
    *SHARED,
    *_attention("time_attention", TIME),
    *_attention("object_attention", OBJECT),
    ("layers.#.short_term.#.*", "conv_short_aggregate_layers.#.#.*"),
    ("layers.#.short_term_norm.*", "conv_norms.#.*"),
    ("activation_proj.*", "activation_proj.*"),
]

TABLE = Table.of(
    (prefix + ours, prefix + theirs)
    for prefix, rows in ((TRACKER, TRACKER_ROWS), (REFINER, REFINER_ROWS))
    for ours, theirs in rows
)
"""Of whole files; names of the segmenter are unknown to it."""


@dataclass(frozen=True)
class OfficialDVIS:
    """The heads of an official file, in eval mode.

    Attributes:
        tracker: with the release's alignment, as its weights were trained.
        refiner: None in the file of an online model.
        rest: names that belong to neither, the segmenter's.
    """

    tracker: ReferringTracker
    refiner: TemporalRefiner | None
    rest: tuple[str, ...]


def dvis_heads(
    state: Mapping[str, Tensor], *, num_heads: int = 8, inverse_alignment: bool = True
) -> OfficialDVIS:
    """Make the tracker and the refiner of an official file, in the dtype of its weights.

    Args:
        state: the file's weights by their official names.
        num_heads: of all attentions, which no weight tells.
        inverse_alignment: as `ReferringTracker`'s.

    Raises:
        ValueError: there is no tracker, or no table knows a name under its prefix or the refiner's.
        WeightsMismatch: a weight is missing, too many or of another shape.
    """
    renamed = TABLE.to_ours(state)
    unknown = [name for name in renamed.unknown if name.startswith((TRACKER, REFINER))]
    if unknown:
        raise ValueError(f"no table of DVIS knows {', '.join(unknown[:5])}")
    parts = {
        prefix: {
            n.removeprefix(prefix): t for n, t in renamed.state.items() if n.startswith(prefix)
        }
        for prefix in (TRACKER, REFINER)
    }
    if not parts[TRACKER]:
        raise ValueError("state must hold DVIS's `tracker.` weights, got none")
    tracker = ReferringTracker(
        **_sizes(TRACKER, parts[TRACKER]), num_heads=num_heads, inverse_alignment=inverse_alignment
    )
    _load(tracker, parts[TRACKER])
    refiner = None
    if parts[REFINER]:
        refiner = TemporalRefiner(**_sizes(REFINER, parts[REFINER]), num_heads=num_heads)
        _load(refiner, parts[REFINER])
    return OfficialDVIS(tracker, refiner, renamed.unknown)


def _sizes(prefix: str, state: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the sizes that a module's weights, under our names, tell."""
    wanted = ("head.class_embed.weight", "layers.0.ffn.inner.weight")
    for name in wanted:
        if name not in state:
            raise ValueError(f"{prefix}{name} is missing")
    classes, channels = state[wanted[0]].shape
    layers = {int(name.split(".")[1]) for name in state if name.startswith("layers.")}
    return {
        "channels": channels,
        "num_classes": classes - 1,
        "num_layers": max(layers) + 1,
        "ffn_channels": len(state[wanted[1]]),
    }


def _load(module: ReferringTracker | TemporalRefiner, state: Mapping[str, Tensor]) -> None:
    load_checked(module.to(state["head.class_embed.weight"].dtype), state)
    module.eval()
