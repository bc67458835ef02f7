"""Flags and YAML files into configurations, by argparse; a mistake is one line."""

from __future__ import annotations

import inspect
import json
import re
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, is_dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, get_origin

import yaml

from vidgap_vis.config import reading
from vidgap_vis.config.reading import describe, not_none, suggest
from vidgap_vis.errors import ConfigError

Config = TypeVar("Config")

MODEL = "cells or lookalikes, a weights folder, a Hugging Face folder, USER/NAME, an official file"
"""What weights may be."""

FLAGS = "--"
"""The source of a value that a flag gave; others are files."""


class Parser(ArgumentParser):
    """An argument parser whose mistakes are `ConfigError`s of one line."""

    def __init__(self, prog: str, description: str = "") -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)
        self._kinds: dict[str, Any] = {}
        self._given: list[tuple[str, tuple[str, ...], Any]] = []  # (source, key, value)

    def add_section(self, section: Any, *, file: bool = True) -> None:
        """Add a flag for each key of a configuration class (`--train.lr`), and `-c` if `file`."""
        self.usage = f"{self.prog} [options] [--KEY VALUE ...]"
        if file:
            text = "a YAML file; one that it names as `base: FILE` says what it does not"
            self.add_argument("-c", "--config", action="append", metavar="FILE", help=text)
        groups: dict[str, Any] = {"": self}
        for key, kind, text in keys(section):
            if is_dataclass(not_none(kind)):
                groups[key] = self.add_argument_group(key, text if is_dataclass(kind) else None)
            if not is_dataclass(kind):
                self._kinds[key] = kind
                group = groups.get(key, groups[key.rpartition(".")[0]])
                group.add_argument(f"--{key}", default=SUPPRESS, metavar="VALUE", help=text)

    def parse(self, argv: Sequence[str]) -> Namespace:
        """Parse a command line; raises ConfigError where it is wrong, or a file that it names."""
        options, surplus = self.parse_known_args(argv)
        unknown = [word.partition("=")[0] for word in surplus if word.startswith("-")]
        if unknown:
            hint = suggest(unknown[0], list(self._option_string_actions))
            raise ConfigError("", unknown[0], f"unknown option ({hint})")
        if surplus:
            self.error(f"unrecognized arguments: {' '.join(surplus)}")
        for path in getattr(options, "config", None) or ():
            for file, content in reading.read_files(Path(path)).items():
                self._given += [(file, key, value) for key, value in reading.flat(content)]
        for key, text in vars(options).items():
            if key in self._kinds:
                *around, name = key.split(".")
                value = {name: flag_value(key, text, self._kinds[key])}
                self._given += [(FLAGS, *pair) for pair in reading.flat(value, tuple(around))]
        return options

    def configuration(self, section: type[Config]) -> Config:
        """Return the configuration that files and flags say.

        Raises:
            ConfigError: a value is wrong; the message names the flag or the file.
        """
        with self.locating():
            return reading.construct(section, [(key, value) for _, key, value in self._given])

    @contextmanager
    def locating(self) -> Iterator[None]:
        """Name the flag or the file in a ConfigError about a key that comes out of the block."""
        try:
            yield
        except ConfigError as error:
            key, message = error.item, error.message
            if error.file or not key or key.startswith("-"):
                raise
            source = next((file for file, *_ in reversed(self._given) if file != FLAGS), "")
            steps = tuple(re.split(r"[.\[]", key))
            for giver, given, _ in self._given:
                source = giver if given == steps[: len(given)] else source
            if message == "missing":
                source, message = FLAGS, "missing; give it here or in a file with -c"
            file, dashes = ("", "--") if source == FLAGS else (source, "")
            raise ConfigError(file, dashes + key, message) from error

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError: with argparse's message, or of the argument that it is about."""
        missing = re.search(r"arguments are required: ([^,]+)", message)
        if missing:
            raise ConfigError("", missing[1], "missing")
        wrong = re.fullmatch(r"argument (\S+): (wanted .*)", message)
        raise ConfigError("", wrong[1] if wrong else "", wrong[2] if wrong else message)


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return a function that reads an argument as a whole number in a range."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[-+]?\d+", text):
            raise ArgumentTypeError(f"wanted a whole number, got {text!r}")
        if int(text) < least:
            raise ArgumentTypeError(f"wanted {least} or more, got {int(text)}")
        if most is not None and int(text) > most:
            raise ArgumentTypeError(f"wanted {most} at most, got {int(text)}")
        return int(text)

    return read


def several(read: Callable[[str], int]) -> Callable[[str], list[int]]:
    """Return a function that reads an argument as numbers between commas."""
    return lambda text: [read(part.strip()) for part in text.split(",")]


def picture_size(text: str) -> tuple[int, int]:
    """Read HEIGHTxWIDTH."""
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if found is None:
        raise ArgumentTypeError(f"wanted HEIGHTxWIDTH, as 360x640, got {text!r}")
    return int(found[1]), int(found[2])


def flag_value(key: str, text: str, kind: Any) -> Any:
    """Return the value of a flag: its text where the key takes a text, else what it is in YAML."""
    inner = not_none(kind)
    if (inner in (str, Path) or get_origin(inner) is Literal) and (inner is kind or text != "null"):
        return text
    try:
        return yaml.load(text, reading.Loader)
    except yaml.YAMLError as error:
        raise ConfigError("", f"--{key}", f"cannot be read, got {text!r}") from error


def keys(
    section: Any, around: str = "", preset: Mapping[str, Any] | None = None
) -> Iterator[tuple[str, Any, str]]:
    """Yield the keys of a configuration class, their types and their help.

    `preset` are the defaults that the enclosing section, whose key is `around`, gives it.
    """
    texts = attribute_texts(section)
    for field, kind in reading.typed_fields(section):
        made = field.default if field.default_factory is MISSING else field.default_factory()
        default, inner = (preset or {}).get(field.name, made), not_none(kind)
        said = "required" if default is MISSING else f"default: {json.dumps(default, default=str)}"
        said = "default: as below" if is_dataclass(default) else said.replace('"', "")
        text = texts[field.name] + ("" if is_dataclass(kind) else f" ({describe(kind)}; {said})")
        yield around + field.name, kind, text.replace("%", "%%")
        if is_dataclass(inner):
            yield from keys(inner, f"{around}{field.name}.", getattr(default, "__dict__", None))


def attribute_texts(section: type) -> dict[str, str]:
    """Return the docstrings' text on each field, from the class that declares it."""
    from docstring_parser import parse

    return {
        name: " ".join((entry.description or "").split())
        for kind in reversed(section.__mro__)
        for entry in parse(kind.__doc__ or "").params
        for name in entry.arg_name.split(", ")
        if name in inspect.get_annotations(kind)
    }
