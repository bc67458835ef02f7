"""Annotation files as records whose errors say where in the file they occurred."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import isfinite
from os import PathLike
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TypeVar

from vidgap_vis.classes import ClassList, from_categories
from vidgap_vis.errors import InputError

T = TypeVar("T")

_PLAIN_NAME = re.compile(r"[\w][\w./-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Record:
    """A JSON object of a file; every getter raises InputError on a fault.

    Attributes:
        file: the file it came from.
        item: what it is there, as in `annotations[3]`; "" for the whole file.
        fields: its keys and values.
    """

    file: Path
    item: str
    fields: Mapping[str, object]

    def error(self, message: str) -> InputError:
        """Return an error about this object, which it names with its id where it has one."""
        has_id = self.item and "id" in self.fields
        item = f"{self.item} (id {self.fields['id']!r})" if has_id else self.item
        return InputError(self.file, item, message)

    def value(self, key: str) -> object:
        """Return the value of `key`, which must be there."""
        if key not in self.fields:
            raise self.error(f"key '{key}' is missing")
        return self.fields[key]

    def integer(self, key: str, *, minimum: int | None = None) -> int:
        """Return an integer, at least `minimum`."""
        value = self._typed(key, int, "an integer")
        if isinstance(value, bool):
            raise self.error(f"{key} must be an integer, got {value}")
        if minimum is not None and value < minimum:
            raise self.error(f"{key} must be at least {minimum}, got {value}")
        return value

    def optional_number(self, key: str) -> float | None:
        """Return a finite number; None where the key is absent or null."""
        value = self.fields.get(key)
        if value is None:
            return None
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not isfinite(value):
            raise self.error(f"{key} must be a finite number, got {brief(value)}")
        return float(value)

    def text(self, key: str) -> str:
        """Return a string."""
        return self._typed(key, str, "a string")

    def items(self, key: str) -> list[object]:
        """Return a list of anything."""
        return self._typed(key, list, "a list")

    def optional_items(self, key: str) -> list[object] | None:
        """Return a list of anything; None where the key is absent or null."""
        return None if self.fields.get(key) is None else self.items(key)

    def records(self, key: str) -> list[Record]:
        """Return a list of objects."""
        found = []
        for index, value in enumerate(self.items(key)):
            item = f"{key}[{index}]"
            if not isinstance(value, dict):
                raise InputError(self.file, item, f"must be an object, got {brief(value)}")
            found.append(Record(self.file, item, value))
        return found

    def reference(self, key: str, known: Container[int], where: str) -> int:
        """Return an id that must be one of the `known` ids, those of the list `where`."""
        number = self.integer(key)
        if number not in known:
            raise self.error(f"{key} {number} is not among the ids of {where}")
        return number

    def size(self) -> tuple[int, int]:
        """Return (height, width), each 1 to 2**31 - 1."""
        for key in ("height", "width"):
            if self.integer(key, minimum=1).bit_length() >= 32:
                raise self.error(f"{key} must be below 2**31, got {brief(self.fields[key])}")
        return self.integer("height"), self.integer("width")

    def is_crowd(self) -> bool:
        """Return whether `iscrowd` is there and set."""
        value = self.fields.get("iscrowd", 0)
        if not isinstance(value, int) or value not in (0, 1):
            raise self.error(f"iscrowd must be 0 or 1, got {brief(value)}")
        return bool(value)

    def _typed(self, key: str, kind: type[T], name: str) -> T:
        value = self.value(key)
        if not isinstance(value, kind):
            raise self.error(f"{key} must be {name}, got {brief(value)}")
        return value


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pause the garbage collector, which would walk millions of new objects over and over."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_json(path: str | PathLike[str], shortened: Callable[[str], str] | None = None) -> object:
    """Read a JSON file of any content.

    Args:
        path: the file.
        shortened: turns the text into one that means the same and is read faster.

    Raises:
        InputError: it is missing, unreadable, not UTF-8 or not JSON (with line and column).
    """
    file = Path(path)
    try:
        text = file.read_bytes().decode("utf-8")  # faster than `read_text` by half
        if shortened is not None:
            with suppress(ValueError, RecursionError):  # which are about the text as it stands
                return json.loads(shortened(text))
        return json.loads(text)
    except FileNotFoundError:
        raise InputError(file, "", "no such file") from None
    except OSError as error:
        raise InputError(file, "", f"cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise InputError(file, f"byte {error.start}", "not UTF-8 text, so not JSON") from None
    except json.JSONDecodeError as error:
        item = f"line {error.lineno} column {error.colno}"
        raise InputError(file, item, f"broken JSON ({error.msg})") from None
    except ValueError:  # Python's limit on the digits of an integer
        raise InputError(file, "", "broken JSON (an integer of thousands of digits)") from None
    except RecursionError:
        raise InputError(file, "", "broken JSON (nested too deeply)") from None


def read_record(path: str | PathLike[str], shortened: Callable[[str], str] | None = None) -> Record:
    """Read a JSON file that holds one object, as `read_json` does."""
    value = read_json(path, shortened)
    if not isinstance(value, dict):
        raise InputError(path, "", f"must hold a JSON object, got {brief(value)}")
    return Record(Path(path), "", value)


def index_by_id(records: Iterable[Record]) -> dict[int, Record]:
    """Return the records by their `id`, which must differ, and fit in 64 bits."""
    found: dict[int, Record] = {}
    for record in records:
        number = record.integer("id")
        if number.bit_length() >= 64:  # results are kept in SQLite until a video ends
            raise record.error(f"id must fit in 64 bits, got {brief(number)}")
        if number in found:
            raise record.error(f"id {number} stands twice, first at {found[number].item}")
        found[number] = record
    return found


def read_classes(top: Record) -> ClassList:
    """Return the classes that `categories` lists, in the order of their ids."""
    categories = index_by_id(top.records("categories"))
    if not categories:
        raise InputError(top.file, "categories", "empty; at least one category is wanted")
    return from_categories((number, record.text("name")) for number, record in categories.items())


def check_root(root: str | PathLike[str] | None) -> Path | None:
    """Return the folder of the images; None where only the annotations are wanted."""
    if root is None:
        return None
    folder = Path(root)
    if not folder.is_dir():
        raise InputError(folder, "", "no such folder (the root of the images)")
    return folder


def check_file_name(record: Record, key: str, name: object) -> str:
    """Return an image's name, which must be relative and must not climb out of the root."""
    if not isinstance(name, str) or not name or "\0" in name:
        raise record.error(f"{key} must be a file name, got {brief(name)}")
    if _PLAIN_NAME.fullmatch(name) and ".." not in name:
        return name  # most are, and there are many
    path = PurePosixPath(name)
    if path.is_absolute() or PureWindowsPath(name).anchor or ".." in path.parts:
        raise record.error(f"{key} leaves the root of the images: {name!r}")
    return name


def brief(value: object) -> str:
    """Return a value for an error message, cut to one short line."""
    if value is None:
        return "null"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
