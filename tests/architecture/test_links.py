"""The targets of the documentation exist: links, headings, and pages that sources name."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("bench", "configs", "csrc", "docs", "packages", "tests")
KINDS = {".cpp", ".cu", ".h", ".md", ".py", ".sh", ".yaml"}
FILES = sorted(
    path
    for path in (
        *ROOT.glob("*.md"),
        *(file for name in FOLDERS for file in (ROOT / name).rglob("*")),
    )
    if path.suffix in KINDS and path.is_file()
)
PAGES = [path for path in FILES if path.suffix == ".md"]
INDEX = ROOT / "docs/results/README.md"

FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(([^)\s]+)[^)]*\)")
HEADING = re.compile(r"^#+ +(.+?)$", re.MULTILINE)
ANCHOR = re.compile(r'<a id="([^"]+)">')
MENTION = re.compile(
    r"(?<![\w./-])(?:docs/[\w./-]+\.md(?:#[\w-]+)?|(?:tests|bench|csrc)/[a-z0-9_./-]+\.(?:py|sh|cpp|cu|h)\b)"
)
"""A page or file that a comment or docstring names, as it does: from the root of the repository."""

SOURCE = re.compile(r"`(vidgap_\w+/[\w/]+(?:\.py)?)`")
"""A file or folder of a package that a page names, from the package's sources on."""


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def links(page: Path) -> list[str]:
    """Return the targets of a page's links, without those to the net."""
    targets = LINK.findall(CODE.sub("", FENCE.sub("", read(page))))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page: its explicit ones and those that GitHub gives its headings."""
    text = FENCE.sub("", read(page))
    found, seen = set(ANCHOR.findall(text)), Counter[str]()
    for heading in HEADING.findall(text):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def fault(target: str, page: Path, folder: Path, root: Path = ROOT) -> str | None:
    """Return what is wrong with a target that `page` names relative to `folder`, or None."""
    name, _, anchor = target.partition("#")
    path = (folder / name).resolve() if name else page
    if not path.is_relative_to(root) or not path.exists():
        return f"{page.relative_to(root)}: {target} is not there"
    if anchor and anchor not in anchors(path):
        return f"{page.relative_to(root)}: {target}: {path.name} has no such heading"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    faults = [fault(target, page, page.parent) for target in links(page)]
    assert not list(filter(None, faults))


def test_pages_that_files_name_are_there() -> None:
    faults = [fault(target, path, ROOT) for path in FILES for target in MENTION.findall(read(path))]
    assert not list(filter(None, faults))


def test_sources_that_pages_name_are_there() -> None:
    named = [(page, name) for page in PAGES for name in SOURCE.findall(read(page))]
    assert named
    gone = [
        f"{page.relative_to(ROOT)}: {name}"
        for page, name in named
        if not list(ROOT.glob(f"packages/*/src/{name}"))
    ]
    assert not gone


def test_results_are_one_question_a_page_and_all_stand_in_the_index() -> None:
    pages = sorted(set(INDEX.parent.rglob("*.md")) - {INDEX})
    assert pages
    for page in pages:
        title = read(page).partition("\n")[0].removeprefix("# ")
        assert title.endswith("?"), f"{page.name} must begin with a question, got {title!r}"
        name = page.relative_to(INDEX.parent)
        assert f"| [{name.with_suffix('')}]({name}) | {title} |" in read(INDEX)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("# A `b`, c\n[x](#a-b-c)", []),
        ("# A\n# A\n[x](#a-1)", []),
        ('<a id="b"></a>\n[x](page.md#b)', []),
        ("[x](https://example.org/none) `[x](none.md)`", []),
        (
            "```\n[x](none.md)\n# b\n```\n[x](#b)",
            ["guide/page.md: #b: page.md has no such heading"],
        ),
        ("[x](none.md)", ["guide/page.md: none.md is not there"]),
        ('![x](none.png "title")', ["guide/page.md: none.png is not there"]),
        ("[x](../../outside.md)", ["guide/page.md: ../../outside.md is not there"]),
    ],
)
def test_a_link_that_leads_nowhere_is_noticed(text: str, wrong: list[str], tmp_path: Path) -> None:
    root = tmp_path.resolve() / "root"
    page = root / "guide/page.md"
    page.parent.mkdir(parents=True)
    page.write_text(text, encoding="utf-8")
    (root.parent / "outside.md").touch()
    faults = [fault(target, page, page.parent, root) for target in links(page)]
    assert list(filter(None, faults)) == wrong
