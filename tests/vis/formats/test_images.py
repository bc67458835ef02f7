"""Image files: decoded to RGB whatever they hold, and refused by name."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from vidgap_vis.errors import InputError
from vidgap_vis.formats.images import decode_file, read_image

SIZE = (20, 30)


@pytest.fixture
def pixels() -> np.ndarray:
    """A smooth picture, (20, 30, 3) uint8, RGB."""
    rows, columns = np.mgrid[:20, :30]
    return np.stack([rows * 10, columns * 8, rows + columns], axis=-1).astype(np.uint8)


def save(path: Path, pixels: np.ndarray) -> bytes:
    assert cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    return path.read_bytes()


@pytest.mark.parametrize(("suffix", "error"), [("png", 0), ("jpg", 12), ("webp", 12)])
def test_pictures_come_as_rgb(tmp_path: Path, pixels: np.ndarray, suffix: str, error: int) -> None:
    save(tmp_path / f"a.{suffix}", pixels)
    image = read_image(tmp_path, f"a.{suffix}", SIZE)
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - pixels).mean() <= error


@pytest.mark.parametrize("name", ["grey.png", "grey.jpg", "alpha.png", "deep.png"])
def test_other_kinds_of_pictures_become_rgb_bytes(
    tmp_path: Path, pixels: np.ndarray, name: str
) -> None:
    grey = pixels[..., 0]
    alpha = np.dstack([grey, grey, grey, np.full_like(grey, 99)])
    content = {"alpha.png": alpha, "deep.png": grey.astype(np.uint16) * 257}.get(name, grey)
    assert cv2.imwrite(str(tmp_path / name), content)
    image = read_image(tmp_path, name, SIZE)
    assert image.shape == (*SIZE, 3)
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - grey[..., None]).max() <= 3


def test_a_turned_photo_is_turned_upright(tmp_path: Path, pixels: np.ndarray) -> None:
    jpeg = save(tmp_path / "a.jpg", pixels)
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"  # orientation 6, big endian
    exif = b"Exif\0\0MM\x00\x2a\x00\x00\x00\x08\x00\x01" + entry + b"\0\0\0\0"
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (tmp_path / "a.jpg").write_bytes(jpeg[:2] + segment + jpeg[2:])
    assert read_image(tmp_path, "a.jpg", (30, 20)).shape == (30, 20, 3)
    with pytest.raises(InputError, match=r"height x width must be 20x30 as annotated, got 30x20"):
        read_image(tmp_path, "a.jpg", SIZE)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.6], ids=str)
def test_half_a_file_does_not_decode(
    tmp_path: Path, pixels: np.ndarray, suffix: str, kept: float
) -> None:
    path = tmp_path / f"a.{suffix}"
    data = save(path, pixels)
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(InputError, match=rf"a\.{suffix}: the image does not decode \("):
        read_image(tmp_path, f"a.{suffix}", SIZE)


def test_faults_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(InputError, match=r"text\.jpg: .* does not decode \(of no known format"):
        read_image(tmp_path, "text.jpg", SIZE)
    with pytest.raises(InputError, match=r"gone\.jpg: no such image file"):
        read_image(tmp_path, "gone.jpg", SIZE)
    with pytest.raises(InputError, match=r"folder\.jpg: cannot be read \(Is a directory\)"):
        decode_file(tmp_path / "folder.jpg")


def test_a_link_may_lead_about_the_root_but_not_out_of_it(
    tmp_path: Path, pixels: np.ndarray
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    save(tmp_path / "secret.png", pixels)
    save(root / "real.png", pixels)
    (root / "inside.png").symlink_to("real.png")
    (root / "outside.png").symlink_to(tmp_path / "secret.png")
    (root / "loop.png").symlink_to("loop.png")
    (tmp_path / "linked_root").symlink_to(root)
    assert read_image(tmp_path / "linked_root", "inside.png", SIZE).shape == (*SIZE, 3)
    with pytest.raises(InputError, match=r"outside\.png: leaves the root of the images"):
        read_image(root, "outside.png", SIZE)
    with pytest.raises(InputError, match=r"loop\.png: .*(a loop of links|symbolic links)"):
        read_image(root, "loop.png", SIZE)
