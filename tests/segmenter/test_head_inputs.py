"""What heads read of a network is handed out on request, and only then."""

from __future__ import annotations

import pytest
import torch
from segmenter.support import (
    random_frames,
    random_targets,
    small_mask2former_vis,
    small_mask_dino,
    small_model,
    small_seqformer,
)

from vidgap_segmenter import ClipOutput, ClipSegmenter, HeadInputs

SIZE = (40, 64)
FRAMES = random_frames(2, 3, 3, *SIZE)
NETWORKS = {
    "mask2former": small_model,
    "mask_dino": small_mask_dino,
    "mask2former_vis": small_mask2former_vis,
    "seqformer": small_seqformer,
}


@pytest.fixture(params=NETWORKS.values(), ids=NETWORKS)
def model(request: pytest.FixtureRequest) -> ClipSegmenter:
    torch.manual_seed(0)
    made: ClipSegmenter = request.param().eval()
    return made


def asked(output: ClipOutput) -> HeadInputs:
    assert output.head_inputs is not None
    return output.head_inputs


@torch.no_grad()
def test_nothing_is_handed_out_unasked(model: ClipSegmenter) -> None:
    plain, rich = model(FRAMES), model(FRAMES, with_head_inputs=True)
    assert plain.head_inputs is None
    assert model.step(FRAMES)[0].head_inputs is None
    for name in ("class_logits", "mask_logits", "embeddings"):
        assert torch.equal(getattr(plain, name), getattr(rich, name)), name


@torch.no_grad()
def test_predictions_can_be_made_from_them(model: ClipSegmenter) -> None:
    output = model(FRAMES, with_head_inputs=True)
    inputs, decoder = asked(output), model.decoder
    queries = inputs.queries[0]  # (B, Q, T, C), of the last level
    assert inputs.queries.shape[:1] + queries.shape == (1, *output.embeddings.shape)
    assert torch.equal(queries, output.embeddings)  # without an embedding head
    normed = decoder.norm(queries) if model.architecture == "mask_dino" else queries
    torch.testing.assert_close(decoder.class_embed(normed), output.class_logits)
    masks = torch.einsum("bqtc,btchw->bqthw", decoder.mask_embed(normed), inputs.mask_features)
    torch.testing.assert_close(masks, output.mask_logits, rtol=1e-4, atol=1e-4)
    projected = model.pixel_decoder.project(inputs.before_projection.flatten(0, 1))
    assert torch.equal(projected.unflatten(0, (2, 3)), inputs.mask_features)


@torch.no_grad()
def test_the_pyramid_is_what_the_seam_gives_back() -> None:
    class Doubled(torch.nn.Module):
        def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
            return [2 * map_ for map_ in features]

        def step(
            self, features: list[torch.Tensor], state: list[torch.Tensor] | None
        ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
            return self.forward(features), state or []

    plain = small_model().eval()
    doubled = small_model(temporal=Doubled()).eval()
    doubled.load_state_dict(plain.state_dict())
    encoded = plain._encode(FRAMES)[1]
    for output in (
        doubled(FRAMES, with_head_inputs=True),
        doubled.step(FRAMES, with_head_inputs=True)[0],
    ):
        pyramid = asked(output).pyramid
        assert [map_.shape[:3] for map_ in pyramid] == [(2, 3, 64)] * 3
        assert [map_.shape[-1] for map_ in pyramid] == sorted(
            (map_.shape[-1] for map_ in pyramid), reverse=True
        )
        for got, before in zip(pyramid, encoded, strict=True):
            torch.testing.assert_close(got, 2 * before)


def test_training_hands_out_every_level_with_gradients(model: ClipSegmenter) -> None:
    model.train()
    targets = [random_targets(2, (3, *SIZE), seed=seed) for seed in range(2)]
    output = model(FRAMES, targets, with_head_inputs=True)
    queries = asked(output).queries
    num_levels = len(model.decoder.layers) + (model.architecture != "seqformer")
    assert queries.shape == (num_levels, *output.embeddings.shape)  # no denoising queries
    assert torch.equal(queries[0], output.embeddings)
    assert queries[0].requires_grad


@torch.no_grad()
def test_an_embedding_head_leaves_the_queries_to_heads() -> None:
    model = small_model(embedding_dim=24).eval()
    output = model(FRAMES, with_head_inputs=True)
    assert output.embeddings.shape[-1] == 24
    assert asked(output).queries.shape[-1] == 64
    torch.testing.assert_close(
        model.decoder.embedding_head(asked(output).queries[0]), output.embeddings
    )
