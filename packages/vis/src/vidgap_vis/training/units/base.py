"""The seam between the loop and what it trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from vidgap_segmenter import ClipSegmenter, Losses
from vidgap_segmenter.optim import ParameterGroup
from vidgap_vis.classes import ClassList
from vidgap_vis.config import TrainConfig
from vidgap_vis.data import ClipBatch
from vidgap_vis.trackers.heads import LearnedHead
from vidgap_vis.weights import Usage, save


class TrainingUnit(nn.Module, ABC):
    """What a training step computes: a batch in, losses out.

    It holds all modules that take part, so that a distributed run wraps it as a whole. Parts that
    do not learn stay in eval mode (`train`).
    """

    @property
    @abstractmethod
    def model(self) -> ClipSegmenter:
        """The segmenter in it."""

    @property
    def saved_head(self) -> LearnedHead | None:
        """What follows the segmenter's instances, as a weights folder holds it; None: nothing."""
        return None

    def save(
        self,
        folder: Path,
        classes: ClassList,
        provenance: Mapping[str, object],
        usage: Usage | None = None,
    ) -> None:
        """Write a weights folder: the segmenter, trained or not, and the head."""
        save(folder, self.model, classes, provenance, usage, self.saved_head)

    @abstractmethod
    def forward(self, batch: ClipBatch, progress: float) -> Losses:
        """Compute the losses of a batch.

        Args:
            batch: on the unit's device.
            progress: the share of the run's steps that are done, in [0, 1).

        Raises:
            NonFiniteLoss: a loss is not finite.
        """

    @abstractmethod
    def parameter_groups(self, train: TrainConfig) -> list[ParameterGroup]:
        """Return all that learns, each parameter once, with its base learning rate and decay."""

    @abstractmethod
    def parts(self) -> Mapping[str, nn.Module]:
        """Return the modules whose time a profile tells, by name; "forward/backbone" lies in
        "forward". What stands under no name is not told."""
