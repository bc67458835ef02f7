"""Outputs are written whole or not at all, and never over an input.

They get a temporary name first and are renamed at the end.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vidgap_vis.errors import ConfigError, InputError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary file name beside `path` that becomes `path` when the block succeeds.

    An existing file is replaced in one step. When the block fails, on Ctrl-C too, the temporary
    file is removed and `path` is as it was. The name keeps the suffix, by which encoders choose
    their format. Missing parent folders are made.

    Raises:
        InputError: `path` is a folder, its parent cannot be made, or no file can be written there.
    """
    target = Path(path)
    if target.is_dir():
        raise InputError(target, "", "a file is wanted here, got a folder")
    temporary = temporary_sibling(target)
    try:
        try:
            yield temporary
        except OSError as error:
            if error.filename is None or Path(error.filename) != temporary:
                raise
            raise InputError(target, "", f"cannot be written ({error.strerror})") from error
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming_output(path: Path) -> Iterator[None]:
    """Turn what the system says about writing an output, as of a full disk, into an InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(path, "", f"cannot be written ({error.strerror or error})") from error


@contextmanager
def replacing_folder(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path` that becomes `path` when the block succeeds.

    When the block fails, on Ctrl-C too, the temporary folder is removed and `path` is as it was.
    Missing parent folders are made.

    Args:
        path: the folder to write; it may exist if it is empty, and be a link to one.
        overwrite: replace a folder that is not empty. It is moved aside first, then removed.

    Raises:
        InputError: `path` is a file, or holds the working folder, or something and `overwrite` is
            off.
    """
    target = Path(path)
    check_replaceable(target, overwrite=overwrite)
    target = target.resolve() if target.is_symlink() else target
    temporary = temporary_sibling(target)
    temporary.mkdir()
    try:
        yield temporary
        check_folder_is_free(target, overwrite=overwrite)
        _rename_over(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_folder_is_free(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Raise InputError where `path` is a file, or a folder that holds something."""
    target = Path(path)
    if target.exists() and not target.is_dir():
        raise InputError(target, "", "a folder is wanted here, got a file")
    if not overwrite and target.is_dir() and any(target.iterdir()):
        raise InputError(target, "", "the output folder is not empty; choose another or remove it")


def check_replaceable(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Raise InputError as `check_folder_is_free`, and where `path` is or holds the working folder.

    What is written into a folder may go there; what replaces it would leave the shell nowhere.
    """
    target = Path(path)
    if target.exists() and Path.cwd().is_relative_to(target.resolve()):
        raise InputError(target, "", "the working folder cannot be replaced; name one in it")
    check_folder_is_free(target, overwrite=overwrite)


def check_output(flag: str, output: Path, inputs: Iterable[str | Path]) -> None:
    """Raise ConfigError where writing `output` would replace what a command reads.

    Args:
        flag: the option that names the output.
        output: a file, which may exist.
        inputs: files and folders; no file inside such a folder may be replaced.
    """
    check_free(flag, output, {Path(path).resolve() for path in inputs})


def check_free(flag: str, output: Path, sources: Collection[Path]) -> None:
    """Raise ConfigError as `check_output`; `sources` are resolved, a set where they are many."""
    target = output.resolve()
    inside = target.exists() and any(folder in sources for folder in target.parents)
    if target in sources or inside:
        raise ConfigError("", flag, f"{output} is an input, and would be overwritten")
    if target.exists() and not target.is_file():
        raise ConfigError("", flag, f"{output} is no regular file, and would be replaced by one")


def check_keeps_source(out: Path, read: Iterable[Path]) -> None:
    """Raise ConfigError where `out` is, or contains, something that is read."""
    for path in read:
        if path.resolve().is_relative_to(out.resolve()):
            raise ConfigError("", "--out", f"{out} is or holds the source, and would replace it")


def temporary_sibling(target: Path) -> Path:
    """Return an unused hidden name in `target`'s folder, which is made where it is missing."""
    make_parent(target)
    return target.with_name(f".{secrets.token_hex(6)}{target.suffix}")  # no longer than the name


def make_parent(target: Path) -> None:
    """Make the folder that an output goes to; InputError where that cannot be."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(target, "", f"its folder cannot be made ({error.strerror})") from error


def _rename_over(source: Path, target: Path) -> None:
    """Rename a folder to `target`; what was there comes back if renaming fails."""
    if not target.exists():
        source.rename(target)
        return
    aside = temporary_sibling(target)
    target.rename(aside)
    try:
        source.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    shutil.rmtree(aside)
