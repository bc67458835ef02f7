"""Comparing a Mask2Former with Hugging Face's of the same weights."""

from __future__ import annotations

import copy
import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vidgap_segmenter.clip_segmenter import ClipSegmenter
from vidgap_segmenter.convert.hugging_face_config import config_of
from vidgap_segmenter.mask2former import Mask2Former
from vidgap_segmenter.names import hugging_face

SIZE = (96, 128)
NUM_FRAMES = 2


@dataclass(frozen=True)
class Parity:
    """Largest differences, in standard deviations of Hugging Face's tensor."""

    class_logits: float
    mask_logits: float

    @property
    def worst(self) -> float:
        """The larger one; NaN where either is."""
        # Python's `max` loses a NaN that comes second
        return float(np.max([self.class_logits, self.mask_logits]))

    def __str__(self) -> str:
        return (
            f"parity with Hugging Face: class logits {self.class_logits:.0e}, mask logits "
            f"{self.mask_logits:.0e} standard deviations apart (float64, {NUM_FRAMES} random "
            f"frames of {SIZE[0]}x{SIZE[1]})"
        )


def obstacle(model: ClipSegmenter) -> str | None:
    """Say what keeps a network from being compared here, or None."""
    if not isinstance(model, Mask2Former):
        return f"it has no {type(model).__name__}"
    if model.temporal is not None:
        return "its Mask2Former has no temporal module"
    if importlib.util.find_spec("transformers") is None:
        return "transformers is not installed"
    try:
        config_of(_settings(model))
    except ValueError as error:
        return str(error)
    return None


@torch.no_grad()
def parity(model: Mask2Former, folder: Path | None = None) -> Parity:
    """Compare a copy of the model with Hugging Face's network on random frames, in float64.

    In float32 a mask logit within rounding of 0 may flip an entry of an attention mask, which says
    nothing about the weights.

    Args:
        model: without temporal module.
        folder: where Hugging Face's network is loaded from; None: it gets the weights of `model`.

    Raises:
        ValueError: Hugging Face has no such network, or lacks one of its weights.
        ImportError: transformers is not installed (`obstacle` tells of both in advance).
    """
    model = copy.deepcopy(model).double().eval()
    theirs = twin(model, folder)
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (1, NUM_FRAMES, 3, *SIZE), generator=generator).double()
    output = model(frames)
    # (T, 3, H, W); frames of this size are not padded
    wanted = theirs((frames[0] - model.pixel_mean) / model.pixel_std)
    return Parity(
        _apart(output.class_logits[0].transpose(0, 1), wanted.class_queries_logits),
        _apart(output.mask_logits[0].transpose(0, 1), wanted.masks_queries_logits),
    )


def twin(model: Mask2Former, folder: Path | None = None) -> nn.Module:
    """Return Hugging Face's network in the model's dtype, in eval mode (see `parity`).

    The model's embedding head, which it does not have, is left out.
    """
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation

    arguments: dict[str, Any] = {"dtype": model.pixel_mean.dtype, "output_loading_info": True}
    with _quiet():
        if folder is None:
            state = {
                name: tensor
                for name, tensor in model.state_dict().items()
                if not name.startswith("decoder.embedding_head.")
            }
            arguments["state_dict"] = hugging_face.MASK2FORMER.to_theirs(state)
            arguments["config"] = Mask2FormerConfig.from_dict(config_of(_settings(model)))
        theirs, info = Mask2FormerForUniversalSegmentation.from_pretrained(folder, **arguments)
    lacking = [
        name
        for name in (*info["missing_keys"], *info["unexpected_keys"], *info["mismatched_keys"])
        if not any(re.fullmatch(pattern, str(name)) for pattern, _ in hugging_face.LEFT_OUT)
    ]
    if lacking:
        raise ValueError(f"Hugging Face's network and the weights differ in {lacking[:5]}")
    return theirs.eval()


def _settings(model: ClipSegmenter) -> dict[str, Any]:
    return {**model.config, "embedding_dim": None}


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' reports on what `twin` checks itself."""
    from transformers.utils import logging

    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


def _apart(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.std())
