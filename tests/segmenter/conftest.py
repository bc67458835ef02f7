"""Every backend of an op on every device, or the reason why it cannot run there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch

from vidgap_segmenter.ops.ms_deform_attn import obstacles


class BackendOnDevice(NamedTuple):
    """A backend by name, and the device of its tensors."""

    backend: str
    device: str


BACKENDS = [
    BackendOnDevice("reference", "cpu"),
    BackendOnDevice("native", "cpu"),
    BackendOnDevice("native", "cuda"),
]


def skip_unless(wanted: BackendOnDevice) -> BackendOnDevice:
    """Skip a test where `wanted` is not to be had, and say why.

    What should be there (VIDGAP_REQUIRE_NATIVE=1) is never skipped but for want of a GPU.
    """
    if wanted.device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU is visible")
    obstacle = obstacles(torch.device(wanted.device))[wanted.backend]
    if obstacle is not None and os.environ.get("VIDGAP_REQUIRE_NATIVE", "0") != "1":
        pytest.skip(f"{wanted.backend}: {obstacle}")
    return wanted


@pytest.fixture(params=BACKENDS, ids=lambda on: f"{on.backend}-{on.device}")
def on(request: pytest.FixtureRequest) -> BackendOnDevice:
    """Each backend on each device in turn, or the reason why not."""
    return skip_unless(request.param)


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    """Each device with kernels, or the reason why it has none here."""
    return skip_unless(BackendOnDevice("native", request.param)).device


@pytest.fixture
def cpu() -> str:
    """The CPU, for tests of what only it has."""
    return skip_unless(BackendOnDevice("native", "cpu")).device


@pytest.fixture
def poisoned_memory() -> Iterator[None]:
    """Fill new tensors with NaN, so that what a kernel does not write shows."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def threads() -> Iterator[None]:
    """The number of threads is afterwards what it was."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
