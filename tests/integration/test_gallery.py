"""The pictures of docs/gallery.md are those that its script makes now."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
from tolerances import GALLERY

DOCS = Path(__file__).parents[2] / "docs"


def test_the_gallery_is_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("make_gallery", DOCS / "make_gallery.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "IMAGES", tmp_path)
    module.operations()
    module.arms()
    module.pipelines()
    page = (DOCS / "gallery.md").read_text(encoding="utf-8")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(path.name for path in (DOCS / "images").glob("gallery_*.jpg"))
    for name in names:
        assert f"images/{name}" in page
        kept, made = (cv2.imread(str(folder / name)) for folder in (DOCS / "images", tmp_path))
        assert kept.shape == made.shape
        assert np.abs(kept.astype(int) - made).mean() < GALLERY
