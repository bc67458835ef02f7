"""The weights that a run begins with: of a parent, of the backbone alone, or random ones."""

from __future__ import annotations

from pathlib import Path

from accelerate.logging import get_logger

from vidgap_segmenter import ClipSegmenter
from vidgap_segmenter.weights import WEIGHTS_FILE
from vidgap_vis import build
from vidgap_vis.classes import ClassList
from vidgap_vis.config import RunConfig
from vidgap_vis.errors import InputError
from vidgap_vis.trackers.heads import LearnedHead
from vidgap_vis.training.checkpoint import checkpoints
from vidgap_vis.training.run_folder import Parent, read_provenance
from vidgap_vis.weights import initialise, initialise_head
from vidgap_vis.weights.heads import HEAD_FILE
from vidgap_vis.weights.provenance import sha256

logger = get_logger(__name__)


def load_first_weights(
    model: ClipSegmenter,
    classes: ClassList,
    config: RunConfig,
    stage: str,
    init: str | Path | None,
    resumed: Path | None,
    head: LearnedHead | None = None,
) -> Parent:
    """Load the weights that a run begins with, unless a checkpoint will replace them.

    Args:
        model: changed in place. Where it does not learn, it needs a parent that has all of it.
        classes: of the videos.
        config: the run's configuration.
        stage: `pretrain` or `finetune`.
        init: the parent's weights folder, if any is given.
        resumed: the folder of the run to resume; None: a new run.
        head: what is trained beside the model, changed in place; None: nothing.

    Returns:
        Which they were.

    Raises:
        InputError: the weights do not fit, or those of a run without a checkpoint are not given.
    """
    started = resumed is not None and bool(checkpoints(resumed))
    if init is not None:
        if not started:
            frozen = not any(weight.requires_grad for weight in model.parameters())
            logger.info(initialise(model, classes, init, complete=frozen))
            if head is not None:
                logger.info(initialise_head(head, classes, init))
            elif (Path(init) / HEAD_FILE).is_file():
                logger.info(f"{init}: its head is left out, as this run trains none")
        file = Path(init) / HEAD_FILE
        has_head = head is not None and file.is_file()
        return Parent(sha256(Path(init) / WEIGHTS_FILE), sha256(file) if has_head else None)
    parent = Parent()
    if resumed is not None:
        said = read_provenance(resumed, stage)
        parent = Parent(said["parent"], said.get("parent_head"))
    if started:
        return parent
    if resumed is not None and parent.weights is not None:
        message = "has no checkpoint yet; give the weights that it began with by --init"
        raise InputError(resumed, "", message)
    if not any(weight.requires_grad for weight in model.parameters()):
        message = "missing, wanted the weights of the segmenter, which this run leaves as it is"
        raise InputError("", "--init", message)
    if config.model.backbone_weights is not None:
        build.load_backbone(model, config.model.backbone_weights)
    return parent
