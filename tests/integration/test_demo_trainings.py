"""The demo's trainings: what cannot begin is refused before any begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidgap_vis.demo.plan import make_plan
from vidgap_vis.demo.trainings import Training, train_all


def test_a_parent_that_does_not_come_before_is_an_error(tmp_path: Path) -> None:
    config = make_plan(quick=True, seed=0).pretrain(tmp_path, None)
    with pytest.raises(ValueError, match="b: parent must come before it, got 'c'"):
        train_all(tmp_path, {"b": Training(config, "c"), "c": Training(config)})
