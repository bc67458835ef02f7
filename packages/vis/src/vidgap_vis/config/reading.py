"""YAML into the typed sections, and back; a mistake is named by its key.

pydantic checks the types, as strictly as those of JSON; the messages are ours.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import yaml

from vidgap_vis.errors import ConfigError
from vidgap_vis.files import replacing

Config = TypeVar("Config")

# YAML 1.1 reads 1e-4 (no dot) as a text, and everybody writes learning rates so.
FLOAT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$")

WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


MERGE = "tag:yaml.org,2002:merge"
"""Of the key `<<`. PyYAML 6.0.4 lets the wrong value win where one such mapping has another."""


class Loader(yaml.SafeLoader):
    """YAML without objects, dates and merging, in which a key that occurs twice is an error."""

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        check_keys(node, set())
        return node


def check_keys(node: yaml.Node | None, seen: set[int]) -> None:
    """Raise MarkedYAMLError where, in a node or below, a key stands twice or is `<<`."""
    if node is None or id(node) in seen or isinstance(node, yaml.ScalarNode):
        return
    seen.add(id(node))
    children = node.value
    if isinstance(node, yaml.MappingNode):
        keys = [(key.tag, key.value) for key, _ in node.value]
        for index, (key, _) in enumerate(node.value):
            problem = ""
            if key.tag == MERGE:
                problem = "merging (<<) is not taken; an alias (*name) stands for a whole value"
            elif keys[index] in keys[:index]:
                problem = f"key {key.value!r} stands twice"
            if problem:
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
        children = [one for pair in node.value for one in pair]
    for child in children:
        check_keys(child, seen)


class Dumper(yaml.SafeDumper):
    """Puts a text in quotes that `Loader` would read as something else."""


for kind in (Loader, Dumper):
    kind.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+0123456789"))
Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: node.value)


def read_files(path: Path, *, is_base: bool = False) -> dict[str, dict[str, Any]]:
    """Return what a YAML file holds, by its name, after the file that its key `base` names, if any.

    Raises:
        ConfigError: a file is missing or unreadable, not YAML, or not a mapping; or a base has one.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader)
        json.dumps(content, default=str)  # raises where a mapping holds itself
    except OSError as error:
        raise ConfigError(path, "", f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(path, "", "not a text file") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        item = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(path, item, f"broken YAML: {getattr(error, 'problem', error)}") from error
    except (RecursionError, TypeError, ValueError) as error:
        raise ConfigError(path, "", f"cannot be read ({error})") from error
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise ConfigError(path, "", f"wanted sections as `key: value`, got {content!r}")
    base = content.pop("base", None)
    if base is None:
        return {str(path): content}
    if is_base or not isinstance(base, str) or "\0" in base:
        wanted = "none in a file that is a base itself" if is_base else "a path"
        raise ConfigError(path, "base", f"wanted {wanted}, got {base!r}")
    return {**read_files(path.parent / base, is_base=True), str(path): content}


def write_yaml(path: Path, mapping: Mapping[str, Any]) -> None:
    """Write what `to_mapping` made; `-c` turns it into an equal configuration."""
    with replacing(path) as temporary:
        temporary.write_text(yaml.dump(mapping, Dumper=Dumper, sort_keys=False), encoding="utf-8")


def to_mapping(config: Any) -> dict[str, Any]:
    """Return a configuration, or a mapping, as nested plain values (for YAML and JSON)."""
    plain = config if isinstance(config, Mapping) else asdict(config)
    return json.loads(json.dumps(plain, default=str))


def flat(mapping: Mapping[str, Any], around: tuple[str, ...] = ()) -> Iterator[tuple[Any, Any]]:
    """Yield (key, value) of nested values; a key is the names on the way: ("clip", "size")."""
    for name, value in mapping.items():
        if value and isinstance(value, Mapping):
            yield from flat(value, (*around, name))
        else:
            yield (*around, name), value


def construct(section: type[Config], values: Iterable[tuple[Sequence[str], Any]]) -> Config:
    """Make a configuration of (key, value) pairs over its defaults; the later pairs win.

    Raises:
        ConfigError: an unknown or missing key, a wrong type or a value out of range.
    """
    from pydantic import TypeAdapter, ValidationError  # here: `vidgap --help` answers at once

    given = {
        field.name: {} if field.default_factory is MISSING else to_mapping(field.default_factory())
        for field, kind in typed_fields(section)
        if is_dataclass(kind) or field.default_factory is not MISSING
    }
    for (*around, name), value in values:
        within = given
        for outer in around:
            within[outer] = within[outer] if isinstance(within.get(outer), dict) else {}
            within = within[outer]
        within[name] = within.get(name) or {} if value == {} else value
    try:
        text = json.dumps(given, default=str)
        return TypeAdapter(section).validate_json(text, strict=True, extra="forbid")
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise refusal(section, min(found, key=lambda one: "missing" in one["type"])) from error


def typed_fields(section: Any) -> list[tuple[Any, Any]]:
    """Return the fields of a dataclass, each with its type."""
    hints = get_type_hints(section)
    return [(field, hints[field.name]) for field in fields(section)]


def refusal(section: type, found: Mapping[str, Any]) -> ConfigError:
    """Return the error that says in our words what pydantic found."""
    key, names = "", []
    kind: Any = section
    for step in found["loc"]:
        if step == "[key]":  # it is the mapping's key that is wrong, not the value under it
            continue
        key += f"[{step}]" if isinstance(step, int) else f".{step}" if key else step
        kind = not_none(kind)
        if is_dataclass(kind):
            hints = {field.name: inner for field, inner in typed_fields(kind)}
            names, kind = list(hints), hints.get(step)
        else:
            kind = get_args(kind)[0 if get_origin(kind) is tuple else 1]
    if found["type"] == "value_error":  # the section has said it
        error = found["ctx"]["error"]
        return error if isinstance(error, ConfigError) else ConfigError("", key, str(error))
    if "missing" in found["type"]:
        return ConfigError("", key, "missing")
    if found["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return ConfigError("", key, f"unknown key ({suggest(found['loc'][-1], names)})")
    return ConfigError("", key, f"wanted {describe(kind)}, got {found['input']!r}")


def suggest(name: str, known: Sequence[str]) -> str:
    """Return 'did you mean X?', or the names to choose from."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"


def describe(kind: Any) -> str:
    """Return a type in words, for errors and help."""
    origin, arguments = get_origin(kind), get_args(kind)
    if not_none(kind) is not kind:
        return f"{describe(not_none(kind))}, or null"
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin is tuple:
        length = "" if arguments[-1] is ... else f" of {len(arguments)}"
        return f"a list{length}, each {describe(arguments[0])}"
    if origin is dict:
        return f"`key: value` pairs, each {describe(arguments[0])}: {describe(arguments[1])}"
    if is_dataclass(kind):
        return "a section of `key: value` lines"
    return "a path" if kind is Path else WORDS[kind]


def not_none(kind: Any) -> Any:
    """Return a type without null."""
    parts = [part for part in get_args(kind) if part is not type(None)]
    return parts[0] if len(parts) < len(get_args(kind)) else kind
