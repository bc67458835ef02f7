"""The module: shapes, variants of equation 3, who sees whom, settings and error messages."""

from __future__ import annotations

import json

import pytest
import torch
from temporal.pyramids import SIZES, channels_last, make_module, make_pyramid
from tolerances import TOLERANCE

from vidgap_temporal import MultiScaleTemporalModule
from vidgap_temporal.short_term import partner_frames


@pytest.mark.parametrize("residual", ["literal", "gated_residual", "full"])
@pytest.mark.parametrize("num_frames", [1, 2, 5])
@pytest.mark.parametrize("layout", [torch.clone, channels_last], ids=["contiguous", "last"])
def test_shape_dtype_and_order_in_memory_are_kept(residual, num_frames, layout):
    module = make_module(residual=residual, dtype=torch.float32)
    features = [layout(maps) for maps in make_pyramid(2, num_frames, dtype=torch.float32)]
    for before, after in zip(features, module(features), strict=True):
        assert after.shape == before.shape
        assert after.dtype == before.dtype
        assert after.stride() == before.stride()


def test_order_in_memory_changes_no_value():
    module, features = make_module(), make_pyramid()
    tokens = [torch.cat([maps, maps]).permute(0, 1, 3, 4, 2).contiguous() for maps in features]
    slices = [t.permute(0, 1, 4, 2, 3)[:2] for t in tokens]
    time_first = [maps.transpose(0, 1).contiguous().transpose(0, 1) for maps in features]
    expected = module(features)
    for strided in (slices, time_first, [channels_last(maps) for maps in features]):
        for left, right in zip(module(strided), expected, strict=True):
            torch.testing.assert_close(left, right, **TOLERANCE[torch.float64])


def test_a_batch_of_nothing_gives_nothing():
    features = make_pyramid(batch=0)
    outputs, state = make_module().step(features)
    assert [maps.shape for maps in outputs] == [maps.shape for maps in features]
    assert [tuple(s.shape) for s in state] == [(0, 2, 4, *size) for size in SIZES]


def test_clips_of_a_batch_do_not_mix():
    module, features = make_module(), make_pyramid(batch=3)
    together = module(features)
    for b in range(3):
        alone = module([maps[b : b + 1] for maps in features])
        for left, right in zip(alone, together, strict=True):
            torch.testing.assert_close(left, right[b : b + 1], **TOLERANCE[torch.float64])


def test_scales_share_weights_only_when_told():
    features = make_pyramid(sizes=((3, 4),) * 3)
    features = [features[0]] * 3
    first, second, _ = make_module(share_scales=True)(features)
    assert torch.equal(first, second)
    first, second, _ = make_module(share_scales=False)(features)
    assert not torch.equal(first, second)


def test_without_any_layers_features_come_back():
    features = make_pyramid()
    module = make_module(num_short_layers=0, num_gru_layers=0)
    assert all(torch.equal(a, b) for a, b in zip(module(features), features, strict=True))


@pytest.mark.parametrize("residual", ["literal", "gated_residual", "full"])
def test_without_gru_layers_the_output_is_that_of_the_short_term_stage(residual):
    module, (maps, *_) = make_module(residual=residual, num_gru_layers=0), make_pyramid()
    expected = module.blocks[0].short_term(maps.permute(0, 1, 3, 4, 2)).permute(0, 1, 4, 2, 3)
    torch.testing.assert_close(module(make_pyramid())[0], expected, **TOLERANCE[torch.float64])


@pytest.mark.parametrize("num_short_layers", [0, 2])
@pytest.mark.parametrize("residual", ["literal", "gated_residual", "full"])
def test_equation_3_is_read_as_told(residual, num_short_layers):
    module = make_module(residual=residual, num_short_layers=num_short_layers, num_gru_layers=1)
    features = make_pyramid()
    maps, block = features[0], module.blocks[0]
    short = block.short_term(maps.permute(0, 1, 3, 4, 2)).permute(0, 1, 4, 2, 3)
    gru = block.long_term.layers[0]
    if residual == "full":
        expected = gru(short)[0] + maps
    else:
        passed, gated = short[:, :, :4], gru(short[:, :, 4:])[0]
        added = maps if residual == "literal" else maps * (torch.arange(8) >= 4)[:, None, None]
        expected = torch.cat([passed, gated], dim=2) + added
    torch.testing.assert_close(module(features)[0], expected, **TOLERANCE[torch.float64])


def test_gating_every_channel_makes_all_variants_one():
    outputs = []
    for residual in ("literal", "gated_residual", "full"):
        outputs.append(make_module(residual=residual, gru_channels=8)(make_pyramid())[0])
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[1], outputs[2])


def seen(num_frames: int, pairing: str, num_short: int, num_gru: int) -> list[set[int]]:
    """For each frame of the output, the frames of the input that it depends on."""
    partner = partner_frames(num_frames, pairing)
    sets = [{t} for t in range(num_frames)]
    for _ in range(num_short):
        sets = [sets[t] | sets[partner[t]] for t in range(num_frames)]
    if num_gru:
        sets = [set().union(*sets[: t + 1]) for t in range(num_frames)]
    return sets


@pytest.mark.parametrize("pairing", ["half", "adjacent"])
@pytest.mark.parametrize(("num_short", "num_gru"), [(0, 0), (1, 0), (2, 0), (0, 1), (1, 2)])
@pytest.mark.parametrize("num_frames", [1, 4, 5])
def test_a_frame_depends_on_its_partners_and_on_earlier_frames(
    num_frames, num_short, num_gru, pairing
):
    module = make_module(
        num_scales=1, pairing=pairing, num_short_layers=num_short, num_gru_layers=num_gru
    )
    (maps,) = make_pyramid(1, num_frames, sizes=((3, 4),))
    (before,) = module([maps])
    expected = seen(num_frames, pairing, num_short, num_gru)
    for changed in range(num_frames):
        other = maps.clone()
        other[:, changed] += torch.randn_like(other[:, changed])
        moved = (module([other])[0] != before).flatten(2).any(2)[0]
        assert moved.tolist() == [changed in frames for frames in expected]


def typical_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """Root mean square: rounding adds up over the layers, and its largest value says little."""
    return (actual.double() - expected.double()).square().mean().sqrt().item()


def test_autocast_runs_in_bfloat16_and_keeps_the_dtype_of_the_features():
    module = make_module(dtype=torch.float32)
    expected = module(make_pyramid(dtype=torch.float32))
    for dtype in (torch.float32, torch.bfloat16):
        features = [maps.to(dtype).requires_grad_() for maps in make_pyramid(dtype=torch.float32)]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outputs, state = module.step(features)
            module.step(features, state)
        sum(maps.float().square().mean() for maps in outputs).backward()
        for maps, close in zip(outputs, expected, strict=True):
            assert maps.dtype == dtype
            assert typical_error(maps, close) < TOLERANCE[torch.bfloat16]["atol"]
        assert all(carried.dtype == dtype for carried in state)
        assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


@torch.no_grad()
def test_features_in_half_precision_keep_it_in_another_ones_autocast():
    """In any memory format: by their strides alone a copy was made, or was not."""
    module = make_module(dtype=torch.float32)
    for form in (torch.Tensor.contiguous, channels_last):
        features = [form(maps.half()) for maps in make_pyramid(dtype=torch.float32)]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            _, state = module.step(features)
            outputs, state = module.step(features, state)
        assert {maps.dtype for maps in (*outputs, *state)} == {torch.float16}


def test_features_of_another_dtype_are_named():
    with pytest.raises(ValueError, match=r"features\[0\] must be float32 like the module, got"):
        make_module(dtype=torch.float32)(make_pyramid(dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_lower_precision_throughout(dtype):
    module = make_module(dtype=dtype)
    features = make_pyramid(dtype=torch.float32)
    outputs = module([maps.to(dtype) for maps in features])
    expected = module.double()([maps.to(dtype).double() for maps in features])
    for maps, close in zip(outputs, expected, strict=True):
        assert maps.dtype == dtype
        assert typical_error(maps, close) < TOLERANCE[dtype]["atol"]


def test_a_single_frame_leaves_no_parameter_without_a_gradient():
    module = make_module()
    sum(maps.sum() for maps in module(make_pyramid(num_frames=1))).backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_it_compiles_to_one_graph(dynamic):
    module = make_module(num_scales=1, num_gru_layers=1, dtype=torch.float32)
    features = make_pyramid(sizes=SIZES[:1], dtype=torch.float32)
    torch.compiler.reset()
    compiled = torch.compile(module, fullgraph=True, backend="eager", dynamic=dynamic)
    torch.testing.assert_close(compiled(features), module(features), **TOLERANCE[torch.float32])


@torch.no_grad()
def test_a_step_compiles_to_one_graph():
    module = make_module(num_scales=1, num_short_layers=0, dtype=torch.float32)
    features = make_pyramid(sizes=SIZES[:1], dtype=torch.float32)
    torch.compiler.reset()
    compiled = torch.compile(module.step, fullgraph=True, backend="eager")
    _, state = module.step(features)
    actual, expected = compiled(features, state), module.step(features, state)
    torch.testing.assert_close(actual, expected, **TOLERANCE[torch.float32])


ARGUMENTS = {
    "channels": 12,
    "num_scales": 2,
    "window_size": 5,
    "num_heads": 3,
    "ffn_channels": 7,
    "num_short_layers": 1,
    "num_gru_layers": 3,
    "gru_channels": 5,
    "residual": "literal",
    "init": "default",
    "pairing": "adjacent",
    "share_scales": True,
}


def test_config_is_the_arguments_and_survives_json():
    module = MultiScaleTemporalModule(**ARGUMENTS)
    assert module.config == ARGUMENTS
    twin = MultiScaleTemporalModule(**json.loads(json.dumps(module.config)))
    twin.load_state_dict(module.state_dict())
    features = make_pyramid(channels=12, sizes=SIZES[:2], dtype=torch.float32)
    for left, right in zip(module(features), twin(features), strict=True):
        assert torch.equal(left, right)
    assert make_module().config["gru_channels"] is None


WRONG_ARGUMENTS = {
    r"channels must be a whole number of at least 1, got 0": {"channels": 0, "gru_channels": 1},
    r"num_scales must be a whole number of at least 1, got 0": {"num_scales": 0},
    r"window_size must be a whole number of at least 1, got 0": {"window_size": 0},
    r"num_heads must be a whole number of at least 1, got 0": {"num_heads": 0},
    r"num_heads must divide channels=8, got 3": {"num_heads": 3},
    r"ffn_channels must be a whole number of at least 1, got 0": {"ffn_channels": 0},
    r"num_short_layers must be a whole number of at least 0, got -1": {"num_short_layers": -1},
    r"num_gru_layers must be a whole number of at least 0, got -1": {"num_gru_layers": -1},
    r"gru_channels must be a whole number of at least 1, got 0": {"gru_channels": 0},
    r"gru_channels must be a whole number of at least 1, got '8'": {"gru_channels": "8"},
    r"window_size must be a whole number of at least 1, got 4\.0": {"window_size": 4.0},
    r"channels must be at least 2 where half of them are gated": {"channels": 1, "num_heads": 1},
    r"gru_channels must be at most channels=8, got 9": {"gru_channels": 9},
    r"gru_channels must be None or channels=8 with residual='full', got 4": {
        "residual": "full",
        "gru_channels": 4,
    },
    r"residual must be one of \['literal', 'gated_residual', 'full'\], got 'half'": {
        "residual": "half"
    },
    r"init must be one of \['default', 'identity'\], got 'zero'": {"init": "zero"},
    r"pairing must be one of \['half', 'adjacent'\], got 'next'": {"pairing": "next"},
}


@pytest.mark.parametrize(
    ("message", "arguments"), WRONG_ARGUMENTS.items(), ids=range(len(WRONG_ARGUMENTS))
)
def test_wrong_arguments_are_named(message, arguments):
    with pytest.raises(ValueError, match=message):
        make_module(**arguments)


FINE, MIDDLE, COARSE = make_pyramid(dtype=torch.float32)
WRONG_FEATURES = {
    r"features must be 3 maps, got 2": [FINE, MIDDLE],
    r"features\[0\] must be \(B, T >= 1, 8, H >= 1, W >= 1\), got shape \(3, 8, 5, 6\) float32": [
        FINE[0],
        MIDDLE,
        COARSE,
    ],
    r"features\[1\] must be .* got shape \(2, 3, 7, 3, 4\)": [FINE, MIDDLE[:, :, :7], COARSE],
    r"features\[2\] must be .* got shape \(2, 3, 8, 2, 0\)": [FINE, MIDDLE, COARSE[..., :0]],
    r"features\[2\] must have the B and T of features\[0\], \(2, 3\), got shape \(2, 2,": [
        FINE,
        MIDDLE,
        COARSE[:, :2],
    ],
}


@pytest.mark.parametrize(
    ("message", "features"), WRONG_FEATURES.items(), ids=range(len(WRONG_FEATURES))
)
def test_wrong_features_are_named(message, features):
    module = make_module(dtype=torch.float32)
    with pytest.raises(ValueError, match=message):
        module(features)
    with pytest.raises(ValueError, match=message):
        module.step(features)


def test_shapes_are_known_without_values():
    with torch.device("meta"):
        module = make_module(dtype=torch.float32)
        features = [torch.zeros(1, 3, module.channels, 8, 8) for _ in range(module.num_scales)]
        refined = module(features)
        _, state = module.step(features, None)
    assert [maps.shape for maps in refined] == [maps.shape for maps in features]
    assert {tensor.device.type for tensor in (*refined, *state)} == {"meta"}
