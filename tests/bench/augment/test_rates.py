"""The augmentations' benchmark: different clips are not timed, and all numbers are kept."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
import torch

from bench import run
from bench.augment import albumentations, rates
from bench.augment.agreement import Agreement
from bench.harness import summary

SAME = Agreement(mean_difference=0.5, mean_iou=0.97, min_iou=0.9, num_masks=4)
OTHER = Agreement(mean_difference=5.0, mean_iou=0.97, min_iou=0.9, num_masks=4)


def nothing() -> None:
    """Stand in for the making of a clip."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips that take no time, without albumentations."""
    calls = {"ours": [nothing], "torchvision": [nothing], "floor": [nothing]}
    monkeypatch.setattr(albumentations, "find", lambda: None)
    monkeypatch.setattr(rates, "agreement", lambda _: SAME)
    monkeypatch.setattr(rates, "contenders", lambda *_: calls)
    monkeypatch.setattr(rates, "ablation_contenders", lambda *_: {"ours": [nothing]})
    # The processor's clock does not see what takes no time.
    monkeypatch.setattr("bench.harness.timing.seconds_of", lambda _: (0.5, 0.5))


def test_a_run_keeps_its_numbers_and_the_threads(tmp_path: Path) -> None:
    before = cv2.getNumThreads(), torch.get_num_threads()
    out = tmp_path / "new" / "numbers.json"
    assert run.main(["augment", "--quick", "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["scope"] == {"instances": [10], "cases": 4, "repeats": 2}
    assert [row["config"] for row in report["clips_per_second"]] == ["A", "B", "C"]
    for row in report["clips_per_second"]:
        assert row["rates"]["ours"] == {"median": 2.0, "p10": 2.0, "p90": 2.0}
        assert row["ours_is_faster_by"] == {"torchvision": 1.0, "floor": 1.0}
    assert report["agreement"]["A"]["torchvision"]["num_masks"] == 4
    assert set(report["ablation"]) == {"ours"}
    assert (cv2.getNumThreads(), torch.get_num_threads()) == before


def test_nothing_is_timed_or_written_where_clips_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rates, "agreement", lambda _: OTHER)
    monkeypatch.setattr(rates, "contenders", lambda *_: pytest.fail("timed"))
    assert run.main(["augment", "--quick", "--out", str(tmp_path / "numbers.json")]) == 1
    assert not list(tmp_path.iterdir())
    assert "nothing is timed" in capsys.readouterr().err


def test_the_short_form_of_other_benchmarks_passes_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "numbers.json"
    run.main(["augment", "--quick", "--out", str(out)])
    assert summary.main([str(out)]) == 0
    assert f"{out}: has a table of its own" in capsys.readouterr().out
