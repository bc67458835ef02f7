"""A compiled step: the same tracks, and outputs that the next step does not write to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tolerances import TOLERANCE
from torch import Tensor
from torch.torch_version import TorchVersion
from vis.support.stream_model import CLASSES
from vis.support.tiny_runs import MODEL, TEMPORAL

from vidgap_segmenter.backbones.folding import FoldedNetwork
from vidgap_vis import build
from vidgap_vis.cli.main import main
from vidgap_vis.inference.step import ModelStep, compiled_step, copied
from vidgap_vis.speed.scene import Scene

FRAMES = torch.randint(0, 256, (4, 32, 48, 3), dtype=torch.uint8)
CPU = torch.device("cpu")


@pytest.fixture
def fresh_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # What is compiled keeps its batch norms; folded ones round otherwise.
    monkeypatch.setattr(FoldedNetwork, "__call__", lambda _, network, images: list(network(images)))
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def tensors(value: object) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    inner = value if isinstance(value, list | tuple) else getattr(value, "__dict__", {}).values()
    return [tensor for item in inner for tensor in tensors(item)]


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_compiler")
def test_a_stream_of_compiled_steps_is_that_of_plain_ones() -> None:
    model = build.segmenter(MODEL, TEMPORAL, len(CLASSES))
    weights = torch.ones(len(CLASSES))
    plain = ModelStep(model, CPU, class_weights=weights)
    compiled = ModelStep(model, CPU, class_weights=weights, compiled=True)
    states: list = [None, None]
    for frame in FRAMES:
        outputs = []
        for index, step in enumerate((plain, compiled)):
            output, states[index] = step([frame], states[index])
            outputs.append(output)
        for one, other in zip(*map(tensors, (*outputs,)), strict=True):
            torch.testing.assert_close(one, other, **TOLERANCE[torch.float32])
        for one, other in zip(*states, strict=True):
            torch.testing.assert_close(one, other, **TOLERANCE[torch.float32])


def test_the_command_compiles_the_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []

    def compiled(step: object, **options: object) -> object:
        told.append(options)
        return step

    monkeypatch.setattr(torch, "compile", compiled)
    network = build.segmenter(MODEL, TEMPORAL, len(CLASSES))
    network.save_pretrained(tmp_path / "weights", [vars(info) for info in CLASSES])
    Scene(2).write(tmp_path / "clip.mp4", (32, 48), 2)
    words = ["--model", tmp_path / "weights", "--json", tmp_path / "found.json", "--device", "cpu"]
    for flags in ([], ["--compile"]):
        assert main(["predict", *map(str, [tmp_path / "clip.mp4", *words, *flags])]) == 0
    assert told == [{"dynamic": False}]


def test_copies_are_equal_and_apart() -> None:
    step = ModelStep(
        build.segmenter(MODEL, TEMPORAL, len(CLASSES)), CPU, class_weights=torch.ones(2)
    )
    found = step(list(FRAMES), None, with_head_inputs=True)
    copy = copied(found)
    assert type(copy) is tuple
    assert type(copy[0]) is type(found[0])
    assert copy[0].frame_size == found[0].frame_size
    pairs = list(zip(tensors(found), tensors(copy), strict=True))
    assert len(pairs) > 8
    for one, other in pairs:
        assert torch.equal(one, other)
        assert one.untyped_storage().data_ptr() != other.untyped_storage().data_ptr()


@pytest.mark.parametrize(
    ("release", "mode"), [("2.11.0+cu130", None), ("2.14.1", "reduce-overhead")]
)
def test_graphs_are_for_releases_that_replay_them_in_any_thread(
    release: str, mode: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def compiled(step: object, **options: object) -> object:
        asked.append(options.get("mode"))
        return step

    monkeypatch.setattr(torch, "compile", compiled)
    monkeypatch.setattr(torch, "__version__", TorchVersion(release))
    compiled_step(build.segmenter(MODEL, TEMPORAL, len(CLASSES)), torch.device("cuda"))
    assert asked == [mode]
