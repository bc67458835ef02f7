"""`--tracker` and the options of trackers, as several commands have them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, get_args

from vidgap_vis.cli.parser import Parser
from vidgap_vis.config.tracking import TrackerConfig, TrackerName


@dataclass(frozen=True)
class TrackerOptions:
    """Flags of the tracker.

    Attributes:
        tracker: options of the tracker.
    """

    tracker: TrackerConfig = field(default_factory=TrackerConfig)


def add_tracker_flags(parser: Parser, default: str) -> None:
    """Add them; `default` says what is taken without."""
    parser.add_argument(
        "--tracker", choices=get_args(TrackerName), help=f"tracker; by default {default}"
    )
    parser.add_section(TrackerOptions, file=False)


def given_tracker(parser: Parser, name: str | None) -> dict[str, Any]:
    """Return what the flags say: `name`, and options of it; nothing where they say nothing."""
    given = parser.configuration(TrackerOptions).tracker
    options = {key: value for key, value in vars(given).items() if value is not None}
    return options if name is None else options | {"name": name}
