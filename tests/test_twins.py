"""What two packages must both have, because neither may import the other, is the same."""

from __future__ import annotations

from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[1] / "packages"


def text_of(package: str, name: str) -> str:
    path = PACKAGES / package / f"src/vidgap_{package}/ops/{name}"
    return path.read_text(encoding="utf-8").replace(package, "PACKAGE")


def test_backends_are_chosen_alike() -> None:
    one, other = (text_of(package, "backend.py") for package in ("segmenter", "temporal"))
    assert one == other.replace('"native", "triton"]', '"native"]')


def test_extensions_are_found_alike() -> None:
    one, other = (text_of(package, "extension.py") for package in ("segmenter", "temporal"))
    one, _, _ = one.partition("\n\n\ndef built_for()")
    assert one.replace("a C++17 compiler", "nvcc") == other.rstrip("\n")


@pytest.mark.parametrize("package", ["segmenter", "temporal"])
def test_each_builds_from_the_shared_sources(package: str) -> None:
    link = PACKAGES / package / "csrc"
    assert link.is_symlink()
    assert link.resolve() == PACKAGES.parent / "csrc"
