"""Renaming our weights to the official names and Hugging Face's, and writing files with them."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from vidgap_segmenter.clip_segmenter import ClipSegmenter
from vidgap_segmenter.convert.hugging_face_config import config_of
from vidgap_segmenter.mask2former import Mask2Former
from vidgap_segmenter.mask2former.base import MaskedSegmenter
from vidgap_segmenter.mask_dino import MaskDINO
from vidgap_segmenter.names import hugging_face, official
from vidgap_segmenter.weights import CONFIG_FILE, WEIGHTS_FILE, write_state_dict


def to_official(model: ClipSegmenter) -> dict[str, Tensor]:
    """Return the weights of a Mask2Former, Mask2Former-VIS or Mask DINO under official names.

    An embedding head has CTVIS's names. Tensors may share memory with the model's.

    Raises:
        ValueError: it is another network, or a weight has no official name: the model has a
            temporal module, or a backbone that is neither a ResNet nor a Swin.
    """
    if not isinstance(model, (MaskedSegmenter, MaskDINO)):
        raise ValueError(f"there are no official names for {type(model).__name__}")
    state = _state(model)
    try:
        if isinstance(model, MaskDINO):
            renamed = official.MASK_DINO.to_theirs(state)
            return official.with_aliases(renamed, len(model.decoder.layers))
        return official.MASK2FORMER.to_theirs(state)
    except ValueError as error:
        raise ValueError(f"official names: {error}") from error


def write_official(
    model: ClipSegmenter, path: Path, beside: Mapping[str, Tensor] | None = None
) -> None:
    """Write a `.pkl` that Detectron2's checkpointer loads into the official networks.

    The weights of a Mask2Former or Mask2Former-VIS get the names of the official `.pkl` files
    (`official.as_in_the_zoo`).

    Args:
        model: the segmenter.
        path: the file.
        beside: weights of other modules by their official names, such as a head's.

    Raises:
        ValueError: as for `to_official`.
    """
    state = to_official(model)
    if isinstance(model, MaskedSegmenter):
        state = official.as_in_the_zoo(state)
    state = state | dict(beside or {})
    arrays = {name: tensor.numpy(force=True) for name, tensor in state.items()}
    content = {"model": arrays, "__author__": "vidgap"}
    with path.open("wb") as file:
        pickle.dump(content, file, protocol=4)


def to_hugging_face(model: ClipSegmenter) -> dict[str, Tensor]:
    """Return the weights of a Mask2Former under the names that Hugging Face's folders have.

    Raises:
        ValueError: it is another network, or a weight has no such name (see `to_official`).
    """
    if not isinstance(model, Mask2Former):
        raise ValueError(f"Hugging Face has no {type(model).__name__}")
    try:
        return hugging_face.MASK2FORMER.to_theirs(_state(model))
    except ValueError as error:
        raise ValueError(f"Hugging Face's names: {error}") from error


def write_hugging_face(
    model: ClipSegmenter, folder: Path, class_names: Sequence[str] | None = None
) -> None:
    """Write a folder that `Mask2FormerForUniversalSegmentation.from_pretrained` loads.

    Args:
        model: a Mask2Former of ours without temporal module and embedding head.
        folder: made where it is missing.
        class_names: in order of index; None numbers them.

    Raises:
        ValueError: as for `to_hugging_face`.
    """
    state = to_hugging_face(model)
    config = config_of(model.config, class_names)
    folder.mkdir(parents=True, exist_ok=True)
    write_state_dict(folder / WEIGHTS_FILE, state)
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _state(model: ClipSegmenter) -> dict[str, Tensor]:
    if model.temporal is not None:
        raise ValueError("the network there has no temporal module, this model has one")
    return {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
