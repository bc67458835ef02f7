"""How weights are to be used: sections of a weights folder that other software may ignore."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vidgap_segmenter.weights import CONFIG_FILE, read_config
from vidgap_vis.errors import InputError, reason_of
from vidgap_vis.trackers.online import MAX_ENDED

TRACKER, TEST = "tracker", "test"
"""The sections."""


@dataclass(frozen=True)
class Test:
    """How frames and results are to be, as the weights' data set is tested.

    Attributes:
        short_edge: frames are resized to it; None: as they come.
        max_size: the long edge does not exceed this then; None: not said.
        top_k: pairs of a track and a class that a video lists; None: not said.
    """

    __test__ = False  # no test case, whatever pytest makes of the name

    short_edge: int | None = None
    max_size: int | None = None
    top_k: int | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{TEST}.{name}: wanted a whole number above 0, got {value!r}")
        if self.top_k is not None and self.top_k > MAX_ENDED:
            raise ValueError(f"{TEST}.top_k: wanted {MAX_ENDED} at most, got {self.top_k}")


@dataclass(frozen=True)
class Usage:
    """Both sections.

    Attributes:
        tracker: `name` of a tracker and options of it (`by_name.tracker`); None: what fits.
        test: sizes.
    """

    tracker: Mapping[str, Any] | None = None
    test: Test = Test()

    def write(self, folder: Path) -> None:
        """Add the sections to a folder's `config.json`."""
        path = folder / CONFIG_FILE
        config = json.loads(path.read_text(encoding="utf-8"))
        config |= {TRACKER: self.tracker and dict(self.tracker), TEST: asdict(self.test)}
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: str | Path) -> Usage:
        """Return how the weights of a folder are to be used.

        Raises:
            InputError: the folder holds none, or a section is no section.
        """
        path = Path(folder) / CONFIG_FILE
        if not path.is_file():
            raise InputError(folder, "", f"not a weights folder ({CONFIG_FILE} is missing)")
        try:
            config = read_config(folder)
            tracker, test = config.get(TRACKER), config.get(TEST) or {}
            if not isinstance(tracker, Mapping | None):
                raise ValueError(f"{TRACKER}: wanted a section or null, got {tracker!r}")
            return cls(tracker, Test(**test))
        except (TypeError, ValueError) as error:
            raise InputError(path, "", reason_of(error)) from error
