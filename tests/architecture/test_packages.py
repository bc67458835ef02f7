"""The import table: which package knows which, and no circle in any of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from architecture.imports import (
    PACKAGES,
    ROOT,
    circles,
    graph,
    imported,
    package_folder,
    sources,
    top_level,
)

FORBIDDEN = {
    "augment": {"vidgap_temporal", "vidgap_segmenter", "vidgap_vis"},
    "temporal": {"torchvision", "vidgap_augment", "vidgap_segmenter", "vidgap_vis"},
    "segmenter": {"vidgap_augment", "vidgap_temporal", "vidgap_vis"},
    "vis": set[str](),
}
"""What a package must not import, beside the packages nobody may (below)."""

FORBIDDEN_EVERYWHERE = {"detectron2", "mmcv", "mmdet", "mmengine", "ultralytics", "albumentations"}

BENCH_ROOMS = ("harness", "ops", "networks", "augment", "evaluation", "trackers")


@pytest.mark.parametrize("package", PACKAGES)
def test_package_imports_only_what_the_table_allows(package: str) -> None:
    for path in sources(package_folder(package)):
        found = top_level(imported(path)) & (FORBIDDEN[package] | FORBIDDEN_EVERYWHERE)
        assert not found, f"{path.relative_to(ROOT)} imports {sorted(found)}"


@pytest.mark.parametrize("package", ["augment", "temporal", "segmenter"])
def test_tests_of_a_package_import_that_package_alone(package: str) -> None:
    for path in sources(ROOT / "tests" / package):
        others = {f"vidgap_{other}" for other in PACKAGES if other != package}
        found = top_level(imported(path)) & others
        assert not found, f"{path.relative_to(ROOT)} imports {sorted(found)}"


@pytest.mark.parametrize("folder", [*map(package_folder, PACKAGES), ROOT / "bench"], ids=str)
def test_nothing_imports_in_a_circle(folder: Path) -> None:
    assert circles(graph(folder)) == []


def test_a_circle_would_be_found() -> None:
    edges = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": set(), "f": {"f"}}
    assert circles({name: frozenset(others) for name, others in edges.items()}) == [["a", "b", "c"]]


@pytest.mark.parametrize("room", BENCH_ROOMS)
def test_rooms_of_benchmarks_share_the_harness_alone(room: str) -> None:
    for path in sources(ROOT / "bench" / room):
        for name in imported(path):
            parts = name.split(".")
            if parts[0] == "bench" and len(parts) > 1 and parts[1] in BENCH_ROOMS:
                allowed = parts[1] in ("harness", room)
                assert allowed, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("package", PACKAGES)
def test_package_is_typed(package: str) -> None:
    assert (package_folder(package) / "py.typed").exists()
