"""A small Mask DINO with random weights."""

from __future__ import annotations

import pytest
import torch
from segmenter.support import randomise, small_mask_dino

from vidgap_segmenter import MaskDINO


@pytest.fixture(scope="module")
def model() -> MaskDINO:
    torch.manual_seed(0)
    model = small_mask_dino().eval()
    randomise(model)
    return model
