"""What the tests of the command line share: tiny data, and a run's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from vis.support.tiny_runs import (
    pretrain_config,
    write_images,
    write_videos,
)

from vidgap_vis.config.reading import to_mapping, write_yaml


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("tiny") / "images", count=2)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_videos(tmp_path_factory.mktemp("tiny") / "videos", count=1)


@pytest.fixture
def config(images: Path, tmp_path: Path) -> Path:
    """A configuration file of a pre-training run of one step."""
    write_yaml(tmp_path / "tiny.yaml", to_mapping(pretrain_config(images, steps=1)))
    return tmp_path / "tiny.yaml"
