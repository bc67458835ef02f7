"""Stage two: fine-tune on clips of videos, and on pseudo-clips of images beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from accelerate.logging import get_logger

from vidgap_segmenter import ClipSegmenter
from vidgap_segmenter.weights import WEIGHTS_FILE
from vidgap_vis import build
from vidgap_vis.classes import ClassList
from vidgap_vis.config import FinetuneConfig
from vidgap_vis.data import ClipDataset, MixedDataset, PseudoClipDataset, VideoClipDataset
from vidgap_vis.errors import InputError
from vidgap_vis.formats import ImageSet, read_coco, read_youtube_vis
from vidgap_vis.training.checkpoint import checkpoints
from vidgap_vis.training.loop import Task, make_accelerator, train
from vidgap_vis.training.run_folder import Provenance, read_provenance
from vidgap_vis.training.units import SegmentationUnit
from vidgap_vis.weights import initialise
from vidgap_vis.weights.provenance import sha256

logger = get_logger(__name__)


def finetune(
    config: FinetuneConfig,
    init: str | Path | None,
    out: str | Path,
    *,
    resume: bool = False,
    profile: bool = False,
) -> Path:
    """Fine-tune on clips of T frames.

    Args:
        config: the run's configuration.
        init: the weights folder to start from; None: random weights, or those of the checkpoint
            where there is one.
        out: the run's folder: new or empty, or the run to resume.
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
    out, seed = Path(out), config.train.seed
    accelerator = make_accelerator(config.train, out)
    dataset, files = make_dataset(config)
    torch.manual_seed(seed)
    model = build.segmenter(config.model, config.temporal, len(dataset.classes))
    parent = load_first_weights(model, dataset.classes, config, init, out if resume else None)
    task = Task(
        SegmentationUnit(model, build.criterion(config.loss, config.model, len(dataset.classes))),
        dataset,
        dataset.classes,
        Provenance.of("finetune", config, files, parent),
    )
    return train(accelerator, task, config.train, out, resume=resume, profile=profile)


def load_first_weights(
    model: ClipSegmenter,
    classes: ClassList,
    config: FinetuneConfig,
    init: str | Path | None,
    resumed: Path | None,
) -> str | None:
    """Load the weights that a run begins with, unless a checkpoint will replace them.

    Args:
        model: changed in place.
        classes: of the videos.
        config: the run's configuration.
        init: the parent's weights folder, if any is given.
        resumed: the folder of the run to resume; None: a new run.

    Returns:
        The SHA-256 of the parent's weights; None: the run has no parent.

    Raises:
        InputError: the weights do not fit, or those of a run without a checkpoint are not given.
    """
    started = resumed is not None and bool(checkpoints(resumed))
    if init is not None:
        if not started:
            logger.info(initialise(model, classes, init))
        return sha256(Path(init) / WEIGHTS_FILE)
    parent: str | None = None
    if resumed is not None:
        parent = read_provenance(resumed, "finetune")["parent"]
    if started:
        return parent
    if resumed is not None and parent is not None:
        message = "has no checkpoint yet; give the weights that it began with by --init"
        raise InputError(resumed, "", message)
    if config.model.backbone_weights is not None:
        build.load_backbone(model, config.model.backbone_weights)
    return None


def make_dataset(config: FinetuneConfig) -> tuple[ClipDataset, dict[str, Path]]:
    """Return the clips to train on, and their annotation files by key of the configuration."""
    data, clip, seed = config.data, config.clip, config.train.seed
    files = {"data.annotations": data.root / data.annotations}
    videos = read_youtube_vis(files["data.annotations"], data.root / data.frames)
    clips = VideoClipDataset(
        videos, clip.num_frames, clip.frame_range, build.video_clips(clip), seed
    )
    if data.pseudo is None:
        return clips, files
    pseudo = data.pseudo
    files["data.pseudo.annotations"] = pseudo.root / pseudo.annotations
    images = read_coco(files["data.pseudo.annotations"], pseudo.root / pseudo.images)
    images = with_classes(images, videos.classes, pseudo.category_map)
    pseudo_clips = PseudoClipDataset(images, build.joint_image_clips(clip), seed)
    return MixedDataset(pseudo_clips, clips, pseudo.ratio, seed), files


def with_classes(
    images: ImageSet, classes: ClassList, category_map: Mapping[int, int] | None
) -> ImageSet:
    """Give an image set the classes of a video set; instances of other classes are dropped.

    Args:
        images: what is mapped.
        classes: of the videos.
        category_map: category id of the images -> category id of the videos; None: same names.

    Raises:
        InputError: the map names an unknown category, or no class is shared.
    """
    by_id = {info.category_id: info.index for info in classes}
    by_name = {info.name: info.index for info in classes}
    if category_map is None:
        labels = {i.index: by_name[i.name] for i in images.classes if i.name in by_name}
    else:
        for target in category_map.values():
            if target not in by_id:
                message = f"{target} is no category of the videos"
                raise InputError(images.path, "data.pseudo.category_map", message)
        labels = {
            info.index: by_id[category_map[info.category_id]]
            for info in images.classes
            if info.category_id in category_map
        }
    if not labels:
        raise InputError(images.path, "categories", "none is a class of the videos")
    mapped = tuple(
        replace(
            image,
            instances=tuple(
                replace(instance, label=labels[instance.label])
                for instance in image.instances
                if instance.label in labels
            ),
        )
        for image in images.images
    )
    return replace(images, classes=classes, images=mapped)
