"""Flags and YAML files into configurations, by jsonargparse; a mistake is one line."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_type_hints

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace

from vidgap_vis.config.reading import (
    as_section,
    check,
    check_value,
    construct,
    join,
    read_mapping,
    suggest,
)
from vidgap_vis.errors import ConfigError

Config = TypeVar("Config")


class Parser(ArgumentParser):
    """An argument parser whose mistakes are `ConfigError`s of one line.

    The constructor is jsonargparse's, which makes parsers of this class for nested types.
    """

    section: type | None = None
    """The configuration class whose keys are flags, if any."""

    argv: Sequence[str] = ()
    """What is being parsed."""

    def add_section(self, section: type, *, file: bool = True) -> None:
        """Add a flag for each key of a configuration class (`--train.lr`); `file`: and `-c`."""
        self.section = section
        self.usage = f"{self.prog} [options] [--KEY VALUE ...]"
        if file:
            self.add_argument("-c", "--config", action=CheckedConfigFile, help="a YAML file")
        self.add_class_arguments(section)

    def parse(self, argv: Sequence[str]) -> Namespace:
        """Parse a command line; raises ConfigError where it is wrong."""
        self.argv = tuple(argv)
        return self.parse_args(self.argv)

    def configuration(self, options: Namespace, section: type[Config]) -> Config:
        """Return the configuration that `parse` read.

        Raises:
            ConfigError: a value is out of range; the message names the flag or the file.
        """
        names = [field.name for field in dataclasses.fields(section)]  # type: ignore[arg-type]
        given = options.as_dict()
        with self.locating(options):
            return construct(section, {name: given[name] for name in names})

    @contextmanager
    def locating(self, options: Namespace) -> Iterator[None]:
        """Name the flag or the file in a ConfigError about a key that comes out of the block."""
        try:
            yield
        except ConfigError as error:
            if error.file or not error.item or error.item.startswith("-"):
                raise
            if any(flag == error.item for flag, _ in _flags(self.argv)):
                raise ConfigError("", f"--{error.item}", error.message) from error
            files = options.get("config") or [""]
            raise ConfigError(str(files[-1]), error.item, error.message) from error

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise ConfigError: of the flag at fault where one is found, else with the message."""
        if not self.exit_on_error:  # a nested type's parser: its caller tries another type
            super().error(message, ex)
        flags = [option for action in self._actions for option in action.option_strings]
        kinds = dict(_kinds(self.section)) if self.section else {}
        for key, text in _flags(self.argv):
            if key in kinds and text is not None:
                _check_flag(key, text, kinds[key])
            elif "." in key and key not in kinds:
                hint = suggest(f"--{key}", flags + [f"--{kind}" for kind in kinds])
                raise ConfigError("", f"--{key}", f"unknown option ({hint})") from ex
        first_line = message.split("\n")[0]
        unknown = re.match(r"unrecognized arguments: (-[^\s=]+)", first_line)
        if unknown:
            hint = suggest(unknown[1], flags)
            raise ConfigError("", unknown[1], f"unknown option ({hint})") from ex
        missing = re.search(r"arguments are required: ([\w.]+)", message)
        if missing:
            within = re.match(r'Parser key "([\w.]+)":', message)
            raise self._missing(join(within[1] if within else "", missing[1])) from ex
        raise ConfigError("", "", first_line) from ex

    def _missing(self, name: str) -> ConfigError:
        positional = {a.dest: str(a.metavar) for a in self._actions if not a.option_strings}
        if name in positional:
            return ConfigError("", positional[name], "missing")
        hint = "; give it here or in a file with -c" if self.section else ""
        return ConfigError("", f"--{name}", f"missing{hint}")


class CheckedConfigFile(ActionConfigFile):
    """`-c FILE`: the file's keys and types are checked, then jsonargparse merges it."""

    def __call__(
        self, parser: Parser, cfg: Namespace, values: str, option_string: str | None = None
    ) -> None:
        """Check and merge the file; ConfigError names the file and the key at fault."""
        assert parser.section is not None
        mapping = read_mapping(Path(values))
        try:
            check(parser.section, mapping)
        except ConfigError as error:
            raise ConfigError(values, error.item, error.message) from error
        super().__call__(parser, cfg, values, option_string)


def _flags(argv: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Yield (key, value) of each `--key value` or `--key=value`; None where no value follows."""
    for index, token in enumerate(argv):
        if token.startswith("--"):
            key, equals, value = token[2:].partition("=")
            following = argv[index + 1] if index + 1 < len(argv) else None
            yield key, value if equals else following


def _kinds(section: type, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every key of a configuration class with its type, inner ones as `clip.size`."""
    for name, kind in get_type_hints(section).items():
        yield join(key, name), kind
        inner = as_section(kind)
        if inner is not None:
            yield from _kinds(inner, join(key, name))


def _check_flag(key: str, text: str, kind: Any) -> None:
    """Raise ConfigError where a flag's text does not make a value of its type."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError("", f"--{key}", f"cannot be read, got {text!r}") from error
    try:
        check_value(text, kind, key)  # a number may be meant as a text
    except ConfigError:
        check_value(value, kind, f"--{key}")
