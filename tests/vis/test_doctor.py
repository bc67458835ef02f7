"""The doctor finds what is there, and what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vidgap_vis import doctor
from vidgap_vis.cli.main import main
from vidgap_vis.evaluation import VideoOverlaps, overlaps


def test_a_sound_installation_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert said.endswith("all is well\n")
    assert "BROKEN" not in said
    for name in ("vidgap-temporal", "torch", "cpu", "H.264 encoder", "libx264", "supervision"):
        assert name in said
    assert "overlaps of masks" in said
    assert "masks of logits on cpu" in said
    for op in ("ms_deform_attn", "ms_deform_attn_fused", "conv_gru", "window_attention"):
        assert f"{op} on cpu" in said


def test_every_op_says_its_backend_and_why() -> None:
    found = {finding.name: finding.text for finding in doctor.backends()}
    assert {"ms_deform_attn", "conv_gru", "window_attention"} <= found.keys()
    for text in found.values():
        assert "cpu: native" in text or "cpu: reference" in text
        assert "cuda: " in text
        assert text.endswith(")")  # why


def test_the_evaluation_says_its_backend_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.native, "_native", object())
    assert doctor.evaluation_backend().text == "native (C++)"
    monkeypatch.setattr(doctor.native, "_native", None)
    monkeypatch.setattr(doctor.native, "_why_absent", "no such module")
    finding = doctor.evaluation_backend()
    assert finding.text.startswith(
        "reference (vidgap_vis._native is not built in this installation"
    )
    assert "(no such module); reinstall vidgap-vis" in finding.text
    assert not finding.broken
    monkeypatch.setenv("VIDGAP_BACKEND", "reference")
    assert doctor.evaluation_backend().text == "reference (VIDGAP_BACKEND=reference)"
    assert not doctor.overlap_agreement().broken


def test_masks_say_their_backend_and_whether_they_are_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VIDGAP_BACKEND", "reference")
    finding = doctor.masks_of_logits("cpu")
    assert finding.text == "reference (VIDGAP_BACKEND=reference), equal to the reference"
    finish = doctor.finish_masks

    def wrong(output: Any, logits: Tensor, size: Any) -> Any:
        return finish(output, logits if logits.dtype == torch.float64 else -logits, size)

    monkeypatch.setattr(doctor, "finish_masks", wrong)
    finding = doctor.masks_of_logits("cpu")
    assert finding.broken
    assert finding.text.endswith("2790 pixels differ from the reference")


def test_overlaps_that_are_wrong_are_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_pixel_less(*arguments: Any, backend: str) -> VideoOverlaps:
        right = overlaps(*arguments, backend="reference")
        off = 1 if backend == "auto" else 0
        return replace(right, shared=right.shared - off)

    assert doctor.overlap_agreement().text == "equal to the reference"
    monkeypatch.setattr(doctor, "overlaps", one_pixel_less)
    finding = doctor.overlap_agreement()
    assert finding.broken
    assert finding.text == "9 numbers differ from the reference"


def wrong_output(*inputs: Tensor, backend: str) -> Tensor:
    result = inputs[0] * inputs[1]
    return result if backend == "reference" else result * 1.001


def wrong_gradient(*inputs: Tensor, backend: str) -> Tensor:
    result = inputs[0] * inputs[1]
    return result if backend == "reference" else inputs[0] * inputs[1].detach() + 0 * inputs[1]


def nothing_but_nan(*inputs: Tensor, backend: str) -> Tensor:
    return inputs[0] * inputs[1] * (1.0 if backend == "reference" else float("nan"))


@pytest.mark.parametrize("op", [wrong_output, wrong_gradient, nothing_but_nan])
def test_an_op_that_is_wrong_is_broken(op: Callable[..., Tensor]) -> None:
    check = doctor.OpCheck("product", op, ((3, 4), (3, 4)))
    finding = doctor.compare(check, torch.device("cpu"))
    assert finding.broken
    assert "wanted 1e-04" in finding.text
    right = replace(check, op=lambda a, b, backend: a * b)  # noqa: ARG005
    assert not doctor.compare(right, torch.device("cpu")).broken


def test_what_is_broken_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check = doctor.OpCheck("product", wrong_output, ((3, 4), (3, 4)))
    monkeypatch.setattr(doctor, "OPS", (check,))
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "product on cpu  BROKEN: " in said
    assert said.endswith("1 broken\n")


def test_the_extras_named_are_those_of_the_package() -> None:
    declared = Path(__file__).parents[2].joinpath("packages/vis/pyproject.toml").read_text()
    for extra in doctor.EXTRAS.values():
        name = extra.removeprefix("vidgap-vis[").removesuffix("]")
        assert f"\n{name} = [" in declared


def test_a_missing_encoder_is_broken_and_a_missing_extra_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor.av, "codecs_available", set())
    monkeypatch.setattr(doctor, "EXTRAS", {"no-such-package": "vidgap-vis[none]"})
    encoder, extra = doctor.extras()
    assert encoder.broken
    assert not extra.broken
    assert "pip install 'vidgap-vis[none]'" in extra.text
