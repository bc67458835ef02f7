"""Stage one: pre-train the segmenter with its temporal module on pseudo-clips of still images."""

from __future__ import annotations

from pathlib import Path

import torch

from vidgap_vis import build
from vidgap_vis.config import PretrainConfig
from vidgap_vis.data import PseudoClipDataset
from vidgap_vis.formats import read_coco
from vidgap_vis.training.checkpoint import checkpoints
from vidgap_vis.training.loop import Task, make_accelerator, train
from vidgap_vis.training.run_folder import Provenance
from vidgap_vis.training.units import SegmentationUnit


def pretrain(
    config: PretrainConfig, out: str | Path, *, resume: bool = False, profile: bool = False
) -> Path:
    """Pre-train; every frame of a pseudo-clip is supervised like an image (paper §3.1).

    Args:
        config: the run's configuration.
        out: its folder: new or empty, or the run to resume.
        resume: go on from the last checkpoint in `out`.
        profile: log where a step's time went.

    Returns:
        The weights folder, `out/weights`.

    Raises:
        InputError: a file, the folder or the configuration is at fault.
        TrainingError: a loss is not finite.
        TrainingInterrupted: a signal stopped it; a checkpoint was left.
    """
    out, data, seed = Path(out), config.data, config.train.seed
    accelerator = make_accelerator(config.train, out)
    annotations = data.root / data.annotations
    images = read_coco(annotations, data.root / data.images)
    dataset = PseudoClipDataset(images, build.image_clips(config.clip), seed)
    torch.manual_seed(seed)
    model = build.segmenter(config.model, config.temporal, len(images.classes))
    if config.model.backbone_weights is not None and not (resume and checkpoints(out)):
        build.load_backbone(model, config.model.backbone_weights)
    task = Task(
        SegmentationUnit(model, build.criterion(config.loss, config.model, len(images.classes))),
        dataset,
        images.classes,
        Provenance.of("pretrain", config, {"data.annotations": annotations}, parent=None),
    )
    return train(accelerator, task, config.train, out, resume=resume, profile=profile)
