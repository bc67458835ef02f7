"""Where an op can be computed: every backend on every device, or the reason why not."""

from __future__ import annotations

import os
from typing import NamedTuple

import pytest
import torch

from vidgap_segmenter.ops.ms_deform_attn import obstacles


class Place(NamedTuple):
    """A backend by name, and the device that its tensors lie on."""

    backend: str
    device: str


PLACES = [Place("reference", "cpu"), Place("native", "cpu"), Place("native", "cuda")]


def skip_unless(wanted: Place) -> Place:
    """Skip a test where `wanted` is not to be had, and say why.

    What should be there (VIDGAP_REQUIRE_NATIVE=1) is never skipped but for want of a GPU.
    """
    if wanted.device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU is visible")
    obstacle = obstacles(torch.device(wanted.device))[wanted.backend]
    if obstacle is not None and os.environ.get("VIDGAP_REQUIRE_NATIVE", "0") != "1":
        pytest.skip(f"{wanted.backend}: {obstacle}")
    return wanted


@pytest.fixture(params=PLACES, ids=lambda place: f"{place.backend}-{place.device}")
def place(request: pytest.FixtureRequest) -> Place:
    """Each place in turn, or the reason why not."""
    return skip_unless(request.param)
