"""How far a run came that ended early: where its lines count, and the state to go on with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidgap_vis.errors import ConfigError, InputError, reason_of
from vidgap_vis.inference.rounds import Resumed
from vidgap_vis.inference.stream import Stream


class Progress:
    """How far a run came whose lines are in a file.

    Attributes:
        offset: bytes of the file that count.
        number: the video that was not at its end.
        num_frames: of it, how many had been shown.
        alive: its tracks that had been listed and might be again.
        state: of the network and the tracker after them.

    Args:
        path: the file.
        kind: of the run.

    Raises:
        ConfigError: there is nothing to go on from, or the run was of another kind.
        InputError: it is damaged.
    """

    def __init__(self, path: Path, kind: Mapping[str, Any]) -> None:
        beside = state_path(path)
        if not beside.is_file():
            raise ConfigError("", "--resume", f"nothing to go on from ({beside} is missing)")
        try:
            found = torch.load(beside, weights_only=True)
            self.offset, self.number = int(found["offset"]), int(found["number"])
            self.num_frames, self.alive = int(found["num_frames"]), tuple(found["alive"])
            self.state: dict[str, Any] = found["state"]
            before = dict(found["kind"])
        except Exception as error:  # whatever a damaged archive raises
            raise InputError(beside, "", f"damaged ({reason_of(error)})") from error
        for name, value in kind.items():
            if name not in before:
                message = f"was written by another version, which says nothing of {name}"
                raise InputError(beside, "", message)
            was, now = before[name], value
            if was != now:
                if isinstance(was, list) and isinstance(now, list):  # the first that differ
                    was, now = next((a, b) for a, b in zip_longest(was, now) if a != b)
                message = f"{name} was {was!r} in the run that ended, is {now!r}"
                raise ConfigError("", "--resume", message)
        if not path.is_file() or path.stat().st_size < self.offset:
            raise InputError(path, "", f"shorter than the {self.offset} bytes that were written")
        self.path = path

    def into(self, video: Stream, device: torch.device) -> Resumed:
        """Give a new stream the tracker's state; return the rest.

        Raises:
            InputError: the state is of another tracker or network.
        """
        try:
            video.tracker.load_state_dict(from_tensors(self.state["tracker"]))
            network = self.state["network"]
            if network is not None:
                network = [part.to(device) for part in network]
            return Resumed(self.num_frames, network, tuple(self.state["shared"]), self.alive)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            message = f"is not of this model and tracker ({reason_of(error)})"
            raise InputError(state_path(self.path), "", message) from error

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield the lines that count.

        Raises:
            InputError: one is broken.
        """
        read = 0
        with self.path.open("rb") as file:
            for number, text in enumerate(file, 1):
                read += len(text)
                if read > self.offset:
                    return
                try:
                    yield json.loads(text)
                except ValueError as error:
                    raise InputError(self.path, f"line {number}", "is no JSON") from error


def state_path(path: Path) -> Path:
    """Return where a run's state lies, beside its lines."""
    return path.with_name(f"{path.name}.state")


def as_tensors(value: Any) -> Any:
    """Return nested values as `torch.load` reads them safely: tensors on the CPU for arrays."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, np.ndarray):
        if value.dtype == np.uint64:  # bits, of which torch cannot do much, but keep them
            return {"uint64": torch.from_numpy(value.view(np.int64).copy())}
        return {"array": torch.from_numpy(value.copy())}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {name: as_tensors(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [as_tensors(part) for part in value]
    return value


def from_tensors(value: Any) -> Any:
    """Undo `as_tensors`, but for tuples, which are lists."""
    if isinstance(value, Mapping):
        if value.keys() == {"array"}:
            return value["array"].numpy()
        if value.keys() == {"uint64"}:
            return value["uint64"].numpy().view(np.uint64)
        return {name: from_tensors(part) for name, part in value.items()}
    if isinstance(value, list):
        return [from_tensors(part) for part in value]
    return value
