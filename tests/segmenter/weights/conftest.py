"""A small network with weights of its own."""

from __future__ import annotations

import pytest
import torch
from segmenter.support import randomise, small_model

from vidgap_segmenter import Mask2Former


@pytest.fixture(scope="module")
def model() -> Mask2Former:
    torch.manual_seed(0)
    model = small_model().eval()
    randomise(model)
    return model
