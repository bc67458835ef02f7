"""Training a head on a segmenter that stays as it is (DVIS, GenVIS)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vidgap_segmenter import ClipOutput, ClipSegmenter, HeadInputs, Losses, Prediction
from vidgap_segmenter.optim import ParameterGroup, parameter_groups
from vidgap_vis.config import TrainConfig
from vidgap_vis.data import ClipBatch
from vidgap_vis.trackers.dvis import (
    DVIS,
    QueryPrediction,
    ReferringLoss,
    ReferringTracker,
    RefinerLoss,
    TemporalRefiner,
    mask_logits,
)
from vidgap_vis.trackers.dvis.alignment import in_order
from vidgap_vis.training.units.base import TrainingUnit

if TYPE_CHECKING:
    from typing_extensions import Self

GUIDED = 0.5
"""The share of a run in which instances are matched on a guide's predictions (DVIS)."""


class HeadUnit(TrainingUnit):
    """Train a head; the segmenter and other parts that do not learn stay in eval mode.

    So batch norms are frozen and drop path is off in them, and no bit of their weights moves.

    Args:
        model: the segmenter.
        frozen: what else does not learn.
    """

    def __init__(self, model: ClipSegmenter, *frozen: nn.Module) -> None:
        super().__init__()
        self.segmenter = model
        self._frozen = (model, *frozen)
        for module in self._frozen:
            module.requires_grad_(False)
        self.train()

    @property
    def model(self) -> ClipSegmenter:
        """The segmenter."""
        return self.segmenter

    @property
    @abstractmethod
    def head(self) -> nn.Module:
        """What learns."""

    def train(self, mode: bool = True) -> Self:
        """Set the mode of what learns."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def parameter_groups(self, train: TrainConfig) -> list[ParameterGroup]:
        """Return the groups of Mask2Former's recipe, of the head."""
        return parameter_groups(self.head, train.lr, train.weight_decay)

    def parts(self) -> Mapping[str, nn.Module]:
        """Return the segmenter and the head."""
        return {"segmenter": self.segmenter, "head": self.head}

    @torch.no_grad()
    def segment(self, batch: ClipBatch) -> tuple[ClipOutput, HeadInputs]:
        """Return what the segmenter predicts, and what heads read of it."""
        output = self.segmenter(batch.frames, with_head_inputs=True)
        assert output.head_inputs is not None
        return output, output.head_inputs


class DVISTrackerUnit(HeadUnit):
    """Train DVIS's referring tracker (Zhang et al., ICCV 2023).

    In the first half of a run, instances are matched on the segmenter's predictions, each frame's
    in the order of the tracker's queries.

    Args:
        model: the segmenter, with "no instance" as a class.
        tracker: for its channels and classes.
        loss: the tracker's.
    """

    def __init__(
        self, model: ClipSegmenter, tracker: ReferringTracker, loss: ReferringLoss
    ) -> None:
        super().__init__(model)
        self.tracker = tracker
        self.loss = loss

    @property
    def head(self) -> ReferringTracker:
        """The tracker."""
        return self.tracker

    @property
    def saved_head(self) -> DVIS:
        """The tracker, as the head of an online model."""
        return DVIS(self.tracker)

    def forward(self, batch: ClipBatch, progress: float) -> Losses:
        """Compute the losses of a batch."""
        output, inputs = self.segment(batch)
        prediction, order, _ = self.tracker.step(inputs.queries[0])
        guide = None
        if progress < GUIDED:
            index = order[..., None, None].expand(-1, -1, -1, *output.mask_logits.shape[-2:])
            guide = Prediction(
                in_order(output.class_logits, order), output.mask_logits.gather(1, index)
            )
        levels = with_masks(prediction, inputs.mask_features)
        losses: Losses = self.loss(levels, batch.targets, output.padded_size, guide)
        return losses


class DVISRefinerUnit(HeadUnit):
    """Train DVIS's temporal refiner on a tracker that stays as it is (Zhang et al., ICCV 2023).

    In the first half of a run, instances are matched on the tracker's predictions.

    Args:
        model: the segmenter.
        tracker: trained.
        refiner: for its channels and classes.
        loss: the refiner's.
    """

    def __init__(
        self,
        model: ClipSegmenter,
        tracker: ReferringTracker,
        refiner: TemporalRefiner,
        loss: RefinerLoss,
    ) -> None:
        super().__init__(model, tracker)
        self.tracker = tracker
        self.refiner = refiner
        self.loss = loss

    @property
    def head(self) -> TemporalRefiner:
        """The refiner."""
        return self.refiner

    @property
    def saved_head(self) -> DVIS:
        """Tracker and refiner, as the head of an offline model."""
        return DVIS(self.tracker, self.refiner)

    def forward(self, batch: ClipBatch, progress: float) -> Losses:
        """Compute the losses of a batch."""
        output, inputs = self.segment(batch)
        with torch.no_grad():
            tracked, _, _ = self.tracker.step(inputs.queries[0])
            frames = self.tracker.frame_forward(inputs.queries[0])
            guide = None
            if progress < GUIDED:
                guide = with_masks(tracked, inputs.mask_features)[0]
        levels = with_masks(self.refiner(tracked.queries, frames), inputs.mask_features)
        losses: Losses = self.loss(levels, batch.targets, output.padded_size, guide)
        return losses


def with_masks(prediction: QueryPrediction, mask_features: Tensor) -> list[Prediction]:
    """Make the masks of all layers, the last layer first."""
    return [
        Prediction(layer.class_logits, mask_logits(layer.mask_embeddings, mask_features))
        for layer in (prediction, *prediction.auxiliary)
    ]
