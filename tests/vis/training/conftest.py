"""What the tests of training share: data, and a run that nothing disturbed."""

from __future__ import annotations

from pathlib import Path

import pytest
from vis.support.tiny_runs import (
    pretrain_config,
    write_images,
)

from vidgap_vis.training.pretrain import pretrain


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("tiny") / "images")


@pytest.fixture(scope="module")
def straight(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 6 steps that nothing disturbed."""
    out = tmp_path_factory.mktemp("straight") / "run"
    pretrain(pretrain_config(images), out)
    return out
