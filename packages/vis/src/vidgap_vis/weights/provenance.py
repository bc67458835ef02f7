"""What weights were made from: hashes of files and versions of packages."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import version
from pathlib import Path

from vidgap_vis.errors import InputError

PROVENANCE_FILE = "provenance.json"
"""The file in which a weights folder, or a run's folder, says what it was made from."""


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that compute."""
    names = (
        *("torch", "torchvision", "timm", "accelerate"),
        *("vidgap-augment", "vidgap-temporal", "vidgap-segmenter", "vidgap-vis"),
    )
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal; InputError where it cannot be read."""
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            return digest.hexdigest()
    except OSError as error:
        raise InputError(path, "", f"cannot be read ({error.strerror})") from error
