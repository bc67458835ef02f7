"""Image files as arrays, with every fault named."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from vidgap_vis.errors import InputError
from vidgap_vis.formats.rle import Size

Picture = NDArray[np.uint8]
"""An image, a frame or what is drawn from them, (H, W, 3), RGB."""

_JPEG = [
    *(cv2.IMWRITE_JPEG_QUALITY, 95),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
]
"""Colours at full resolution: the spots that tell look-alikes apart are a few pixels wide."""

# What Pillow's decoders raise on broken data, in releases to date.
_DECODER_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    struct.error,
    IndexError,
    KeyError,
    Image.DecompressionBombError,
)


def read_image(root: Path | None, file_name: str, size: Size) -> Picture:
    """Read `file_name` under `root` as RGB, (H, W, 3) uint8, rotated as its EXIF says.

    Args:
        root: the folder that no file may lie outside of, links followed.
        file_name: relative to `root`.
        size: the (H, W) that the annotations declare.

    Raises:
        InputError: no root was given, or the file is missing, outside, broken or of another size.
    """
    if root is None:
        raise InputError(file_name, "", "cannot be read: no root of the images was given")
    path = resolve_inside(root, file_name)
    image = decode_file(path)
    got = (image.shape[0], image.shape[1])
    if got != size:
        raise InputError(
            path,
            "",
            f"height x width must be {size[0]}x{size[1]} as annotated, got {got[0]}x{got[1]}",
        )
    return image


def resolve_inside(root: Path, file_name: str) -> Path:
    """Return the path of a file under `root`; InputError where links lead out of it."""
    path = root / file_name
    try:
        inside = path.resolve().is_relative_to(root.resolve())
    except RuntimeError:  # before Python 3.13; from then on it is the opening that fails
        raise InputError(path, "", "cannot be read (a loop of links)") from None
    if not inside:
        raise InputError(path, "", f"leaves the root of the images {root}")
    return path


def decode_file(path: Path) -> Picture:
    """Decode a picture of any format that Pillow reads: RGB, (H, W, 3) uint8, rotated by its EXIF.

    16-bit grey is scaled to 8 bits, alpha is dropped, an animation gives its first picture.

    Raises:
        InputError: the file is missing or unreadable, or what is in it does not decode as a whole.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(path, "", "no such image file") from None
    except OSError as error:
        raise InputError(path, "", f"cannot be read ({error.strerror})") from None
    if not data:
        raise InputError(path, "", "the image does not decode (the file is empty)")
    try:
        return _decode(data)
    except UnidentifiedImageError:
        raise InputError(path, "", "the image does not decode (of no known format)") from None
    except _DECODER_ERRORS as error:
        raise InputError(path, "", f"the image does not decode ({error})") from None


def _decode(data: bytes) -> Picture:
    with Image.open(BytesIO(data)) as image:
        image.load()
        upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):  # Pillow would cut 16 bits off at 255
        grey = np.asarray(upright).astype(np.int64).clip(0, 65535) >> 8
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=-1)
    return np.array(upright.convert("RGB"))


def write_picture(path: Path, picture: Picture) -> None:
    """Write an RGB picture (H, W, 3) as JPEG."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), _JPEG)
    path.write_bytes(data.tobytes())
