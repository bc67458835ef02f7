"""The masks' benchmark: kernels agree with the definition before they are timed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench import run
from bench.masks import times
from bench.masks.logits import SHAPE, objects, speckles
from vidgap_vis.formats import Rle
from vidgap_vis.inference.masks import FrameMasks
from vidgap_vis.native import extension

needs_kernels = pytest.mark.skipif(extension(warns=False) is None, reason="there are no kernels")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "SIZE", (90, 160))
    case = times.Case("2 tracks", objects(2, (0.05, 0.1)))
    monkeypatch.setattr(times, "cases", lambda: (case,))


@needs_kernels
def test_a_run_keeps_its_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "numbers.json"
    assert run.main(["masks", "--quick", "--out", str(out)]) == 0
    (case,) = json.loads(out.read_text())["cases"]
    assert (case["case"], case["tracks"]) == ("2 tracks", 2)
    names = [row["contender"] for row in case["rows"]]
    assert names[0] == "torch"
    assert names[-1] == "native, baseline"
    assert all(row["process_ms"]["median"] > 0 for row in case["rows"])
    assert "2 tracks" in capsys.readouterr().out


def one_pixel_more(found: FrameMasks) -> FrameMasks:
    mask = found.rles[0].decode().copy()
    mask[0, 0] = not mask[0, 0]
    return replace(found, rles=(Rle.encode(mask), *found.rles[1:]))


def other_scores(found: FrameMasks) -> FrameMasks:
    return replace(found, scores=found.scores + 1e-4)


@pytest.mark.parametrize("spoil", [one_pixel_more, other_scores])
def test_nothing_is_said_of_times_where_masks_differ(
    spoil: Callable[[FrameMasks], FrameMasks],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    right = times.contenders()["torch"]
    spoilt = {"torch": right, "native": lambda logits: spoil(right(logits))}
    monkeypatch.setattr(times, "contenders", lambda: spoilt)
    assert run.main(["masks", "--quick", "--out", str(tmp_path / "numbers.json")]) == 1
    assert not list(tmp_path.iterdir())
    assert "no times" in capsys.readouterr().err


def test_without_kernels_there_is_nothing_to_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIDGAP_BACKEND", "reference")
    assert run.main(["masks", "--quick"]) == 1
    assert "no kernels: VIDGAP_BACKEND=reference" in capsys.readouterr().err


def test_objects_cover_what_they_should_and_noise_a_third() -> None:
    def share(logits: Tensor) -> float:
        return float((logits > 0).float().mean())

    assert objects(5, (0.01, 0.06)).shape == (5, *SHAPE)
    assert 0.01 < share(objects(50, (0.01, 0.06))) < 0.07
    assert 0.4 < share(objects(5, (0.6, 0.6))) < 0.8
    assert 0.25 < share(speckles(2)) < 0.4
    assert torch.equal(objects(3, (0.01, 0.06)), objects(3, (0.01, 0.06)))
