"""A small network, and the official file of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from vis.support.networks import SIZES

from vidgap_segmenter import Mask2Former, convert


@pytest.fixture(scope="module")
def network() -> Mask2Former:
    torch.manual_seed(0)
    return Mask2Former("resnet18", num_classes=3, **SIZES).eval()


@pytest.fixture(scope="module")
def source(network: Mask2Former, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An official file of three classes."""
    path = tmp_path_factory.mktemp("official") / "model_final.pkl"
    convert.write_official(network, path)
    return path
