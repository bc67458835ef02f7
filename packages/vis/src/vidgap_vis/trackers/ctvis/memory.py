"""What is remembered of an instance's look while a clip is trained on (CTVIS §3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

MemoryKind: TypeAlias = Literal["similarity_guided", "momentum", "last"]
"""How a memory takes a new embedding: the more, the more it is like the earlier ones; always the
same share of it; or it alone."""


@dataclass(frozen=True)
class ClipMemory:
    """The embeddings of instances over clips, and what is remembered of them.

    Instances of B clips, N at most in one; where they are absent, or there are fewer, all is 0.

    Attributes:
        embeddings: (B, N, T, C), of the query that was the instance in each frame.
        present: (B, N, T) bool, where there is one.
        memory: (B, N, T, C), what is remembered after each frame.
    """

    embeddings: Tensor
    present: Tensor
    memory: Tensor

    @classmethod
    def of(
        cls, embeddings: Tensor, present: Tensor, kind: MemoryKind, update_rate: float
    ) -> ClipMemory:
        """Go through the frames: an absent instance's memory stays as it was.

        Args:
            embeddings: (B, N, T, C).
            present: (B, N, T) bool.
            kind: of the memory.
            update_rate: share of a new embedding in a memory of kind "momentum".
        """
        weights = _weights(embeddings, present, kind, update_rate)  # (B, N, T)
        memory = torch.zeros_like(embeddings[:, :, 0])
        states = []
        for frame, weight in zip(embeddings.unbind(2), weights.unbind(2), strict=True):
            memory = torch.lerp(memory, frame, weight[..., None])
            states.append(memory)
        return cls(embeddings, present, torch.stack(states, dim=2))

    def seen_before(self) -> Tensor:
        """Whether a frame before each one shows the instance, (B, N, T) bool."""
        count = self.present.cumsum(2)
        return (count - self.present.long()) > 0

    def latest_before(self) -> Tensor:
        """The last embedding before each frame, (B, N, T, C); unspecified where there is none."""
        times = torch.arange(self.present.shape[2], device=self.present.device)
        shown = torch.where(self.present, times, -1).cummax(2).values
        return self._at(F.pad(shown[..., :-1], (1, 0), value=0))

    def absent_after(self) -> Tensor:
        """How many of the frames after each one lack the instance, (B, N, T) int64."""
        absent = (~self.present).long()
        return absent.flip(2).cumsum(2).flip(2) - absent

    def next_after(self) -> tuple[Tensor, Tensor]:
        """The first embedding after each frame, (B, N, T, C), and whether there is one."""
        num_frames = self.present.shape[2]
        times = torch.arange(num_frames, device=self.present.device)
        shown = torch.where(self.present, times, num_frames).flip(2).cummin(2).values.flip(2)
        following = F.pad(shown[..., 1:], (0, 1), value=num_frames)
        return self._at(following), following < num_frames

    def _at(self, times: Tensor) -> Tensor:
        index = times.clamp(0, self.present.shape[2] - 1)
        return self.embeddings.gather(
            2, index[..., None].expand(-1, -1, -1, self.embeddings.shape[3])
        )


def _weights(embeddings: Tensor, present: Tensor, kind: MemoryKind, update_rate: float) -> Tensor:
    """Return the share of each frame's embedding in the memory after it, (B, N, T)."""
    earlier = present.cumsum(2) - present.long()
    if kind == "last":
        share = torch.ones_like(embeddings[..., 0])
    elif kind == "momentum":
        share = torch.full_like(embeddings[..., 0], update_rate)
    else:
        units = F.normalize(embeddings, dim=-1)
        cosines = units @ units.transpose(2, 3)  # (B, N, T, T)
        num_frames = present.shape[2]
        before = present.new_ones(num_frames, num_frames).tril(-1) & present[:, :, None]
        share = (cosines * before).sum(-1) / earlier.clamp(min=1)
        share = share.clamp(min=0)
    share = torch.where(earlier > 0, share, 1)
    return torch.where(present, share, 0)
