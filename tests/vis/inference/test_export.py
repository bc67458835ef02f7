"""`vidgap export`: a file that torch alone runs, with the same outputs as the model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tolerances import ONNX_STEPS, TOLERANCE
from vis.support.tiny_runs import CATEGORIES, MODEL, TEMPORAL

from vidgap_segmenter import backends
from vidgap_segmenter.backbones.folding import FoldedNetwork
from vidgap_vis import build
from vidgap_vis.classes import from_categories
from vidgap_vis.cli.main import main
from vidgap_vis.config import ModelConfig, TemporalConfig
from vidgap_vis.inference import export as exporting
from vidgap_vis.weights import load, save

CLASSES = from_categories([(category["id"], category["name"]) for category in CATEGORIES])
SIZE = (60, 90)

ALONE = """
import json, sys
import torch

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0].startswith(("vidgap", "timm", "torchvision")):
            raise ImportError(f"{name} is blocked here")

sys.meta_path.insert(0, Blocker())
extra = {"vidgap.json": ""}
program = torch.export.load(sys.argv[1], extra_files=extra).module()
said = json.loads(extra["vidgap.json"])
frames = torch.load(sys.argv[2])
state = [torch.zeros(one["shape"]) for one in said["inputs"][1:]]
steps = []
with torch.no_grad():
    for frame in frames:
        *outputs, = program(frame, *state)
        state = outputs[len(outputs) - len(state):]
        steps.append(outputs)
torch.save([said, steps], sys.argv[3])
"""
"""Runs frames through an exported step, with our packages, timm and torchvision blocked."""


@pytest.fixture(autouse=True)
def unfolded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exported step keeps its batch norms; folded ones round otherwise."""
    monkeypatch.setattr(FoldedNetwork, "__call__", lambda _, network, images: list(network(images)))


def weights(
    folder: Path, temporal: TemporalConfig | None = TEMPORAL, model: ModelConfig = MODEL
) -> Path:
    torch.manual_seed(0)
    network = build.segmenter(model, temporal, len(CLASSES))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    save(folder / "weights", network, CLASSES, {})
    return folder / "weights"


def stream(count: int, num_frames: int = 1) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    shape = (count, 1, num_frames, 3, *SIZE)
    return list(torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator))


def run_alone(program: Path, frames: list[torch.Tensor]) -> tuple[dict, list[list[torch.Tensor]]]:
    torch.save(frames, program.with_name("frames.pt"))
    results = program.with_name("results.pt")
    words = [sys.executable, "-c", ALONE, program, program.with_name("frames.pt"), results]
    done = subprocess.run(words, capture_output=True, text=True, cwd=program.parent)
    assert done.returncode == 0, done.stderr
    said, steps = torch.load(results)
    return said, steps


@pytest.mark.parametrize("architecture", ["mask2former", "mask_dino"])
def test_a_stream_of_steps_runs_with_torch_alone(architecture: str, tmp_path: Path) -> None:
    model = ModelConfig(**{**vars(MODEL), "architecture": architecture})
    folder, out = weights(tmp_path, model=model), tmp_path / "new" / "step.pt2"
    assert main(["export", str(folder), "--out", str(out), "--size", "60x90"]) == 0
    frames = stream(3)
    said, steps = run_alone(out, frames)

    network, _ = load(folder)
    state = None
    with torch.no_grad(), exporting.reference_ops():
        for frame, got in zip(frames, steps, strict=True):
            output, state = network.step(frame, state)
            wanted = [output.class_logits, output.mask_logits, output.embeddings]
            wanted += [] if output.boxes is None else [output.boxes]
            wanted += state or []
            for one, other in zip(got, wanted, strict=True):
                assert torch.equal(one, other)
    for one, tensor in zip(said["outputs"], steps[0], strict=True):
        assert (one["shape"], one["dtype"]) == (list(tensor.shape), str(tensor.dtype))
    names = ["class_logits", "mask_logits", "embeddings"]
    names += ["boxes"] if architecture == "mask_dino" else []
    names += [f"state_{index}" for index in range(len(said["inputs"]) - 1)]
    assert [one["name"] for one in said["outputs"]] == names
    assert [one["name"] for one in said["classes"]] == ["red", "blue"]
    assert sorted(path.name for path in out.parent.iterdir() if path.suffix == ".pt2") == [out.name]


def test_a_model_without_temporal_module_has_no_state(tmp_path: Path) -> None:
    folder, out = weights(tmp_path, None), tmp_path / "step.pt2"
    words = ["export", str(folder), "--out", str(out), "--size", "60x90", "--num_frames", "2"]
    assert main(words) == 0
    (frames,) = stream(1, num_frames=2)
    program = torch.export.load(out).module()
    network, _ = load(folder)
    with torch.no_grad(), exporting.reference_ops():
        got, wanted = program(frames), network(frames)
    assert len(got) == 3
    assert torch.equal(got[1], wanted.mask_logits)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["mask2former_vis", "seqformer"])
def test_clips_of_joint_networks_run_with_torch_alone(architecture: str, tmp_path: Path) -> None:
    """The state that a clip hands on is that before the frames which the next one repeats."""
    model = ModelConfig(**{**vars(MODEL), "architecture": architecture})
    folder, out = weights(tmp_path, model=model), tmp_path / "step.pt2"
    words = ["export", str(folder), "--out", str(out), "--size", "60x90"]
    assert main([*words, "--num_frames", "3", "--repeated", "1"]) == 0
    frames = torch.cat(stream(5), dim=1)
    clips = [frames[:, :3], frames[:, 2:5]]
    _, steps = run_alone(out, clips)
    network, _ = load(folder)
    state = None
    with torch.no_grad(), exporting.reference_ops():
        for clip, got in zip(clips, steps, strict=True):
            output, state = network.step(clip, state, repeated_next=1)
            torch.testing.assert_close(got[0], output.class_logits, **TOLERANCE[torch.float32])
            torch.testing.assert_close(got[1], output.mask_logits, **TOLERANCE[torch.float32])
            for one, other in zip(got[-len(state) :], state, strict=True):
                torch.testing.assert_close(one, other, **TOLERANCE[torch.float32])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "size"),
    [("mask2former", (60, 90)), ("mask2former", (96, 64)), ("mask_dino", (64, 96))],
    ids=str,
)
def test_onnx_runs_as_torch_does(architecture: str, size: tuple[int, int], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    model = ModelConfig(**{**vars(MODEL), "architecture": architecture})
    folder, out = weights(tmp_path, model=model), tmp_path / "step.onnx"
    words = ["export", str(folder), "--out", str(out), "--size", f"{size[0]}x{size[1]}"]
    assert main(words) == 0
    kept = {one.key: one.value for one in onnx.load(out).metadata_props}
    said = json.loads(kept["vidgap.json"])
    assert [one["name"] for one in said["classes"]] == ["red", "blue"]
    session = runtime.InferenceSession(out)
    assert [one.name for one in session.get_inputs()] == [one["name"] for one in said["inputs"]]
    names = [one["name"] for one in said["outputs"]]
    assert [one.name.removeprefix("next_") for one in session.get_outputs()] == names
    state = {one["name"]: np.zeros(one["shape"], np.float32) for one in said["inputs"][1:]}
    network, _ = load(folder)
    before = None
    generator = torch.Generator().manual_seed(5)
    for _ in range(3):
        frame = torch.randint(0, 256, (1, 1, 3, *size), dtype=torch.uint8, generator=generator)
        found = dict(zip(names, session.run(None, {"frames": frame.numpy(), **state}), strict=True))
        with torch.no_grad():
            output, before = network.step(frame, before)
        wanted = exporting.results(output)
        wanted |= {f"state_{index}": part for index, part in enumerate(before or ())}
        for name, tensor in wanted.items():
            apart = np.abs(found[name] - tensor.numpy()).max()
            assert apart <= ONNX_STEPS * tensor.std(), name
        state = {name: found[name] for name in state}


def test_onnx_without_its_packages_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(exporting, "find_spec", lambda _: None)
    assert main(["export", str(tmp_path), "--out", str(tmp_path / "step.onnx")]) == 2
    said = capsys.readouterr().err
    assert said == (
        "vidgap: --format: onnx needs the package onnx: pip install 'vidgap-vis[onnx]'\n"
    )


def test_a_program_with_an_op_of_ours_is_refused(tmp_path: Path) -> None:
    if backends()["ms_deform_attn"]["cpu"] != "native":
        pytest.skip("there is no native op here that could slip in")
    model, _ = load(weights(tmp_path, None))
    frames = stream(1)[0]
    with torch.no_grad():
        program = torch.export.export(exporting.FrameStep(model), (frames,))
    with pytest.raises(AssertionError, match="ms_deform_attn"):
        exporting.check_plain(program)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--size", "40"], "--size: wanted HEIGHTxWIDTH, as 360x640, got '40'"),
        (["--size", "0x50"], "--size: wanted HEIGHTxWIDTH, as 360x640, got '0x50'"),
        (["--num_frames", "0"], "--num_frames: wanted 1 or more, got 0"),
        (
            ["--num_frames", "3", "--repeated", "3"],
            "--repeated: wanted 0 or more and below --num_frames (3), got 3",
        ),
    ],
    ids=str,
)
def test_the_error_for_a_wrong_argument_is_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(tmp_path), "--out", str(tmp_path / "x.pt2"), *words]) == 2
    assert capsys.readouterr().err == f"vidgap: {message}\n"


def test_a_folder_without_weights_is_refused_in_one_line_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "step.pt2"
    assert main(["export", str(tmp_path), "--out", str(out)]) == 1
    said = capsys.readouterr().err
    assert said == f"vidgap: {tmp_path}: not a weights folder (config.json is missing)\n"
    assert not out.exists()


def test_weights_are_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = weights(tmp_path, None)
    out = folder / "model.safetensors"
    before = out.read_bytes()
    assert main(["export", str(folder), "--out", str(out)]) == 2
    assert "is an input" in capsys.readouterr().err
    assert out.read_bytes() == before


def test_mask_dino_exports_for_frames_with_fewer_tokens_than_queries(tmp_path: Path) -> None:
    model = ModelConfig(**{**vars(MODEL), "architecture": "mask_dino", "num_queries": 90})
    folder, out = weights(tmp_path, None, model), tmp_path / "x.pt2"
    assert main(["export", str(folder), "--out", str(out), "--size", "32x32"]) == 0
    class_logits, *_ = torch.export.load(out).module()(torch.zeros(1, 1, 3, 32, 32).byte())
    assert class_logits.shape == (1, 22, 1, 2)


def test_help_says_that_sizes_are_fixed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--help"]) == 0
    assert "takes no other" in " ".join(capsys.readouterr().out.split())
