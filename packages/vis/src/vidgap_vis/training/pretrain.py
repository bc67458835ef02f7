"""Stage one: pre-train the segmenter with its temporal module on pseudo-clips of still images."""

from __future__ import annotations

from pathlib import Path

import torch

from vidgap_vis import build
from vidgap_vis.config import PretrainConfig
from vidgap_vis.data import PseudoClipDataset
from vidgap_vis.formats import read_coco
from vidgap_vis.training.first_weights import load_first_weights
from vidgap_vis.training.loop import Task, make_accelerator, train
from vidgap_vis.training.make_unit import make_unit
from vidgap_vis.training.run_folder import Provenance


def pretrain(
    config: PretrainConfig,
    out: str | Path,
    init: str | Path | None = None,
    *,
    resume: bool = False,
    profile: bool = False,
) -> Path:
    """Pre-train; every frame of a pseudo-clip is supervised like an image (paper §3.1).

    Args:
        config: the run's configuration.
        out: its folder: new or empty, or the run to resume.
        init: the weights folder to start from, such as a converted Mask2Former trained on COCO
            (with `temporal.init: identity` the module then starts as if it were absent); None:
            random weights but for the backbone's.
        resume: go on from the last checkpoint in `out`.
        profile: log where a step's time went.

    Returns:
        The weights folder, `out/weights`.

    Raises:
        InputError: a file, the folder or the configuration is at fault; `WeightsError` where the
            weights do not fit.
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
    resumed = out if resume else None
    parent = load_first_weights(model, images.classes, config, "pretrain", init, resumed)
    task = Task(
        make_unit(model, config, len(images.classes)),
        dataset,
        images.classes,
        Provenance.of("pretrain", config, {"data.annotations": annotations}, parent),
    )
    return train(accelerator, task, config.train, out, resume=resume, profile=profile)
