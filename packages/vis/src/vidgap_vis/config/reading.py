"""YAML and plain mappings into the typed sections, and back; a mistake is named by its key."""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from vidgap_vis.errors import ConfigError
from vidgap_vis.files import replacing

Section = TypeVar("Section")


class _Loader(yaml.SafeLoader):
    """YAML without objects, in which a key that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(key) for key, _ in node.value]
        for index, name in enumerate(names):
            if name in names[:index]:
                mark = node.value[index][0].start_mark
                raise yaml.MarkedYAMLError(problem=f"key {name!r} stands twice", problem_mark=mark)
        return super().construct_mapping(node, deep)


def read_mapping(path: Path) -> dict[str, Any]:
    """Return what a YAML file holds.

    Raises:
        ConfigError: the file is missing or unreadable, not YAML, or not a mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise ConfigError(path, "", f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(path, "", "not a text file") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(path, place, f"broken YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(path, "", f"broken YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(path, "", f"wanted sections as `key: value`, got {content!r}")
    return content


def write_yaml(path: Path, mapping: Mapping[str, Any]) -> None:
    """Write what `to_mapping` made; `-c` turns it into an equal configuration."""
    with replacing(path) as temporary:
        temporary.write_text(yaml.safe_dump(mapping, sort_keys=False), encoding="utf-8")


def to_mapping(config: Any) -> dict[str, Any]:
    """Return a configuration as nested plain values (for YAML and JSON)."""
    return {name: _plain(value) for name, value in dataclasses.asdict(config).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def construct(section: type[Section], value: Any, key: str = "") -> Section:
    """Make a dataclass from a mapping, its sections too.

    Args:
        section: the dataclass.
        value: all its fields, as the parser completes what a file and flags name.
        key: where it stands, as in `data.pseudo`; "" at the top.

    Raises:
        ConfigError: an unknown key, a wrong type or a value out of range.
    """
    hints = get_type_hints(section)
    made = {
        name: convert(item, hints[name], join(key, name))
        for name, item in checked_names(section, value, key).items()
    }
    try:
        return section(**made)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError("", key, str(error)) from error


def check(section: type, value: Any, key: str = "") -> None:
    """Raise ConfigError where a mapping has an unknown key or a value of the wrong type.

    Keys may be missing, for flags may bring them; ranges are checked by `construct`.
    """
    hints = get_type_hints(section)
    for name, item in checked_names(section, value, key).items():
        check_value(item, hints[name], join(key, name))


def check_value(value: Any, kind: Any, key: str) -> None:
    """Raise ConfigError where a value is not of a type, or is a section that `check` refuses."""
    inner = as_section(kind)
    if inner is not None and value is not None:
        check(inner, value, key)
    else:
        convert(value, kind, key)


def checked_names(section: type, value: Any, key: str) -> Mapping[str, Any]:
    """Return `value`; ConfigError unless it is a mapping of the section's own keys."""
    if not isinstance(value, Mapping):
        raise ConfigError("", key, f"wanted {describe(section)}, got {value!r}")
    names = [field.name for field in dataclasses.fields(section)]
    for name in value:
        if name not in names:
            message = f"unknown key ({suggest(str(name), names)})"
            raise ConfigError("", join(key, name), message)
    return value


def as_section(kind: Any) -> type | None:
    """Return the dataclass that a type is, or is beside null; None for any other type."""
    if get_origin(kind) in (Union, types.UnionType):
        kind = _not_none(kind)
    return kind if isinstance(kind, type) and dataclasses.is_dataclass(kind) else None


def convert(value: Any, kind: Any, key: str) -> Any:
    """Return `value` as the type `kind`, or raise ConfigError: `key: wanted ..., got ...`."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return construct(kind, value, key)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        try:
            return convert(value, _not_none(kind), key)
        except ConfigError as error:
            if error.item != key:  # something inside it
                raise
    if origin is tuple and isinstance(value, (list, tuple)):
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) == len(value):
            return tuple(
                convert(item, part, f"{key}[{index}]")
                for index, (item, part) in enumerate(zip(value, kinds, strict=True))
            )
    if origin is dict and isinstance(value, Mapping):
        return {
            convert(name, arguments[0], key): convert(item, arguments[1], f"{key}.{name}")
            for name, item in value.items()
        }
    if origin is Literal and value in arguments:
        return value
    if kind is Path and isinstance(value, (str, Path)):
        return Path(value)
    if kind is float and _is_number(value):
        return float(value)
    if kind in (int, str, bool) and type(value) is kind:
        return value
    raise ConfigError("", key, f"wanted {describe(kind)}, got {value!r}")


def suggest(name: str, known: Sequence[str]) -> str:
    """Return 'did you mean X?', or the names to choose from."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"


def describe(kind: Any) -> str:
    """Return a type in words, for error messages."""
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    origin, arguments = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        return "a section of `key: value` lines"
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return f"{describe(_not_none(kind))}, or null"
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"a list, each {describe(arguments[0])}"
    if origin is tuple:
        return f"a list of {len(arguments)}, each {describe(arguments[0])}"
    if origin is dict:
        return f"`key: value` pairs, each {describe(arguments[0])}: {describe(arguments[1])}"
    return "a path" if kind is Path else words[kind]


def _is_number(value: Any) -> bool:
    # YAML 1.1 reads 1e-4 (no dot) as a text, and everybody writes learning rates so.
    if isinstance(value, str):
        try:
            return float(value) == float(value)
        except ValueError:
            return False
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _not_none(kind: Any) -> Any:
    return next(part for part in get_args(kind) if part is not type(None))


def join(key: str, name: object) -> str:
    """Return the key of something inside a section: `clip` and `size` give `clip.size`."""
    return f"{key}.{name}" if key else str(name)
