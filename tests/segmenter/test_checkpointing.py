"""Gradient checkpointing: the same gradients, from fewer bytes that wait for the backward pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from segmenter.support import (
    LITE0,
    random_frames,
    random_targets,
    randomise,
    small_mask2former_vis,
    small_mask_dino,
    small_model,
    small_seqformer,
)
from tolerances import TOLERANCE
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from vidgap_segmenter.backbones.swin import SWIN_SIZES, Swin, SwinSize
from vidgap_segmenter.clip_segmenter import ClipSegmenter

FLOAT32 = TOLERANCE[torch.float32]["rtol"]
FRAMES = random_frames(1, 2, 3, 64, 96)
TARGETS = [random_targets(3, (2, 64, 96))]
NETWORKS: dict[str, Callable[[], ClipSegmenter]] = {
    "resnet": lambda: small_model("test_resnet.r160_in1k"),
    "efficientnet": lambda: small_model(LITE0),
    "swin": lambda: small_model("swin_tiny"),
    "mask dino": lambda: small_mask_dino("swin_tiny"),
    "mask2former-vis": lambda: small_mask2former_vis(LITE0),
    "seqformer": lambda: small_seqformer(LITE0),
}


@pytest.fixture(autouse=True)
def narrow_swin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SWIN_SIZES, "swin_tiny", SwinSize(16, (2, 2, 2, 2), (1, 2, 4, 8), 7))


def step(model: ClipSegmenter) -> tuple[dict[str, Tensor | None], int, Tensor]:
    """Return the gradients, the bytes that waited for them, and a random number drawn after."""
    torch.manual_seed(5)
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    own = {weight.untyped_storage().data_ptr() for weight in model.state_dict().values()}
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(FRAMES, TARGETS)
    loss = sum(
        level.class_logits.square().sum() + level.mask_logits.square().mean()
        for level in output.levels
    )
    waiting = sum(size for storage, size in storages.items() if storage not in own)
    model.zero_grad()
    torch.as_tensor(loss).backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters()}
    return gradients, waiting, torch.rand(())


@pytest.mark.parametrize("network", NETWORKS)
def test_gradients_are_the_same_and_less_is_kept(network: str) -> None:
    """Drop path is on in Swin: the second run of a block must draw what the first drew."""
    torch.manual_seed(0)
    model = NETWORKS[network]()
    randomise(model)
    model.train()
    wanted, all_bytes, wanted_draw = step(model)
    model.set_gradient_checkpointing()
    got, fewer_bytes, draw = step(model)
    assert fewer_bytes < 0.8 * all_bytes
    assert draw == wanted_draw
    for name, gradient in wanted.items():
        if gradient is None:
            assert got[name] is None, name
        else:
            assert torch.equal(torch.as_tensor(got[name]), gradient), name


@pytest.mark.parametrize("network", NETWORKS)
def test_layers_run_again_in_the_backward_pass(network: str) -> None:
    model = NETWORKS[network]()
    model.train()
    model.set_gradient_checkpointing()
    layers = [*model.pixel_decoder.layers, *model.decoder.layers]
    if isinstance(model.backbone, Swin):
        layers += [block for stage in model.backbone.layers for block in stage.blocks]
    elif network == "resnet":
        layers += [model.backbone.body.layer2, model.backbone.body.layer3]
    else:
        layers += list(model.backbone.body.blocks[1][0].children())[:1]
    runs = Counter[int]()
    for index, layer in enumerate(layers):
        # The second run ends where all is there again, before hooks that follow a forward pass.
        layer.register_forward_pre_hook(lambda *_, index=index: runs.update([index]))
    step(model)
    assert runs == dict.fromkeys(range(len(layers)), 2)


def test_it_can_be_turned_off_and_is_not_saved() -> None:
    model = small_model("swin_tiny")
    before = model.config, set(model.state_dict())
    model.set_gradient_checkpointing()
    assert (model.config, set(model.state_dict())) == before
    _, fewer_bytes, _ = step(model)
    model.set_gradient_checkpointing(False)
    _, all_bytes, _ = step(model)
    assert fewer_bytes < 0.8 * all_bytes


@torch.no_grad()
def test_nothing_is_run_twice_without_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidgap_segmenter.checkpointing.checkpoint", None)
    model = small_model("swin_tiny")
    model.set_gradient_checkpointing()
    model(FRAMES)


def test_a_checkpointed_training_forward_compiles() -> None:
    model = small_model("test_resnet.r160_in1k")
    randomise(model)
    model.train()
    wanted, _, _ = step(model)
    model.set_gradient_checkpointing()
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    output = compiled(FRAMES)
    loss = sum(
        level.class_logits.square().sum() + level.mask_logits.square().mean()
        for level in output.levels
    )
    model.zero_grad()
    loss.backward()
    for name, weight in model.named_parameters():
        assert (weight.grad is None) == (wanted[name] is None), name
        if weight.grad is not None:
            other = torch.as_tensor(wanted[name])
            assert (weight.grad - other).norm() <= FLOAT32 * other.norm(), name
