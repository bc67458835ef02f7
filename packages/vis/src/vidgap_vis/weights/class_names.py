"""The class names of converted weights: as given, the source's, COCO's, or numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vidgap_vis.classes import ClassInfo, ClassList
from vidgap_vis.errors import ConfigError, InputError
from vidgap_vis.formats.coco import COCO_CATEGORIES
from vidgap_vis.formats.records import read_classes, read_record

FILE_ENDINGS = (".csv", ".json", ".names", ".txt", ".yaml", ".yml")


@dataclass(frozen=True)
class NamedClasses:
    """Classes, and where their names come from."""

    classes: ClassList
    origin: str


def read_names(given: str) -> ClassList:
    """Read `--classes`: a JSON with `categories`, a text file with a name per line, or a,b,c.

    Category ids are the JSON's, else 1, 2, 3 ...

    Raises:
        InputError: there is no such file, it cannot be read, or names nothing.
    """
    path = Path(given)
    if path.suffix == ".json":
        return read_classes(read_record(path))
    if _is_file(path):
        try:
            words = path.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise InputError(path, "", "not a text file of a class name a line") from error
    elif "," not in given and (len(path.parts) > 1 or path.suffix.lower() in FILE_ENDINGS):
        raise InputError(path, "", "no such file (--classes takes a file, or names as cat,dog)")
    else:
        words = given.split(",")
    names = [word.strip() for word in words if word.strip()]
    if not names:
        raise ConfigError("", "--classes", f"wanted a file or names as cat,dog, got {given!r}")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError("", "--classes", f"names must differ, got {twice!r} twice")
    return numbered_from_one(names)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # forty names are too long for a file's
        return False


def name_classes(
    num_classes: int,
    given: ClassList | None,
    told: Sequence[str] | None,
    source_classes: int | None = None,
) -> NamedClasses:
    """Choose the classes of weights.

    Args:
        num_classes: K of the network.
        given: by the user.
        told: names by the source, in order of index.
        source_classes: K of the source; None: K.

    Raises:
        ConfigError: another number of classes is given than the network has.
    """
    if given is not None:
        if len(given) != num_classes:
            message = (
                f"names {len(given)} classes, the weights have {num_classes} "
                f"(--num_classes {len(given)} starts the class head afresh)"
            )
            raise ConfigError("", "--classes", message)
        return NamedClasses(given, "as given")
    coco = read_classes(read_record(COCO_CATEGORIES))
    if told is not None and len(told) == num_classes:
        return NamedClasses(_with_ids(told, coco), "from the source")
    if num_classes == len(coco):
        reason = f"COCO's, as there are {num_classes} and nothing names them"
        if source_classes not in (None, num_classes):
            reason += f"; the source has {source_classes}"
        return NamedClasses(coco, reason)
    numbers = [f"class {index}" for index in range(num_classes)]
    return NamedClasses(numbered_from_one(numbers), "numbers, as nothing names them: see --classes")


def numbered_from_one(names: Sequence[str]) -> ClassList:
    """Return classes with category ids 1, 2, 3 ..."""
    return tuple(ClassInfo(index, index + 1, name) for index, name in enumerate(names))


def _with_ids(names: Sequence[str], coco: ClassList) -> ClassList:
    """Give names COCO's category ids where most of them are COCO's (its spellings vary)."""
    same = sum(name == info.name for name, info in zip(names, coco, strict=False))
    if len(names) != len(coco) or 2 * same < len(coco):
        return numbered_from_one(names)
    return tuple(
        ClassInfo(info.index, info.category_id, name)
        for name, info in zip(names, coco, strict=True)
    )
