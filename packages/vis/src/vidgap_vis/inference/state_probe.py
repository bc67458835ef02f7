"""What a temporal module's state holds: where things were some frames ago, read by a linear probe.

The state is that of the finest scale after its last ConvGRU layer. Of every cell that shows no
instance now the probe is asked whether one was there before: by the features that the module is
given in this frame, by the state, and by both. What both know beyond the features is memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from vidgap_segmenter.temporal import Features, TemporalModule, TemporalState
from vidgap_vis.inference.sights import Doubles, at_cells
from vidgap_vis.trackers.detections import Bools

Floats = npt.NDArray[np.float32]

AGO = (1, 2, 4, 8)
"""Frames."""

RIDGE = 1e-3
"""Of the variance of a standardised column."""


@dataclass(frozen=True)
class Held:
    """A video as the finest scale of a temporal module has it.

    Attributes:
        features: (T, h, w, C) float32, what the module is given.
        state: (T, h, w, C_gru) float32, what it keeps after the frame.
        covered: (T, h, w) bool, where an instance is.
    """

    features: Floats
    state: Floats
    covered: Bools


class Watched(nn.Module):
    """A temporal module that remembers what it was given and what it kept, step by step.

    Args:
        module: the module.
    """

    def __init__(self, module: TemporalModule) -> None:
        super().__init__()
        self.module = module
        self.steps: list[tuple[Floats, Floats]] = []

    def forward(self, features: Features) -> Features:
        """Refine whole clips, of which nothing is remembered."""
        return self.module(features)

    def step(
        self,
        features: Features,
        state: TemporalState | None,
        *,
        state_after: int | None = None,
    ) -> tuple[Features, TemporalState]:
        """Refine the next frame of one stream."""
        refined, after = self.module.step(features, state, state_after=state_after)
        self.steps.append((channels_last(features[0][0, -1]), channels_last(after[0][0, -1])))
        return refined, after

    def take(self, masks: Bools) -> Held:
        """Return the frames since the last call, and forget them.

        Args:
            masks: (N, T, H, W), of the instances in these frames.
        """
        features, states = (np.stack(maps) for maps in zip(*self.steps, strict=True))
        self.steps.clear()
        covered: Bools = np.asarray(masks.any(axis=0))
        return Held(features, states, at_cells(covered, features.shape[1:3]))


@contextmanager
def watching(model: Any) -> Iterator[Watched | None]:
    """Watch the temporal module of a network while the block runs; None: it keeps no state."""
    module = getattr(model, "temporal", None)
    if module is None or not getattr(module, "num_gru_layers", 0):
        yield None
        return
    model.temporal = Watched(module)
    try:
        yield model.temporal
    finally:
        model.temporal = module


def recall(videos: Sequence[Held]) -> dict[str, dict[str, float | None]]:
    """Measure how well it can be told where instances were, of cells that show none now.

    A ridge regression is fitted on every second video and asked of the others, and the other way
    round.

    Returns:
        For each number of frames of `AGO`: the area under the ROC curve "features" alone, "state"
        alone and "both" give, the mean of the two ways, and "share", that of cells where one was;
        None where there is nothing to tell.
    """
    return {str(ago): _recall(videos, ago) for ago in AGO}


def _recall(videos: Sequence[Held], ago: int) -> dict[str, float | None]:
    asked = [one for video in videos if len((one := _asked(video, ago))[2])]
    if len(asked) < 2:
        return dict.fromkeys(("features", "state", "both", "share"))
    inputs, states, was = (
        [np.concatenate([one[part] for one in asked[first::2]]) for first in (0, 1)]
        for part in range(3)
    )
    known = {
        "features": inputs,
        "state": states,
        "both": [np.hstack(pair) for pair in zip(inputs, states, strict=True)],
    }
    found = {name: _mean_auc(columns, was) for name, columns in known.items()}
    return found | {"share": float(np.mean(np.concatenate(was)))}


def _asked(video: Held, ago: int) -> tuple[Floats, Floats, Bools]:
    """Return features, state and the answer of each cell that shows nothing, from `ago` on."""
    empty = ~video.covered[ago:]
    return video.features[ago:][empty], video.state[ago:][empty], video.covered[:-ago][empty]


def _mean_auc(columns: Sequence[Floats], was: Sequence[Bools]) -> float | None:
    found = [
        auc(_fitted(columns[one], was[one], columns[other]), was[other])
        for one, other in ((0, 1), (1, 0))
    ]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else None


def _fitted(columns: Floats, was: Bools, asked: Floats) -> Doubles:
    """Return what a ridge regression of `was` on `columns` says of the rows `asked`."""
    mean, scale = columns.mean(axis=0), columns.std(axis=0) + 1e-6
    x: Doubles = np.asarray((columns - mean) / scale, dtype=np.float64)
    gram = x.T @ x + RIDGE * max(1, len(x)) * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, x.T @ (was - was.mean()))
    return np.asarray(((asked - mean) / scale) @ weights)


def auc(scores: Doubles, truth: Bools) -> float | None:
    """Return the share of pairs of a true and a false row whose scores are in order; ties half."""
    true, false = scores[truth], np.sort(scores[~truth])
    if not len(true) or not len(false):
        return None
    below = np.searchsorted(false, true, "left") + np.searchsorted(false, true, "right")
    return float(below.mean() / (2 * len(false)))


def channels_last(maps: Tensor) -> Floats:
    """Return a map (C, h, w) as (h, w, C)."""
    array: Floats = maps.permute(1, 2, 0).float().cpu().numpy()
    return array
