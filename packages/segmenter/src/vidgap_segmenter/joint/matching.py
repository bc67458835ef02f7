"""Which query is which instance over all frames of a clip (Mask2Former-VIS; VITA §3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vidgap_segmenter.frame_targets import FrameTargets, Matching

Pairs = Sequence[tuple[int, int]]
"""A query and the slot of an instance each, in the order in which they were matched."""


@dataclass(frozen=True, eq=False)
class ClipMatching:
    """R pairs of a query and an instance, each for all frames of a clip.

    A batch of P predictions is of B clips, or of them at several levels: prediction l*B + b is of
    clip b.

    Attributes:
        predictions: the prediction of each pair, (R,), int64, ascending.
        queries: (R,), int64.
        instances: which one of its clip's targets each is, (R,), int64.
        classified: (R,), bool, whether the query has the pair's class: of pairs that share a query,
            the last one alone.
        rows: of the targets, those of each instance in every frame, (R, T), int64.
        num_predictions: P.
        num_instances: of each clip, B numbers.
    """

    predictions: Tensor
    queries: Tensor
    instances: Tensor
    classified: Tensor
    rows: Tensor
    num_predictions: int
    num_instances: tuple[int, ...]

    @classmethod
    def of(cls, pairs: Sequence[Pairs], targets: FrameTargets) -> ClipMatching:
        """Gather pairs.

        Args:
            pairs: of each of P predictions.
            targets: of the B clips, the same instances in every frame (`from_whole_clips`); a slot
                is the index among a clip's.

        Raises:
            ValueError: P is no multiple of B.
        """
        num_frames = targets.num_frames
        counts = np.array(targets.counts[::num_frames], np.int64)
        if len(pairs) % max(len(counts), 1):
            raise ValueError(
                f"pairs must be of a multiple of {len(counts)} clips, got {len(pairs)}"
            )
        listed = [(index, *pair) for index, own in enumerate(pairs) for pair in own]
        table = np.array(listed, np.int64).reshape(-1, 3)
        predictions, _, slots = table.T
        last = {(p, q): row for row, (p, q, _) in enumerate(table.tolist())}
        classified = np.zeros(len(table), np.int64)
        classified[list(last.values())] = 1
        clips = predictions % max(len(counts), 1)
        first = (np.cumsum(counts) - counts)[clips] * num_frames + slots
        rows = first[:, None] + counts[clips][:, None] * np.arange(num_frames)
        columns = np.column_stack([table[:, :2], classified, rows])  # one copy to the device
        moved = torch.from_numpy(columns).to(targets.frames.device)
        return cls(
            predictions=moved[:, 0],
            queries=moved[:, 1],
            instances=targets.instances[moved[:, 3]],
            classified=moved[:, 2].bool(),
            rows=moved[:, 3:],
            num_predictions=len(pairs),
            num_instances=targets.num_instances,
        )

    def tables(self) -> Tensor:
        """Return the query of each instance, (P, N) int64, -1 for none; N the most of a clip."""
        most = max(self.num_instances, default=0)
        tables = self.queries.new_full((self.num_predictions, most), -1)
        tables[self.predictions, self.instances] = self.queries
        return tables

    def classes(self, targets: FrameTargets, num_queries: int, num_classes: int) -> Tensor:
        """Return the class that each query should have, K for none, (P, Q), int64."""
        wanted = self.queries.new_full((self.num_predictions, num_queries + 1), num_classes)
        # A last column takes the classes that do not count: nothing waits for a mask's size.
        column = self.queries.where(self.classified, num_queries)
        labels = targets.labels[self.rows[:, 0]]
        wanted[self.predictions, column] = labels
        return wanted[:, :-1]


def presence(targets: FrameTargets) -> list[npt.NDArray[np.bool_]]:
    """Return in which frames each instance of each clip is present, B arrays (N, T).

    Args:
        targets: which list all instances in every frame (`list_unseen`). The device is waited for.
    """
    listed = targets.masks.flatten(1).any(1).cpu().numpy()
    num_frames = targets.num_frames
    ends = np.cumsum(targets.num_instances) * num_frames
    parts = np.split(listed, ends[:-1])
    return [part.reshape(num_frames, -1).T for part in parts]


def in_frames(matching: ClipMatching, targets: FrameTargets) -> Matching:
    """Return pairs for all frames of B clips as pairs in each frame, (R*T,), by clip pair.

    Args:
        matching: of one prediction a clip.
        targets: those that it is of.
    """
    rows = matching.rows.flatten()
    queries = matching.queries.repeat_interleave(targets.num_frames)
    return targets.matching(frames=targets.frames[rows], queries=queries, rows=rows)
