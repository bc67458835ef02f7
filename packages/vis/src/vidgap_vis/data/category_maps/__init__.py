"""COCO's categories as those of video data sets, category id to category id (CTVIS, `data/`)."""

from __future__ import annotations

import json
from importlib.resources import files


def coco_to(name: str) -> dict[int, int]:
    """Return the category of a data set's videos that each of COCO's stands for, by id.

    Categories of COCO that it lacks have none there.

    Args:
        name: `ytvis_2019`, `ytvis_2021` or `ovis`.
    """
    text = files(__name__).joinpath(f"coco_to_{name}.json").read_text(encoding="utf-8")
    return {int(source): target for source, target in json.loads(text).items()}
