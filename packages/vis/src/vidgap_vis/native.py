"""The compiled extension of this package, where this installation has one."""

from __future__ import annotations

import importlib
import os
import warnings
from types import ModuleType


def _load() -> tuple[ModuleType | None, str]:
    try:
        return importlib.import_module("vidgap_vis._native"), ""
    except ImportError as error:
        return None, str(error)


_native, _why_absent = _load()
_warned: set[str] = set()

_SLOW_EVALUATION = "evaluation runs on its reference in Python, slow and with all results in memory"


def extension(*, warns: bool = True, consequence: str = _SLOW_EVALUATION) -> ModuleType | None:
    """Return the extension; None where its references in Python are to be used.

    Where it is missing, the first call that `warns` of a consequence does so.

    Raises:
        ValueError: VIDGAP_BACKEND is something else than "reference".
    """
    if _reference_is_forced():
        return None
    if _native is None and warns and consequence not in _warned:
        _warned.add(consequence)
        warnings.warn(f"{consequence}: {obstacle()}", RuntimeWarning, stacklevel=3)
    return _native


def obstacle() -> str | None:
    """Say what keeps the extension from being used; None where nothing does."""
    if _reference_is_forced():
        return "VIDGAP_BACKEND=reference"
    if _native is None:
        return (
            f"vidgap_vis._native is not built in this installation ({_why_absent}); reinstall "
            "vidgap-vis where a C++17 compiler is (VIDGAP_REQUIRE_NATIVE=1 makes a failed build "
            "an error)"
        )
    return None


def _reference_is_forced() -> bool:
    value = os.environ.get("VIDGAP_BACKEND", "")
    if value not in ("", "reference"):
        raise ValueError(f"VIDGAP_BACKEND must be 'reference' or unset, got {value!r}")
    return value == "reference"
