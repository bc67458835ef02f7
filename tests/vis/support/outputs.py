"""What tests of `predict`'s outputs share: a model that stops, a tracker that forgets, readers."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from vis.support.stream_model import CLASSES, ColourModel

from vidgap_vis import VideoSegmenter
from vidgap_vis.inference.predict import PredictOptions
from vidgap_vis.trackers import QueryAssociator, QueryOptions
from vidgap_vis.trackers.base import Assignment

QUIET = PredictOptions(progress=False)


OUTPUTS = {"out": "out", "jsonl": "lines.jsonl", "csv": "tracks.csv", "mots": "mots"}


def colours(model: ColourModel | None = None, **options: Any) -> VideoSegmenter:
    return VideoSegmenter(model or ColourModel(), CLASSES, device="cpu", **options)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def shown(path: Path) -> list[tuple[int, int, int]]:
    """Video, frame and track of all masks of a file of lines."""
    return [
        (line["video"], line["frame"], track["id"])
        for line in lines_of(path)
        if line["type"] == "frame"
        for track in line["tracks"]
    ]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class Forgetful(QueryAssociator):
    """Takes track 1 back in frame 4, and ends track 2 there."""

    def __init__(self) -> None:
        super().__init__(QueryOptions())
        self.time = -1

    def update(self, frame: Any) -> Assignment:
        self.time += 1
        found = super().update(frame)
        if self.time != 4:
            return found
        ids = np.where(np.isin(found.ids, [1, 2]), 0, found.ids)
        return Assignment(ids, ended=(2,), retracted=((1, 1, 3),))

    def state_dict(self) -> dict[str, Any]:
        return {"time": self.time, "memory": super().state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.time = int(state["time"])
        super().load_state_dict(state["memory"])


class Stopping(ColourModel):
    """Sends Ctrl-C, or dies, in one of its steps."""

    def __init__(self, at: int, how: Callable[[], object]) -> None:
        super().__init__()
        self.at, self.how = at, how

    def step(self, frames: torch.Tensor, state: list[torch.Tensor] | None) -> Any:
        self.at -= 1
        if self.at == 0:
            self.how()
        return super().step(frames, state)


class KilledError(Exception):
    pass


def die() -> None:
    raise KilledError
