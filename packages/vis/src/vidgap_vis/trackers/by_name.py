"""Trackers by the names that configurations and the command line have for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from vidgap_segmenter import ClipSegmenter
from vidgap_vis.errors import ConfigError
from vidgap_vis.trackers.base import Tracker
from vidgap_vis.trackers.ctvis import CTVISAssociator, CTVISOptions
from vidgap_vis.trackers.dvis import DVIS, DVISHead, DVISOfflineTracker, DVISTracker
from vidgap_vis.trackers.genvis import GenVIS, GenVISOptions, GenVISTracker
from vidgap_vis.trackers.heads import LearnedHead, name_of
from vidgap_vis.trackers.idol import IDOLAssociator, IDOLOptions
from vidgap_vis.trackers.index import IndexAssociator
from vidgap_vis.trackers.joint import JointOptions, JointTracker
from vidgap_vis.trackers.masktrack import MaskTrackAssociator, MaskTrackOptions, TrackHead
from vidgap_vis.trackers.memory import MemoryOptions
from vidgap_vis.trackers.minvis import MinVISAssociator, MinVISOptions
from vidgap_vis.trackers.online import OnlineTracker
from vidgap_vis.trackers.query import QueryAssociator, QueryOptions
from vidgap_vis.trackers.ranking import ScoreRecipe
from vidgap_vis.trackers.vita import VITA, VITATracker

TOP_K = 20
"""How many pairs of a track and a class a video lists, where nothing says otherwise."""

TRACKERS: dict[str, tuple[type, type, ScoreRecipe]] = {
    "ctvis": (CTVISAssociator, CTVISOptions, ScoreRecipe(classes="logits", masks="pixels")),
    "minvis": (MinVISAssociator, MinVISOptions, ScoreRecipe(classes="logits", masks="none")),
    "idol": (
        IDOLAssociator,
        IDOLOptions,
        ScoreRecipe(masks="none", above=0.05, mask_resize="nearest"),
    ),
    "masktrack": (
        MaskTrackAssociator,
        MaskTrackOptions,
        ScoreRecipe(classes="votes", masks="none", above=0.0),
    ),
    "query": (QueryAssociator, QueryOptions, ScoreRecipe()),
    "index": (IndexAssociator, MemoryOptions, ScoreRecipe()),
}
"""Associator, options and score recipe, by name."""

JOINT = "joint"
"""The tracker of networks whose queries are instances of whole clips."""

NEEDS_EMBEDDING_HEAD = ("ctvis", "idol")


@dataclass(frozen=True)
class NoOptions:
    """A tracker whose weights say all."""


LEARNED: dict[str, tuple[type[LearnedHead], type, str]] = {
    "masktrack": (TrackHead, MaskTrackOptions, "a track head"),
    "dvis": (DVIS, NoOptions, "DVIS's head"),
    "dvis_offline": (DVIS, NoOptions, "DVIS's head with a refiner"),
    "vita": (VITA, NoOptions, "VITA's head"),
    "genvis": (GenVIS, GenVISOptions, "GenVIS's head"),
}
"""Head, options and what weights must have, by name."""


def tracker(
    settings: Mapping[str, Any],
    model: ClipSegmenter,
    head: LearnedHead | None = None,
    *,
    top_k: int = TOP_K,
    class_weights: npt.NDArray[np.float32] | None = None,
) -> Callable[[], Tracker]:
    """Return what makes a new tracker for each video.

    Args:
        settings: its `name`, and options of it, null left out; without a name, `default_tracker`'s.
        model: whose queries are tracked.
        head: what weights folders may hold besides.
        top_k: pairs of a track and a class that a video lists; some choose them before they rank.
        class_weights: (K,), 0 for classes that are not looked for, else 1; None: all are.

    Raises:
        ConfigError: there is no such tracker or option, or a head that it wants is missing.
    """
    options = {key: value for key, value in settings.items() if value is not None}
    name = options.pop("name", default_tracker(model, head))
    if name not in TRACKERS and name not in LEARNED and name != JOINT:
        names = ", ".join(dict.fromkeys([*TRACKERS, *LEARNED, JOINT]))
        raise ConfigError("", "tracker.name", f"wanted one of {names}, got {name!r}")
    _check_queries(name, model)
    if name == JOINT:
        return partial(JointTracker, _options(name, JointOptions, options), class_weights)
    if name in NEEDS_EMBEDDING_HEAD and model.config["embedding_dim"] is None:
        message = (
            f"{name} wants weights with an embedding head (fine-tuned with a section contrast)"
        )
        raise ConfigError("", "tracker.name", message)
    if name not in LEARNED:
        kind, kind_options, recipe = TRACKERS[name]
        chosen = _options(name, kind_options, options)
        return lambda: OnlineTracker(kind(chosen), recipe)
    head_kind, kind_options, wanted = LEARNED[name]
    if not isinstance(head, head_kind) or (name == "dvis_offline" and not _refines(head)):
        has = "none" if head is None else f"those of {name_of(head)}"
        message = f"{name} wants weights with {wanted}, these have {has}"
        raise ConfigError("", "tracker.name", message)
    chosen = _options(name, kind_options, options)
    return partial(_learned, name, head, chosen, top_k, class_weights)


def default_tracker(model: ClipSegmenter, head: LearnedHead | None = None) -> str:
    """Return the tracker that fits weights which name none.

    That of their head, or else that of clips where their queries are those of clips, or else
    CTVIS's where they have an embedding head, or else that by queries.
    """
    if head is not None:
        return "dvis_offline" if _refines(head) else name_of(head)
    if model.joint:
        return JOINT
    return "ctvis" if model.config["embedding_dim"] is not None else "query"


def _check_queries(name: str, model: ClipSegmenter) -> None:
    """Raise ConfigError where a tracker is for queries of frames and a model has those of clips.

    Or the other way round.
    """
    if name == JOINT and not model.joint:
        message = (
            f"{name} links clips whose queries are instances of all their frames (mask2former_vis, "
            f"seqformer), each frame of a {model.architecture} has its own"
        )
        raise ConfigError("", "tracker.name", message)
    if name != JOINT and model.joint:
        message = (
            f"{name} follows queries from frame to frame, those of a {model.architecture} are "
            f"instances of whole clips; wanted {JOINT}"
        )
        raise ConfigError("", "tracker.name", message)


def _refines(head: LearnedHead) -> bool:
    return isinstance(head, DVIS) and head.refiner is not None


def _options(name: str, kind: type, options: Mapping[str, Any]) -> Any:
    """Return the options of a tracker."""
    known = {field.name for field in fields(kind)}
    for option in [option for option in options if option not in known]:
        raise ConfigError(
            "", f"tracker.{option}", f"tracker {name} has no such option; wanted null"
        )
    try:
        return kind(**options)
    except (TypeError, ValueError) as error:
        raise ConfigError("", "tracker", str(error)) from error


def _learned(
    name: str,
    head: LearnedHead,
    options: Any,
    top_k: int,
    class_weights: npt.NDArray[np.float32] | None,
) -> Tracker:
    """Make the tracker of a head."""
    if isinstance(head, TrackHead):
        _, _, recipe = TRACKERS["masktrack"]
        return OnlineTracker(MaskTrackAssociator(options, head.embed), recipe)
    if isinstance(head, DVIS):
        if name == "dvis":
            return DVISTracker(DVISHead(head.tracker))
        return DVISOfflineTracker(head, top_k, class_weights)
    if isinstance(head, VITA):
        return VITATracker(head, top_k, class_weights)
    head.max_memory = options.max_memory
    return GenVISTracker(head, options.clip_frames, top_k, class_weights)
