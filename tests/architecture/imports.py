"""Who imports whom: the modules of a folder of sources, and the edges between them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("augment", "temporal", "segmenter", "vis")

Graph = Mapping[str, frozenset[str]]
"""Module -> the modules of the same sources that it imports anywhere, in functions and under
TYPE_CHECKING too."""


def package_folder(package: str) -> Path:
    return ROOT / "packages" / package / "src" / f"vidgap_{package}"


def sources(folder: Path) -> list[Path]:
    """Return the Python files of a folder."""
    files = sorted(folder.rglob("*.py"))
    assert files, f"no sources found in {folder}"
    return files


def module_of(path: Path, folder: Path) -> str:
    """Return a file's dotted name; `folder` is the package's own."""
    parts = path.relative_to(folder.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imported(path: Path) -> frozenset[str]:
    """Return every name that a file imports: `a.b` of `import a.b`, `a.b.c` of `from a.b import c`.

    `c` may be a module or a name in `a.b`.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # `from .about import X` within a package
                here = path.parents[node.level - 1]
                outer = [p.name for p in [here, *here.parents] if (p / "__init__.py").exists()]
                base = ".".join([*reversed(outer), *([base] if base else [])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return frozenset(names)


def top_level(names: Iterable[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


@cache
def graph(folder: Path) -> Graph:
    """Return who imports whom among the modules of a package."""
    modules = {module_of(path, folder): path for path in sources(folder)}

    def resolved(name: str) -> str | None:
        return next((n for n in (name, name.rpartition(".")[0]) if n in modules), None)

    return {
        module: frozenset(
            found for name in imported(path) if (found := resolved(name)) not in (None, module)
        )
        for module, path in modules.items()
    }


def circles(edges: Graph) -> list[list[str]]:
    """Return the groups of modules that import one another (Tarjan's components), sorted."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in edges[module]:
            if other not in index:
                visit(other)
            if other in stack:
                low[module] = min(low[module], low[other])
        if low[module] == index[module]:
            group = []
            while module not in group:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for module in edges:
        if module not in index:
            visit(module)
    return sorted(found)
