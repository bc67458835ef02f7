"""CTVIS's contrastive loss: embeddings that stay near their memory, far from others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidgap_segmenter.losses import mean_over_processes
from vidgap_segmenter.points import Sampler, uniform
from vidgap_segmenter.precision import at_least_float32, autocast_off
from vidgap_vis.trackers.ctvis.memory import ClipMemory, MemoryKind


@torch.no_grad()
def association_share(embeddings: Tensor, queries: Tensor) -> Tensor:
    """Return the share of instances that are most like themselves in the frame before.

    Each is compared, by cosine, with all instances that the frame before shows; those that it does
    not show, and frames that show a single one, are left out.

    Args:
        embeddings, queries: as in `ContrastiveLoss`.

    Returns:
        A scalar; NaN where there is nothing to compare.
    """
    present = queries >= 0
    index = queries.clamp(min=0)[..., None].expand(-1, -1, -1, embeddings.shape[3])
    units = F.normalize(at_least_float32(embeddings).gather(1, index), dim=-1)  # (B, N, T, C)
    with autocast_off(embeddings.device):  # in bfloat16 look-alikes would tie
        cosines = torch.einsum("bntc,bmtc->bnmt", units[:, :, 1:], units[:, :, :-1])
    cosines = cosines.masked_fill(~present[:, None, :, :-1], -torch.inf)
    rows = torch.arange(queries.shape[1], device=queries.device)
    right = cosines.argmax(2) == rows[:, None] if len(rows) else present[:, :, 1:]
    counted = present[:, :, 1:] & present[:, :, :-1] & (present[:, None, :, :-1].sum(2) > 1)
    return (right & counted).sum() / counted.sum()


class ContrastiveLoss(nn.Module):
    """Tell the instances of a clip apart by the embeddings of their queries (`ct_cl_plugin.py`).

    In every frame but the first, each instance's embedding is an anchor. Its positive is its memory
    of the frames before, or the last of its embeddings there, by chance; the next one where it was
    not seen before. Its negatives are the other queries of the frame before. An item's losses are
    log(1 + sum exp(anchor . negative - anchor . positive)), and the mean squared error of cosines
    from 1 and 0.

    Args:
        weight: of the first loss.
        cosine_weight: of the second.
        memory: how an instance's memory takes an embedding.
        update_rate: share of a new embedding in a memory of kind "momentum".
        memory_probability: that the positive is the memory, else it is the last embedding.
        noise_probability: that in a frame without the instance a random query of the frame enters
            its memory, as a tracker's mistake would (the release has it off).
        ctvis_compat: as the release has it: the mean is over the items of each process, and an
            instance that is seen for the first time at frame t is no anchor if t of the later
            frames lack it.
        draw: draws what is left to chance.
    """

    def __init__(
        self,
        *,
        weight: float = 2.0,
        cosine_weight: float = 3.0,
        memory: MemoryKind = "similarity_guided",
        update_rate: float = 0.75,
        memory_probability: float = 0.5,
        noise_probability: float = 0.0,
        ctvis_compat: bool = False,
        draw: Sampler = uniform,
    ) -> None:
        super().__init__()
        self.weights = {"contrast": weight, "cosine": cosine_weight}
        self.memory = memory
        self.update_rate = update_rate
        self.memory_probability = memory_probability
        self.noise_probability = noise_probability
        self.ctvis_compat = ctvis_compat
        self.draw = draw

    def forward(self, embeddings: Tensor, queries: Tensor) -> dict[str, Tensor]:
        """Compute both losses, unweighted, as means over all items of the batch.

        Args:
            embeddings: (B, Q, T, C), floating; computed in float32 or more.
            queries: (B, N, T) int64, the query of each instance in each frame, -1 where it is
                absent.

        Returns:
            "contrast" and "cosine", scalars; 0 where there is no item.
        """
        with autocast_off(embeddings.device):
            return self._losses(at_least_float32(embeddings), queries)

    def _losses(self, embeddings: Tensor, queries: Tensor) -> dict[str, Tensor]:
        present = queries >= 0
        index = queries.clamp(min=0)[..., None].expand(-1, -1, -1, embeddings.shape[3])
        own = embeddings.gather(1, index) * present[..., None]  # (B, N, T, C)
        seen = self._with_noise(embeddings, own, present)
        memory = ClipMemory.of(*seen, self.memory, self.update_rate).memory
        positives, is_item = self._positives(ClipMemory(own, present, memory))

        anchors, positives, is_item = own[:, :, 1:], positives[:, :, 1:], is_item[:, :, 1:]
        others = embeddings[:, :, :-1].transpose(1, 2)  # (B, T-1, Q, C)
        before = queries[:, :, :-1]  # of the frame before each anchor's
        is_own = before[..., None] == torch.arange(embeddings.shape[1], device=queries.device)

        near = (anchors * positives).sum(-1, keepdim=True)  # (B, N, T-1, 1)
        far = torch.einsum("bntc,btqc->bntq", anchors, others).masked_fill(is_own, -torch.inf)
        contrast = torch.cat([near, far], dim=-1).logsumexp(-1) - near[..., 0]

        units = F.normalize(anchors, dim=-1)
        cosine = (units * F.normalize(positives, dim=-1)).sum(-1) - 1
        wrong = torch.einsum("bntc,btqc->bntq", units, F.normalize(others, dim=-1))
        squares = cosine**2 + (wrong**2 * ~is_own).sum(-1)
        cosine = squares / (1 + (~is_own).sum(-1))

        items = is_item.sum()
        if not self.ctvis_compat:
            items = mean_over_processes(items, items.device)
        items = items.clamp(min=1)
        return {
            "contrast": torch.where(is_item, contrast, 0).sum() / items,
            "cosine": torch.where(is_item, cosine, 0).sum() / items,
        }

    def _positives(self, clip: ClipMemory) -> tuple[Tensor, Tensor]:
        """Return the positive of each frame's anchor, (B, N, T, C), and where there are both."""
        seen = clip.seen_before()
        remembered = self.draw(tuple(seen.shape), device=seen.device) < self.memory_probability
        memory = clip.memory.roll(1, dims=2)  # of the frame before; the first has none
        earlier = torch.where(remembered[..., None], memory, clip.latest_before())
        later, is_later = clip.next_after()
        if self.ctvis_compat:
            times = torch.arange(seen.shape[2], device=seen.device)
            is_later = is_later & (clip.absent_after() != times)
        positives = torch.where(seen[..., None], earlier, later)
        return positives, clip.present & (seen | is_later)

    def _with_noise(
        self, embeddings: Tensor, own: Tensor, present: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Let random queries into the memories of absent instances that were seen before."""
        if not self.noise_probability:
            return own, present
        shape = tuple(present.shape)
        drawn = self.draw((2, *shape), device=present.device)
        noisy = ~present & (present.cumsum(2) > 0) & (drawn[0] < self.noise_probability)
        query = (drawn[1] * embeddings.shape[1]).long().clamp(max=embeddings.shape[1] - 1)
        index = query[..., None].expand(-1, -1, -1, embeddings.shape[3])
        return torch.where(noisy[..., None], embeddings.gather(1, index), own), present | noisy
