"""Convert others' weights into a weights folder, checked before it is written, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from vidgap_segmenter import LoadReport, Mask2Former, WeightsMismatch, convert
from vidgap_segmenter.clip_segmenter import ClipSegmenter
from vidgap_segmenter.mask_dino import Anchors
from vidgap_segmenter.weights import CONFIG_FILE, WEIGHTS_FILE, hub
from vidgap_vis.classes import ClassList
from vidgap_vis.errors import ConfigError, InputError, WeightsError
from vidgap_vis.files import check_keeps_source, check_replaceable, replacing, replacing_folder
from vidgap_vis.trackers import by_name
from vidgap_vis.trackers.heads import LearnedHead, check_head
from vidgap_vis.weights.class_names import NamedClasses, name_classes
from vidgap_vis.weights.folder import load, save
from vidgap_vis.weights.heads import HEAD_FILE, load_head
from vidgap_vis.weights.kept import kept_weights
from vidgap_vis.weights.official_heads.files import PREFIXES, official_names, read_head, title_of
from vidgap_vis.weights.provenance import sha256, versions
from vidgap_vis.weights.usage import Usage

LARGEST_DIFFERENCE = 1e-6
"""Standard deviations that float64 networks of the same weights may differ by: 3e-14 is usual."""

CLASSES_SHOWN = 5

Format = Literal["official", "hugging_face"]


@dataclass(frozen=True)
class ConvertOptions:
    """How weights are converted.

    Attributes:
        classes: what the network's classes mean; None: see `class_names.name_classes`.
        num_classes: the class head starts afresh where the source has another number.
        leave_out: prefixes of the source's names that may be unknown.
        num_heads: attention heads, which the weights do not determine.
        architecture: the network, where several have such weights: None is the one on frames.
        num_queries: of a Mask DINO, likewise; None: the official configuration's.
        anchors: of a Mask DINO, likewise; official configurations of one shape have several.
        check: compare with Hugging Face's network where that is possible.
        overwrite: replace what is at the output.
        tracker: its `name`, and options of it, for the folder's section `tracker`; None: the one
            that the source's head is for, or none.
    """

    classes: ClassList | None = None
    num_classes: int | None = None
    leave_out: Sequence[str] = ()
    num_heads: int | None = None
    architecture: str | None = None
    num_queries: int | None = None
    anchors: Anchors | None = None
    check: bool = True
    overwrite: bool = False
    tracker: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ConvertedWeights:
    """Others' weights in our networks.

    Attributes:
        model: in eval mode.
        named: its classes.
        head: what the source has beside the segmenter.
        usage: the tracker that was chosen, or that the head is for; None: as the parts suggest.
        origin: whose weights they are.
        report: what was done with each weight, a headline and rows.
        same_classes: whether the class head is the source's.
    """

    model: ClipSegmenter
    named: NamedClasses
    head: LearnedHead | None
    usage: Usage | None
    origin: str
    report: str
    same_classes: bool


def converted(source: Path, options: ConvertOptions) -> ConvertedWeights:
    """Read a source (see `vidgap_segmenter.convert.read`) into our networks.

    A class head that starts afresh is drawn from seed 0.

    Raises:
        InputError: the source is broken, or does not fit (`WeightsError`).
        ConfigError: the tracker, or another number of classes, does not fit the source.
    """
    try:
        found = convert.read(
            source,
            num_heads=options.num_heads,
            aside=PREFIXES,
            architecture=options.architecture,
        )
    except ValueError as error:
        raise InputError("", "", str(error)) from error
    model, fit = _build(found, source, options)
    head = _head(found, source, model, options)
    usage = _usage(model, head, options)
    source_classes = found.settings.get("num_classes")
    named = name_classes(model.num_classes, options.classes, found.class_names, source_classes)
    report = found.describe(model, fit)
    if head is not None:
        report += f"\n{title_of(head)}: {len(found.aside)} weights taken over"
    same = model.num_classes == source_classes
    return ConvertedWeights(model, named, head, usage, found.origin, report, same)


def convert_weights(source: str | Path, out: Path, options: ConvertOptions) -> str:
    """Write the weights folder `out` of a source.

    Where the source has the head of a learned tracker, the folder gets the sections `head` and
    `tracker`.

    Args:
        source: a file or folder, as `converted` reads it, or a repository of the Hugging Face Hub.
        out: the folder.
        options: see `ConvertOptions`.

    Returns:
        A report of several lines on what was done with each weight.

    Raises:
        InputError: as `converted`; or the source differs from Hugging Face's network, or cannot be
            fetched, or the output is not free. Nothing is written.
        ConfigError: as `converted`.
    """
    check_replaceable(out, overwrite=options.overwrite)
    path = fetched(source)
    made = converted(path, options)
    check_keeps_source(out, [path, *convert.files(path)])
    folder = path if path.is_dir() and made.same_classes else None
    parity = _parity(made.model, folder, path) if options.check else "no check, as asked"
    provenance = {
        "stage": "convert",
        "source": path.name if Path(source).exists() else str(source),
        "origin": made.origin,
        "sha256": {file.name: sha256(file) for file in convert.files(path)},
        "report": made.report.splitlines(),
        "parity": parity,
        "versions": versions(),
    }
    save(out, made.model, made.named.classes, provenance, made.usage, made.head)
    names = [info.name for info in made.named.classes]
    shown = ", ".join(names if len(names) <= CLASSES_SHOWN else [*names[:CLASSES_SHOWN], "..."])
    lines = [made.report, f"classes: {shown} ({made.named.origin})"]
    if made.usage is not None and made.usage.tracker is not None:
        lines.append("tracker: " + ", ".join(f"{k}={v}" for k, v in made.usage.tracker.items()))
    return "\n".join([*lines, parity, str(out)])


def fetched(source: str | Path) -> Path:
    """Return a path itself, the folder of kept weights by name, or of a repository `user/name`.

    Files and weights folders that exist are never looked for elsewhere; other folders, as of data
    that are called like kept weights, do not count.

    Raises:
        InputError: there is nothing of that name, or the repository of the Hugging Face Hub cannot
            be fetched.
    """
    kept = kept_weights()
    is_there = Path(source).is_file() or (Path(source) / CONFIG_FILE).is_file()
    if str(source) in kept and not is_there:
        return kept[str(source)]
    try:
        path = hub.resolve(source)
    except FileNotFoundError as error:
        raise InputError(source, "", str(error)) from error
    if not path.exists():
        names = " or ".join(kept)
        raise InputError(source, "", f"no such file or folder; the package itself has {names}")
    return path


def export_weights(folder: Path, out: Path, to: Format, *, overwrite: bool = False) -> Path:
    """Write a weights folder of ours as the official code or Hugging Face's reads it.

    Args:
        folder: the weights.
        out: a `.pkl` file for "official", a folder for "hugging_face".
        to: the format.
        overwrite: replace a file, or a folder that is not empty.

    Raises:
        InputError: the folder is at fault, the model has what the format cannot hold, or the output
            is not free.
    """
    parts = (CONFIG_FILE, WEIGHTS_FILE, HEAD_FILE)
    check_keeps_source(out, [folder, *(folder / name for name in parts)])
    if to == "official" and out.is_file() and not overwrite:
        raise InputError(out, "", "the file exists; choose another, or --overwrite replaces it")
    model, classes = load(folder)
    head = load_head(folder, model)
    try:
        if to == "official":
            with replacing(out) as temporary:
                beside = {} if head is None else official_names(head)
                convert.write_official(model, temporary, beside)
        elif head is not None:
            raise ValueError(f"Hugging Face's folders have no place for {title_of(head)}")
        else:
            with replacing_folder(out, overwrite=overwrite) as temporary:
                names = [info.name for info in classes]
                convert.write_hugging_face(model, temporary, names)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(folder, "", str(error)) from error
    return out


def _chosen(found: convert.Converted, options: ConvertOptions) -> dict[str, Any]:
    """Return the settings that the options give; ConfigError where the weights determine them."""
    chosen = {
        name: value
        for name in ("num_queries", "anchors")
        if (value := getattr(options, name)) is not None
    }
    for name in chosen:
        if name not in found.assumed:
            raise ConfigError("", f"--{name}", f"weights of {found.origin} leave no choice")
    return chosen


def _build(
    found: convert.Converted, source: Path, options: ConvertOptions
) -> tuple[ClipSegmenter, LoadReport]:
    """Make the network; a table of what does not fit is a `WeightsError`."""
    chosen = _chosen(found, options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            return found.build(
                num_classes=options.num_classes, allow_unexpected=options.leave_out, **chosen
            )
        except WeightsMismatch as error:
            raise WeightsError(source, error.report) from error
        except ValueError as error:
            raise InputError(source, "", str(error)) from error


def _head(
    found: convert.Converted, source: Path, model: ClipSegmenter, options: ConvertOptions
) -> LearnedHead | None:
    """Make the head that the source has beside the segmenter."""
    try:
        head = read_head(found.aside, options.num_heads)
        if head is not None:
            check_head(head, model)
    except WeightsMismatch as error:
        raise WeightsError(source, error.report) from error
    except ValueError as error:
        if options.num_classes is not None and found.aside:
            message = f"cannot change beside a head ({error})"
            raise ConfigError("", "--num_classes", message) from error
        raise InputError(source, "", str(error)) from error
    return head


def _usage(model: ClipSegmenter, head: LearnedHead | None, options: ConvertOptions) -> Usage | None:
    """Return the section `tracker`: as given, or what fits the head."""
    if head is None and options.tracker is None:
        return None
    chosen = {"name": by_name.default_tracker(model, head), **(options.tracker or {})}
    by_name.tracker(chosen, model, head)  # raises where they do not fit
    return Usage(chosen)


def _parity(model: ClipSegmenter, folder: Path | None, source: Path) -> str:
    """Compare with Hugging Face's network; say how far apart they are, or why that is unknown."""
    obstacle = convert.obstacle(model)
    if obstacle is not None or not isinstance(model, Mask2Former):
        return f"no check against Hugging Face: {obstacle}"
    try:
        found = convert.parity(model, folder)
    except ValueError as error:
        raise InputError(source, "", f"{error} (--no_check converts it anyway)") from error
    if not found.worst <= LARGEST_DIFFERENCE:
        raise InputError(source, "", f"{found}: another network (--no_check converts it anyway)")
    return str(found)
