"""Start a learned head from a parent's, and report what was taken over and what was not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from vidgap_segmenter import WeightsMismatch
from vidgap_segmenter.weights import load_checked, read_config
from vidgap_vis.classes import ClassList
from vidgap_vis.errors import InputError, WeightsError
from vidgap_vis.trackers.heads import LearnedHead, name_of
from vidgap_vis.weights.folder import classes_of
from vidgap_vis.weights.heads import HEAD_FILE, load_head

PART_OF = {("vita", "genvis"): "vita"}
"""Where the head of a parent stands in another one that it is a part of."""

CLASS_LAYER = "class_embed"
"""The module of a head whose weights depend on the classes."""

NUM_CLASSES = "num_classes"


def initialise_head(head: LearnedHead, classes: ClassList, folder: str | Path) -> str:
    """Load what a parent's head has of a head that is to be trained.

    That is all of the same head, DVIS's tracker where its refiner is to be trained, and VITA's head
    for GenVIS. Class layers keep their fresh values where the class list differs. What does not
    learn must be taken over, with the settings that it was trained with.

    Args:
        head: changed in place.
        classes: of the new data.
        folder: the parent's weights folder.

    Returns:
        What was not taken over, one line per module, under a headline.

    Raises:
        InputError: the parent's head is damaged, of other sizes (`WeightsError`), or lacks what
            does not learn.
    """
    folder = Path(folder)
    parent = load_head(folder, None)
    state, settings = _part(parent, name_of(head))
    own, given = _modules(head.state_dict()), _modules(state)
    fresh = {name: "the parent has none" for name in own if name not in given}
    if [c.name for c in classes_of(read_config(folder))] != [c.name for c in classes]:
        state = {name: tensor for name, tensor in state.items() if not _is_of_classes(name)}
        fresh |= dict.fromkeys(filter(_is_of_classes, head.state_dict()), "the classes differ")
    changed = {
        key: f"the parent had {settings[key]!r}, now {value!r}"
        for key, value in _flat(head.config)
        if not key.endswith(NUM_CLASSES) and settings.get(key, value) != value
    }
    _check_frozen(head, fresh, changed, folder)
    unwanted = tuple(given.keys() - own.keys())  # a refiner, where the tracker alone is trained
    try:
        report = load_checked(head, state, allow_missing=tuple(fresh), allow_unexpected=unwanted)
    except WeightsMismatch as error:
        if changed:
            why = "; ".join(f"{key}: {what}" for key, what in changed.items())
            raise InputError(folder, "head", f"does not fit this run's: {why}") from error
        raise WeightsError(folder / HEAD_FILE, error.report) from error
    if not state:
        found = "no head" if parent is None else f"the head {name_of(parent)}"
        return f"{folder}: {found}; the head {name_of(head)} starts afresh"
    taken = len(state) - len(report.unexpected)
    return "\n".join(
        [
            f"{folder}: {taken} weights of a head taken over, {len(report.missing)} start afresh",
            *(f"  {name:<60}  {why}" for name, why in fresh.items()),
            *(f"  head.{key}: {what}" for key, what in changed.items()),
        ]
    )


def _check_frozen(
    head: LearnedHead,
    fresh: Mapping[str, str],
    changed: Mapping[str, str],
    folder: Path,
) -> None:
    """Raise InputError where what does not learn would start afresh or be another module."""
    frozen = {name for name, weight in head.named_parameters() if not weight.requires_grad}
    for name, why in fresh.items():
        if any(f"{own}.".startswith(f"{name}.") for own in frozen):
            message = f"{name} is missing ({why}), and this run leaves it as it is"
            raise InputError(folder, "head", message)
    for key, what in changed.items():
        module = key.partition(".")[0]
        if module in _modules(frozen):
            message = f"{what}, and this run leaves the {module} as it is"
            raise InputError(folder, f"head.{key}", message)


def _part(parent: LearnedHead | None, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return weights and settings of a parent's head, by their names in the head `name`."""
    if parent is None:
        return {}, {}
    part = "" if name_of(parent) == name else PART_OF.get((name_of(parent), name))
    if part is None:
        return {}, {}
    state = {f"{part}.{key}".lstrip("."): x for key, x in parent.state_dict().items()}
    return state, dict(_flat(parent.config, f"{part}." if part else ""))


def _flat(config: Mapping[str, Any], around: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the settings of a head and of its parts, as `tracker.num_layers`."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{around}{name}.")
        else:
            yield around + name, value


def _modules(names: Iterable[str]) -> dict[str, None]:
    """Return the outermost modules of weights, each once, in their order."""
    return dict.fromkeys(name.partition(".")[0] for name in names)


def _is_of_classes(name: str) -> bool:
    """Return whether a weight has a row for each class."""
    return CLASS_LAYER in name.split(".")
