"""Batch norms inside convolutions: the same maps, made anew with the weights, never saved."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import pytest
import torch
from segmenter.support import LITE0, randomise
from tolerances import TOLERANCE
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

from vidgap_segmenter import build_backbone
from vidgap_segmenter.backbones.base import Backbone
from vidgap_segmenter.backbones.folding import FoldedNetwork, find_pairs, fold
from vidgap_segmenter.backbones.frozen_norm import FrozenBatchNorm2d, freeze_batch_norms

IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture(params=["resnet18", "resnet50", LITE0, "mobilenetv3_small_050"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    made = build_backbone(request.param)
    randomise(made)
    return made.double().eval()


def folded(backbone: Backbone) -> list[Tensor]:
    with torch.no_grad():
        return backbone(IMAGES)


def assert_same(maps: list[Tensor], wanted: list[Tensor]) -> None:
    for one, other in zip(maps, wanted, strict=True):
        scale = other.detach().abs().max()
        torch.testing.assert_close(one / scale, other.detach() / scale, **TOLERANCE[torch.float64])


def test_maps_are_the_same_in_every_call(backbone: Backbone) -> None:
    first = folded(backbone)
    assert_same(first, backbone(IMAGES))
    for again in (folded(backbone), folded(deepcopy(backbone))):
        assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


def test_every_norm_behind_a_convolution_is_folded(backbone: Backbone) -> None:
    pairs, _ = find_pairs(backbone.body, IMAGES)
    norms = [m for m in backbone.modules() if isinstance(m, FrozenBatchNorm2d)]
    assert len(pairs) == len(norms)
    twin = fold(backbone.body, pairs)
    assert not any(isinstance(module, FrozenBatchNorm2d) for module in twin.modules())


def test_a_changed_weight_is_seen(backbone: Backbone) -> None:
    before = folded(backbone)
    randomise(backbone)
    wanted = backbone(IMAGES)
    assert not torch.allclose(wanted[0], before[0])
    assert_same(folded(backbone), wanted)
    norm = next(m for m in backbone.modules() if isinstance(m, FrozenBatchNorm2d))
    norm.running_mean += 1.0
    assert_same(folded(backbone), backbone(IMAGES))
    backbone.float()
    assert folded(backbone.double())[0].dtype == torch.float64


def test_what_is_written_through_data_is_seen(backbone: Backbone) -> None:
    folded(backbone)
    for parameter in backbone.parameters():
        parameter.data.mul_(0.5)  # as many an average over steps is kept
    assert_same(folded(backbone), backbone(IMAGES))
    norm = next(m for m in backbone.modules() if isinstance(m, FrozenBatchNorm2d))
    norm.running_mean.data += 1.0
    assert_same(folded(backbone.eval()), backbone(IMAGES))


def test_a_body_may_be_replaced(backbone: Backbone) -> None:
    folded(backbone)
    other = deepcopy(backbone)
    randomise(other)
    backbone.body = other.body
    assert_same(folded(backbone), other(IMAGES))


def test_shapes_are_known_without_values() -> None:
    backbone = build_backbone("resnet18").eval()
    wanted = [map_.shape for map_ in backbone(IMAGES.float())]
    with torch.no_grad():
        meta = deepcopy(backbone).to("meta")(IMAGES.float().to("meta"))
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            fake = backbone(mode.from_tensor(IMAGES.float()))
    assert [map_.shape for map_ in meta] == wanted
    assert [map_.shape for map_ in fake] == wanted


def test_a_copy_has_its_own(backbone: Backbone) -> None:
    folded(backbone)
    copy = deepcopy(backbone)
    randomise(copy)
    assert_same(folded(copy), copy(IMAGES))
    assert_same(folded(backbone), backbone(IMAGES))


def test_the_twin_is_in_no_state_dict(backbone: Backbone) -> None:
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    folded(backbone)
    after = backbone.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_a_saved_network_has_no_twin() -> None:
    backbone = build_backbone("resnet18").double().eval()
    before = len(pickle.dumps(backbone))
    maps = folded(backbone)
    saved = pickle.dumps(backbone)
    assert len(saved) < 1.01 * before
    assert all(map(torch.equal, folded(pickle.loads(saved)), maps))


def test_threads_may_share_a_network() -> None:
    backbone = build_backbone("resnet18").double().eval()
    randomise(backbone)
    with ThreadPoolExecutor(4) as pool:
        every = list(pool.map(lambda _: folded(backbone), range(8)))
    for maps in every:
        assert all(map(torch.equal, maps, every[0]))
    assert_same(every[0], backbone(IMAGES))


def test_no_image_gives_no_map() -> None:
    backbone = build_backbone("resnet18").double().eval()
    with torch.no_grad():
        assert [len(map_) for map_ in backbone(IMAGES[:0])] == [0, 0, 0, 0]
    assert_same(folded(backbone), backbone(IMAGES))


class Reused(nn.Module):
    """Gives what comes before the norm, too, which a fold would change."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> list[Tensor]:
        before = self.convolution(images)
        return [before, self.norm(before)]


def test_a_network_that_cannot_be_folded_runs_as_it_is() -> None:
    network = Reused().eval()
    freeze_batch_norms(network)
    randomise(network.double())
    run = FoldedNetwork()
    for _ in range(2):
        for one, other in zip(run(network, IMAGES), network(IMAGES), strict=True):
            assert torch.equal(one, other)
