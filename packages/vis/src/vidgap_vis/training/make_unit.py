"""What a step of training computes, chosen by a configuration's sections."""

from __future__ import annotations

from vidgap_segmenter import ClipCriterion, ClipSegmenter, Criterion
from vidgap_vis import build
from vidgap_vis.config import ContrastConfig, FinetuneConfig, HeadConfig, PretrainConfig, RunConfig
from vidgap_vis.errors import ConfigError
from vidgap_vis.trackers.dvis import DVIS, ReferringLoss, RefinerLoss
from vidgap_vis.trackers.genvis import GenVIS, UnifiedLoss
from vidgap_vis.trackers.masktrack import TrackHead
from vidgap_vis.trackers.vita import VITALoss
from vidgap_vis.training.units import (
    ContrastiveUnit,
    DVISRefinerUnit,
    DVISTrackerUnit,
    GenVISUnit,
    IDOLUnit,
    MaskTrackUnit,
    SegmentationUnit,
    TrainingUnit,
    VITAUnit,
)


def make_unit(model: ClipSegmenter, config: RunConfig, num_classes: int) -> TrainingUnit:
    """Return what a step computes: with a section `contrast` or `head`, what it says.

    Args:
        model: the segmenter.
        config: of the run.
        num_classes: K.

    Raises:
        ConfigError: a section does not fit the segmenter.
    """
    criterion = build.criterion(config.loss, config.model, num_classes)
    if isinstance(config, FinetuneConfig) and config.head is not None:
        return _head_unit(model, criterion, config, config.head)
    if config.contrast is None:
        apart = isinstance(config, PretrainConfig) and config.frames_apart
        return SegmentationUnit(model, criterion, frames_apart=apart)
    try:
        return _contrast_unit(model, criterion, config.contrast)
    except ValueError as error:
        raise ConfigError("", "contrast", str(error)) from error


def _contrast_unit(
    model: ClipSegmenter, criterion: build.AnyCriterion, contrast: ContrastConfig
) -> TrainingUnit:
    if contrast.method == "ctvis":
        return ContrastiveUnit(model, criterion, build.contrastive_loss(contrast))
    loss = build.reid_loss(contrast)
    return IDOLUnit(model, criterion, loss, idol_compat=contrast.idol_compat)


def _head_unit(
    model: ClipSegmenter,
    criterion: build.AnyCriterion,
    config: FinetuneConfig,
    section: HeadConfig,
) -> TrainingUnit:
    """Return the unit of a learned head, whose weights are random."""
    head = build.head(section, model)
    if isinstance(head, TrackHead):
        return MaskTrackUnit(model, criterion, head, **section.given("weight"))
    assert isinstance(criterion, Criterion)  # `HeadConfig` wants a Mask2Former
    if isinstance(head, DVIS):
        if head.refiner is not None:
            return DVISRefinerUnit(model, head.tracker, head.refiner, RefinerLoss(criterion))
        loss = ReferringLoss(criterion, **section.given("reuse_queries"))
        return DVISTrackerUnit(model, head.tracker, loss)
    clips: ClipCriterion = build.clip_criterion(config.loss, model.num_classes)
    levels, weight = section.given("num_levels"), section.given("similarity_weight")
    if isinstance(head, GenVIS):
        unified = UnifiedLoss(clips, **weight, **section.given("forget_absent"))
        frames = section.given("clip_frames")
        return GenVISUnit(model, criterion, head, unified, **frames, **levels)
    return VITAUnit(model, criterion, head, VITALoss(clips, **weight), **levels)
