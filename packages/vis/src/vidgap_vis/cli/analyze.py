"""`vidgap analyze`."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path

from vidgap_vis.cli.command import Command
from vidgap_vis.cli.evaluate import share, write_metrics
from vidgap_vis.cli.parser import Parser, whole
from vidgap_vis.errors import ConfigError, InputError
from vidgap_vis.files import check_output, make_parent

MOST_MEGABYTES = 1000
"""Of a page; browsers open no larger ones with pleasure."""


class Analyze(Command):
    """`vidgap analyze`."""

    summary = "why results lose AP: a cause for every error, what each costs, and where to see it"

    def add_arguments(self, parser: Parser) -> None:
        parser.add_argument("results", metavar="RESULTS", type=Path, help="results JSON")
        parser.add_argument("--gt", type=Path, required=True, help="annotations with truth")
        parser.add_argument("--against", type=Path, help="other results JSON, shown beside them")
        parser.add_argument("--json", type=Path, help="write everything here, 0..1")
        parser.add_argument(
            "--out", type=Path, help="write one HTML page, which needs nothing else"
        )
        parser.add_argument("--figures", type=Path, help="write strips of frames here, as PNG")
        parser.add_argument(
            "--images",
            type=Path,
            help="folder of the frames; without it strips show masks alone",
        )
        parser.add_argument(
            "--videos",
            type=_choice,
            default="worst",
            help="of --figures: worst, best, or ids with commas between them (worst)",
        )
        parser.add_argument(
            "--num_videos", type=whole(1), default=4, help="of --figures with worst or best (4)"
        )
        parser.add_argument(
            "--max_mb", type=_megabytes, default=10.0, help="of the page at most (10)"
        )
        parser.add_argument(
            "--min_score",
            type=share,
            default=0.1,
            help="of the weakest track in timelines, strips and their identity switches (0.1)",
        )

    def run(self, options: Namespace) -> int:
        from vidgap_vis.analysis import tables, write_figures, write_page
        from vidgap_vis.analysis.figures import chosen_videos, figure_path
        from vidgap_vis.analysis.page.notes import unreadable
        from vidgap_vis.analysis.results import analysed
        from vidgap_vis.analysis.tables import difference_table
        from vidgap_vis.formats import read_youtube_vis

        paths = [options.results, *([options.against] if options.against else [])]
        _check(options, paths)
        truth = read_youtube_vis(options.gt, options.images)
        notes: list[str] = []
        with analysed(paths, truth, options.min_score) as (results, gains):
            lines = []
            if options.figures is not None:
                lines = chosen_videos(results[0], options.videos, options.num_videos)
                for line in lines:
                    path = figure_path(options.figures, line)
                    check_output("--figures", path, _inputs(options, paths))
            found = {str(path): one.data for path, one in zip(paths, results, strict=True)}
            more = {} if gains is None else {"difference": gains}
            write_metrics(options.json, found | more)
            if options.out is not None:
                notes += write_page(options.out, truth, results, gains, max_mb=options.max_mb)
            if options.figures is not None:
                notes += unreadable(write_figures(options.figures, truth, results, lines))
        for name, data in found.items():
            print("\n\n".join(tables(name, data)), end="\n\n")
        if gains is not None:
            print(difference_table(results[0].name, results[1].name, gains), end="\n\n")
        for note in dict.fromkeys(notes):
            print(note)
        return 0


def _check(options: Namespace, paths: Sequence[Path]) -> None:
    """Refuse what would fail after the work is done."""
    if len({path.resolve() for path in paths}) < len(paths):
        raise ConfigError("", "--against", "wanted another file than RESULTS")
    for path in paths:
        if path.exists() and not path.is_file():
            raise InputError(path, "", "a regular file is wanted: it is read twice")
    outputs = {"--json": options.json, "--out": options.out}
    written = {flag: path for flag, path in outputs.items() if path is not None}
    for flag, path in written.items():
        check_output(flag, path, _inputs(options, paths))
    if len({path.resolve() for path in written.values()}) < len(written):
        raise ConfigError("", "--out", "wanted another file than --json")
    if options.figures is not None and options.figures.is_file():
        raise InputError(options.figures, "", "a folder is wanted here, got a file")
    for path in (*written.values(), *([options.figures / "x"] if options.figures else [])):
        make_parent(path)


def _inputs(options: Namespace, paths: Sequence[Path]) -> list[Path]:
    images = [] if options.images is None else [options.images]
    return [*paths, options.gt, *images]


def _choice(text: str) -> str | list[int]:
    """Read "worst", "best", or ids with commas between them."""
    if text in ("worst", "best"):
        return text
    if not re.fullmatch(r"-?\d+(,-?\d+)*", text):
        raise ArgumentTypeError(f"wanted worst, best, or ids as 3,17, got {text!r}")
    return [int(part) for part in text.split(",")]


def _megabytes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= MOST_MEGABYTES:
        message = f"wanted a number above 0, {MOST_MEGABYTES} at most, got {text!r}"
        raise ArgumentTypeError(message)
    return value
