"""GenVIS: VITA's decoder clip by clip, with a memory of each query's past (Heo et al., CVPR 2023).

*A Generalized Framework for Video Instance Segmentation*, §3. A query begins a clip as
what it was at the end of the last one, plus what it reads of its own past: so its index is the
instance's identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vidgap_segmenter.precision import at_least_float32, autocast_off
from vidgap_vis.trackers.vita import VITA, VITAOutput


@dataclass(frozen=True)
class GenVISState:
    """What GenVIS hands from clip to clip; N clips are remembered. float32 or more.

    Attributes:
        queries: (..., cQ, C), what the last decoder layer gave, before the norm.
        keys: (..., cQ, N, C), the oldest clip first.
        values: (..., cQ, N, C).
        probabilities: (..., cQ, K), the maximum over all clips so far.
    """

    queries: Tensor
    keys: Tensor
    values: Tensor
    probabilities: Tensor

    @property
    def num_clips(self) -> int:
        """How many clips are remembered."""
        return self.keys.shape[-2]

    @property
    def nbytes(self) -> int:
        """Bytes held: for 100 queries of 256 float32 numbers, 204,800 a remembered clip."""
        return sum(
            tensor.nbytes for tensor in (self.queries, self.keys, self.values, self.probabilities)
        )


class GenVIS(nn.Module):
    """VITA's head, run on one clip after another.

    Args:
        vita: the head of a clip; the released configurations have `window=0`.
        max_memory: clips that are remembered at most, the oldest leave first; None: all, as in the
            release, which grows with the video.

    Attributes:
        config: what `of` makes it of, as JSON can hold it; the cap is the user's.

    Raises:
        ValueError: max_memory is less than 1.
    """

    def __init__(self, vita: VITA, max_memory: int | None = None) -> None:
        super().__init__()
        if max_memory is not None and max_memory < 1:
            raise ValueError(f"max_memory must be at least 1 clip, or None, got {max_memory}")
        self.config: dict[str, Any] = {"vita": vita.config}
        self.vita = vita
        self.max_memory = max_memory
        channels = vita.query_feat.embedding_dim
        self.query_key = nn.Linear(channels, channels)
        self.query_value = nn.Linear(channels, channels)
        self.memory_key = nn.Linear(channels, channels)
        self.memory_value = nn.Linear(channels, channels)

    @classmethod
    def of(cls, vita: Mapping[str, Any]) -> GenVIS:
        """Make it of the configuration of its `VITA`, with random weights."""
        return cls(VITA(**vita))

    def step(
        self, frame_queries: Tensor, state: GenVISState | None = None
    ) -> tuple[VITAOutput, GenVISState]:
        """Predict the next clip.

        Args:
            frame_queries: (..., T, fQ, C), normed, as for `VITA.forward`; T is 1 in the released
                online configurations and 3 in the semi-online ones, and may change from clip to
                clip (the last one is shorter where the video's length is no multiple).
            state: after the clip before; None at the first.

        Raises:
            ValueError: as `VITA.forward`.
        """
        leading = frame_queries.shape[:-3]
        if state is None:
            last = at_least_float32(self.vita.query_feat.weight)
            last = last.expand(*leading, -1, -1)
        else:
            last = state.queries
        with autocast_off(last.device):
            start = last + self.query_value(last)
            if state is not None:
                start = start + self._read(last, state)
        output = self.vita(frame_queries, start)
        return output, self._remember(output, state)

    def forward(self, frame_queries: Tensor, num_frames: int) -> list[VITAOutput]:
        """Predict all clips of videos, for training.

        Args:
            frame_queries: (..., T, fQ, C).
            num_frames: of a clip; the last may be shorter.
        """
        if num_frames < 1:
            raise ValueError(f"num_frames must be at least 1, got {num_frames}")
        state, outputs = None, []
        for clip in frame_queries.split(num_frames, dim=-3):
            output, state = self.step(clip, state)
            outputs.append(output)
        return outputs

    def _read(self, queries: Tensor, state: GenVISState) -> Tensor:
        """Return what each query reads of its own past clips, (..., cQ, C); products unscaled."""
        similarity = state.keys @ self.query_key(queries)[..., None]  # (..., cQ, N, 1)
        return (similarity.softmax(-2) * state.values).sum(-2)

    def _remember(self, output: VITAOutput, state: GenVISState | None) -> GenVISState:
        with autocast_off(output.queries.device):
            normed = self.vita.norm(output.queries)
            key, value = self.memory_key(normed), self.memory_value(normed)
        probabilities = output.class_logits.softmax(-1)[..., :-1]
        keys, values = key[..., None, :], value[..., None, :]
        if state is not None:
            keys = torch.cat([state.keys, keys], dim=-2)
            values = torch.cat([state.values, values], dim=-2)
            probabilities = torch.maximum(state.probabilities, probabilities)
        if self.max_memory is not None and keys.shape[-2] > self.max_memory:
            keys, values = (x[..., -self.max_memory :, :].contiguous() for x in (keys, values))
        return GenVISState(output.queries, keys, values, probabilities)
