"""`vidgap`: finds the command, and turns what goes wrong into one line and an exit code.

0: done. 1: failed. 2: the command line or the configuration is wrong. 130: stopped by Ctrl-C.
143: by SIGTERM.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from vidgap_vis.cli.commands import COMMANDS
from vidgap_vis.cli.memory import keep_freed_memory
from vidgap_vis.config.reading import suggest
from vidgap_vis.errors import (
    ConfigError,
    InputError,
    TrainingError,
    WeightsError,
    was_terminated,
)

MAX_TABLE_LINES = 24

STAGES = ("pretrain", "finetune")
"""Commands that go on from a run's folder."""

HELP = (["-h"], ["--help"], ["help"])

RENAMED = {"data sample": "data synthetic"}
"""Old names of commands."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, by default the process's own; return the exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    # Threads that spin while they wait stall a shared machine (docs/results/shared_machine.md).
    # OpenMP reads this once, when torch is imported, which every command does later.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_freed_memory()
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names need not be UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")
    show_log()
    try:
        return dispatch(words)
    except SystemExit as stop:  # --help
        return int(stop.code or 0)
    except KeyboardInterrupt as stop:
        return complain(str(stop) or "interrupted", 143 if was_terminated(stop) else 130)
    except WeightsError as error:
        return complain("\n".join([str(error), *shortened(str(error.report))]), error.exit_code)
    except InputError as error:
        return complain(str(error), error.exit_code)
    except OSError as error:
        reason = error.strerror or str(error)
        return complain(f"{error.filename}: {reason}" if error.filename else reason, 1)
    except TrainingError as error:
        return complain(str(error), 1)


def show_log() -> None:
    """Let what our modules log appear on stderr, as it is, in the first process of a run."""
    logger = logging.getLogger("vidgap_vis")
    first = os.environ.get("RANK", "0") == "0"  # as every launcher sets it
    logger.setLevel(logging.INFO if first else logging.WARNING)
    logger.handlers = [logging.StreamHandler()]


def dispatch(words: Sequence[str]) -> int:
    """Find the command, read its arguments and run it."""
    if not words or words[:1] in HELP:
        print(overview(), file=sys.stdout if words else sys.stderr)
        return 0 if words else 2
    if words[0] == "--version":
        from importlib.metadata import version

        print(version("vidgap-vis"))
        return 0
    if words[1:2] in HELP and (group := group_of(words[0])):
        print(overview(words[0], group))
        return 0
    name, rest = find_command(words)
    command = COMMANDS[name](name)
    options = command.parser.parse(with_config_of_resumed(rest, name))
    check_environment()
    return command.run(options)


def check_environment() -> None:
    """Raise ConfigError where VIDGAP_BACKEND has a value that the ops do not know."""
    backend = os.environ.get("VIDGAP_BACKEND", "")
    if backend not in ("", "reference"):
        raise ConfigError("", "VIDGAP_BACKEND", f"wanted reference, or unset, got {backend!r}")


def find_command(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Split a command line into a command's name and the rest; ConfigError where there is none."""
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in COMMANDS:
            return name, words[length:]
        if name in RENAMED:
            raise ConfigError("", name, f"is now called {RENAMED[name]}")
    if group := group_of(words[0]):
        raise ConfigError("", words[0], f"wanted one of: {', '.join(group)}")
    raise ConfigError("", words[0], f"unknown command ({suggest(words[0], list(COMMANDS))})")


def group_of(word: str) -> list[str]:
    """Return the commands of two words that begin with one that is none itself."""
    return [name for name in COMMANDS if name.startswith(f"{word} ") and word not in COMMANDS]


def with_config_of_resumed(words: Sequence[str], stage: str) -> list[str]:
    """Add `-c DIR/config.yaml` to a command line with `--resume DIR` and no `-c`."""
    flags = [word.partition("=") for word in words]
    names = [flag for flag, _, _ in flags]
    if stage not in STAGES or "--resume" not in names or "-c" in names or "--config" in names:
        return list(words)
    from vidgap_vis.training.run_folder import RUN_CONFIG_FILE, read_provenance

    index = names.index("--resume")
    _, equals, value = flags[index]
    if not equals and index + 1 == len(words):
        return list(words)  # the parser says what is missing
    folder = Path(value if equals else words[index + 1])
    read_provenance(folder, stage)
    return ["-c", str(folder / RUN_CONFIG_FILE), *words]


def overview(first: str = "COMMAND", names: Sequence[str] = tuple(COMMANDS)) -> str:
    """Return the list of commands, all or those of a group."""
    width = max(map(len, names))
    lines = [f"  {name:<{width}}  {COMMANDS[name].summary}" for name in names]
    return "\n".join(
        [
            f"usage: vidgap {first} ...",
            "",
            "Pre-train on pseudo-clips, fine-tune on video, track instances, evaluate.",
            "",
            *lines,
            "",
            "vidgap COMMAND --help tells what a command takes, vidgap --version which one this is.",
        ]
    )


def complain(message: str, code: int) -> int:
    """Print a message on stderr; return the exit code."""
    print(f"vidgap: {message}", file=sys.stderr)
    return code


def shortened(table: str) -> list[str]:
    """Return the first lines of a table, and how many more there are."""
    lines = table.splitlines()
    more = len(lines) - MAX_TABLE_LINES
    return lines if more <= 0 else [*lines[:MAX_TABLE_LINES], f"... and {more} more"]
