"""Both stages today: segment the frames of a clip, each supervised as an image (paper §3.1, §4)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from vidgap_segmenter import ClipCriterion, ClipSegmenter, Losses, parameter_groups
from vidgap_segmenter.losses import check_finite
from vidgap_segmenter.optim import ParameterGroup
from vidgap_vis.config import TrainConfig
from vidgap_vis.data import ClipBatch
from vidgap_vis.training.units.base import TrainingUnit

EMBEDDING_HEAD = "embedding_head."
"""In the names of a segmenter's weights that make its embeddings."""

WATCHED = ("backbone", "temporal", "decoder")
"""The model's parts whose share of `forward` a profile tells; the rest is the pixel decoder."""


class SegmentationUnit(TrainingUnit):
    """Train a segmenter on clips, with its temporal module if it has one.

    Args:
        model: the segmenter.
        criterion: its losses.
        frames_apart: take each frame as a clip of its own.

    Attributes:
        reads_embeddings: whether a loss does. Otherwise the model's embedding head is frozen, for
            which processes that train together would wait.
    """

    reads_embeddings = False

    def __init__(
        self, model: ClipSegmenter, criterion: nn.Module, *, frames_apart: bool = False
    ) -> None:
        super().__init__()
        self.segmenter = model
        self.criterion = criterion
        self.frames_apart = frames_apart
        for name, weight in model.named_parameters():
            if EMBEDDING_HEAD in name and not self.reads_embeddings:
                weight.requires_grad_(False)

    @property
    def model(self) -> ClipSegmenter:
        """The segmenter."""
        return self.segmenter

    def forward(self, batch: ClipBatch, progress: float) -> Losses:  # noqa: ARG002 (others anneal)
        """Compute the losses of a batch."""
        if self.frames_apart:
            batch = batch.frames_apart()
        losses: Losses = self.criterion(self.segmenter(batch.frames, batch.targets), batch.targets)
        return losses

    def parameter_groups(self, train: TrainConfig) -> list[ParameterGroup]:
        """Return the groups of Mask2Former's recipe, of all that learns in the unit."""
        return parameter_groups(self, train.lr, train.weight_decay, train.backbone_multiplier)

    def parts(self) -> dict[str, nn.Module]:
        """Return the model, the criterion, and parts of the model."""
        children = dict(self.segmenter.named_children())
        inner = {f"forward/{name}": children[name] for name in WATCHED if children.get(name)}
        return {"forward": self.segmenter, "loss": self.criterion, **inner}


def check_by_frame(criterion: nn.Module) -> None:
    """Raise ValueError where a criterion is of queries that are one for all frames of a clip."""
    if isinstance(criterion, ClipCriterion):
        raise ValueError(
            "queries must be each frame's own to be told apart over frames, got those of a "
            "joint decoder"
        )


def with_parts(losses: Losses, parts: Mapping[str, Tensor], weights: Mapping[str, float]) -> Losses:
    """Add weighted scalars, by name, to losses.

    Raises:
        NonFiniteLoss: one is not finite.
    """
    total = losses.total
    for name, part in parts.items():
        total = total + weights[name] * part
    own = {name: part[None] for name, part in parts.items()}
    whole = Losses(total, losses.parts | own, losses.matchings)
    check_finite(whole)
    return whole
