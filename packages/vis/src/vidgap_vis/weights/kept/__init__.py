"""The small weights that come with the package, by name; `README.md` beside this file on each."""

from __future__ import annotations

from pathlib import Path

from vidgap_segmenter.weights import CONFIG_FILE

FOLDER = Path(__file__).parent


def kept_weights() -> dict[str, Path]:
    """Return the weights folders of the package by name, in order.

    They are without their backbone, which is that of `vidgap-vis[lite0]` (see `slim`).
    """
    return {path.parent.name: path.parent for path in sorted(FOLDER.glob(f"*/{CONFIG_FILE}"))}
