"""Files that two packages both need, as neither may import the other, are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[2] / "packages"


@pytest.mark.parametrize("name", ["backend.py", "extension.py"])
def test_backends_are_chosen_and_extensions_found_alike(name: str) -> None:
    one, other = (
        (PACKAGES / package / f"src/vidgap_{package}/ops/{name}").read_bytes()
        for package in ("segmenter", "temporal")
    )
    assert one == other


@pytest.mark.parametrize("package", ["segmenter", "temporal"])
def test_each_builds_from_the_shared_sources(package: str) -> None:
    link = PACKAGES / package / "csrc"
    assert link.is_symlink()
    assert link.resolve() == PACKAGES.parent / "csrc"
