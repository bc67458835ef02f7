"""The pipelines agree with the benchmark's, in torchvision's operations frame by frame."""

from __future__ import annotations

import pytest

from bench.augment.cases import CONFIGS, Config, agreement


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.title)
def test_ours_and_torchvision_make_the_same_clips(config: Config) -> None:
    found = agreement(config)
    assert found.is_good(), str(found)
