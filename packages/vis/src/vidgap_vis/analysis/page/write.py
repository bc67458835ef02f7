"""Put the page together, within its bounds."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.resources import files
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from vidgap_vis.analysis.groups import OUTCOMES
from vidgap_vis.analysis.page import charts
from vidgap_vis.analysis.page.notes import left_out, remarks
from vidgap_vis.analysis.page.scripts import as_script
from vidgap_vis.analysis.page.strips import MomentKey, Strips
from vidgap_vis.analysis.results import Analysed
from vidgap_vis.analysis.tables import SHOWN, format_bounds
from vidgap_vis.errors import ConfigError
from vidgap_vis.evaluation import CAUSES, format_percent
from vidgap_vis.files import replacing
from vidgap_vis.formats.youtube_vis import VideoSet

MEGABYTE = 1_000_000

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10")
"""In the summary."""

MEANINGS = {
    "class": "found well, under another class",
    "mask": "the right object with poor masks",
    "association": "good masks, given to the wrong tracks",
    "duplicate": "repeats a better prediction",
    "class and location": "another class, and poor masks",
    "background": "overlaps no truth by as much as 0.1",
    "missed": "a truth that no prediction points to",
}
"""Of the causes."""

LAST_NOTES = 12_000
"""Bytes kept free for notes that are known at the end, each character written as an entity."""


def write_page(
    path: Path,
    truth: VideoSet,
    results: Sequence[Analysed],
    differences: Mapping[str, Any] | None = None,
    *,
    max_mb: float = 10.0,
) -> list[str]:
    """Write the page.

    What does not fit is left out, and the page says so: strips first, then timelines, those of the
    best videos before others.

    Args:
        path: the file, HTML.
        truth: the videos; with a root of the images, strips show frames.
        results: one, or two of the same truth to compare.
        differences: the first results' metrics less the second's, as `compared` has them.
        max_mb: 10**6 bytes that the file may have.

    Returns:
        What a reader must know: what was left out or could not be read, a sentence each.

    Raises:
        ConfigError: not even the tables fit.
    """
    notes = remarks(results)
    bare = len(_rendered(truth, results, differences, [], notes).encode())
    room = int(max_mb * MEGABYTE) - bare - LAST_NOTES
    if room < 0:
        least = (bare + LAST_NOTES) / MEGABYTE
        raise ConfigError("", "--max_mb", f"wanted {least:.2f} or more for these results")
    # How long they are is known before the strips are numbered: no number is longer than this.
    timelines = _fitting(_timelines(results, lambda _: 10**6), room // 2)
    strips = Strips(truth, results, room - sum(map(len, timelines.values())), timelines)
    timelines |= _timelines(results, strips.numbers.get, timelines)
    num_without = len(results[0].data["videos"]) - len(timelines)
    notes += left_out(num_without, strips.left_out, [*strips.faults], max_mb)
    scripts = [*timelines.values(), *strips.scripts]
    with replacing(path) as temporary:
        page = _rendered(truth, results, differences, scripts, notes)
        temporary.write_text(page, encoding="utf-8")
    return notes


def _timelines(
    results: Sequence[Analysed],
    strip_of: Callable[[MomentKey], int | None],
    only: Collection[int] | None = None,
) -> dict[int, str]:
    """Return the script of each video, the worst of the first results first.

    Args:
        results: analysed.
        strip_of: gives the number of a moment's strip, if it has one.
        only: the videos wanted; None: all.
    """
    scripts = {}
    for lines in _joined(results, "videos", "id"):
        video_id = lines[0]["id"]
        if only is not None and video_id not in only:
            continue
        moments = [
            [
                moment | {"strip": strip_of((video_id, which, number))}
                for number, moment in enumerate(line["moments"])
            ]
            for which, line in enumerate(lines)
        ]
        shown = [line | {"moments": own} for line, own in zip(lines, moments, strict=True)]
        scripts[video_id] = as_script(f"video-{video_id}", shown)
    return scripts


def _fitting(scripts: dict[int, str], room: int) -> dict[int, str]:
    """Return the first scripts, as many as there is room for."""
    number = bisect_right([*accumulate(map(len, scripts.values()))], room)
    return dict(islice(scripts.items(), number))


def _rendered(
    truth: VideoSet,
    results: Sequence[Analysed],
    differences: Mapping[str, Any] | None,
    scripts: Sequence[str],
    notes: Sequence[str],
) -> str:
    """Return the page."""
    environment = Environment(
        loader=PackageLoader(__package__, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": format_percent, "bounds": format_bounds}
    folder = files(__package__)
    return environment.get_template("page.html.j2").render(
        causes=CAUSES,
        charts=charts,
        class_rows=_joined(results, "classes", "label"),
        curves=[charts.curve(one.data["thresholds"]) for one in results],
        differences=differences,
        meanings=MEANINGS,
        metrics=METRICS,
        names=Markup(as_script("names", [one.name for one in results])),
        notes=notes,
        oracle_metrics=SHOWN,
        outcomes=OUTCOMES,
        results=results,
        script=Markup((folder / "page.js").read_text(encoding="utf-8")),
        scripts=Markup("".join(scripts)),
        style=Markup((folder / "page.css").read_text(encoding="utf-8")),
        truth=truth,
        videos=_joined(results, "videos", "id"),
    )


def _joined(results: Sequence[Analysed], part: str, key: str) -> list[list[Any]]:
    """Return what each results have of each class or video, in the order of the first ones."""
    known = [{row[key]: row for row in one.data[part]} for one in results]
    return [[rows[name] for rows in known] for name in known[0]]
