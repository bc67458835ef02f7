"""The import rules: who may import whom, and where the joints are."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("augment", "temporal", "segmenter", "vis")

FORBIDDEN = {
    "augment": {"vidgap_temporal", "vidgap_segmenter", "vidgap_vis"},
    "temporal": {"torchvision", "vidgap_augment", "vidgap_segmenter", "vidgap_vis"},
    "segmenter": {"vidgap_augment", "vidgap_temporal", "vidgap_vis"},
    "vis": set[str](),
}
"""What a package must not import, beside the packages nobody may (below)."""

FORBIDDEN_EVERYWHERE = {"detectron2", "mmcv", "mmdet", "mmengine", "ultralytics", "albumentations"}


def imported_modules(path: Path) -> set[str]:
    """Return every absolute module name that a Python file imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
    return names


def top_level(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def sources(package: str) -> list[Path]:
    files = sorted((ROOT / "packages" / package / "src").rglob("*.py"))
    assert files, f"no sources found for {package}"
    return files


@pytest.mark.parametrize("package", PACKAGES)
def test_package_imports_only_what_the_table_allows(package: str) -> None:
    for path in sources(package):
        found = top_level(imported_modules(path)) & (FORBIDDEN[package] | FORBIDDEN_EVERYWHERE)
        assert not found, f"{path.relative_to(ROOT)} imports {sorted(found)}"


@pytest.mark.parametrize("package", ["augment", "temporal", "segmenter"])
def test_tests_of_a_package_import_that_package_alone(package: str) -> None:
    for path in sorted((ROOT / "tests" / package).rglob("*.py")):
        others = {f"vidgap_{other}" for other in PACKAGES if other != package}
        found = top_level(imported_modules(path)) & others
        assert not found, f"{path.relative_to(ROOT)} imports {sorted(found)}"


def test_only_build_joins_the_three_packages() -> None:
    joined = {f"vidgap_{name}" for name in ("augment", "temporal", "segmenter")}
    for path in sources("vis"):
        if joined <= top_level(imported_modules(path)):
            assert path.name == "build.py", f"{path.relative_to(ROOT)} joins all packages"


def test_only_build_and_doctor_import_the_temporal_package() -> None:
    allowed = {"build.py", "doctor.py"}
    for path in sources("vis"):
        if "vidgap_temporal" in top_level(imported_modules(path)):
            assert path.name in allowed, f"{path.relative_to(ROOT)} imports vidgap_temporal"


def test_configs_stop_at_build_and_the_stages() -> None:
    """Who may import the configuration's classes: what reads them, and what runs a stage."""
    allowed = {"build.py", "pretrain.py", "finetune.py", "train.py"}
    allowed |= {"arguments.py", "cli.py", "commands.py"}
    allowed_folders = {"config", "training", "demo"}
    for path in sources("vis"):
        if any(name.startswith("vidgap_vis.config") for name in imported_modules(path)):
            place = path.name in allowed or path.parent.name in allowed_folders
            assert place, f"{path.relative_to(ROOT)} imports the configuration"


@pytest.mark.parametrize("package", PACKAGES)
def test_package_is_typed(package: str) -> None:
    assert (ROOT / "packages" / package / "src" / f"vidgap_{package}" / "py.typed").exists()
