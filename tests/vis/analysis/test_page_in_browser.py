"""The page in headless Chromium: clicks, keys, narrow and wide, light and dark."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vis.support.box_files import SIZE, Boxes, BoxVideo, swapped_cats, write_files

from vidgap_vis.cli.main import main
from vidgap_vis.formats.images import write_picture
from vidgap_vis.formats.rle import Rle

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip)")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH (apt install chromium)"),
]

EVIL = (
    "</script><script>document.title = 'broken'</script><img src=x onerror=\"document.title='x'\">"
)
OPENS_WITHIN_MS = 1000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        # The pages are ours, and what runs as root, as containers do, has no sandbox.
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@dataclass(frozen=True)
class Pages:
    """Pages on disk.

    Attributes:
        one: of one result.
        two: of two, side by side.
        large: about 10 MB, of 300 videos.
    """

    one: Path
    two: Path
    large: Path


def analyze(*words: object) -> None:
    assert main(["analyze", *map(str, words)]) == 0


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    folder = tmp_path_factory.mktemp("pages")
    still: Boxes = [(10, 10, 20, 20)] * 8
    good = BoxVideo(8, [(2, still)], [(2, 0.9, still)], name="good")
    evil = BoxVideo(8, [(3, still)], [(1, 0.7, still)], name="evil")
    files = write_files(
        folder / "small", [good, evil, swapped_cats()], categories=["cat", "dog", EVIL]
    )
    other = write_files(
        folder / "other", [good, evil, BoxVideo(8)], categories=["cat", "dog", EVIL]
    ).results
    start = (files.results, "--gt", files.truth, "--images", files.images)
    made = Pages(folder / "one.html", folder / "two.html", folder / "large.html")
    analyze(*start, "--out", made.one)
    analyze(*start, "--out", made.two, "--against", other)
    many = write_files(folder / "many", [swapped_cats() for _ in range(300)], pictures=False)
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    write_picture(many.images / "noise.jpg", noise)
    text = re.sub(r"v/\d+_\d+\.png", "noise.jpg", many.truth.read_text())
    many.truth.write_text(text)
    analyze(many.results, "--gt", many.truth, "--images", many.images, "--out", made.large)
    return made


Open = Callable[..., Any]


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Open a page; afterwards nothing must have gone wrong in it, and nothing been asked for."""
    faults: list[str] = []
    contexts = []

    def opened(path: Path, width: int = 1200, scheme: str = "light", anchor: str = "") -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: faults.append(said.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("requestfailed", lambda request: faults.append(request.url))
        page.goto(path.as_uri() + anchor)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


def names(page: Any) -> list[str]:
    return list(page.locator("details.video:visible .name").all_inner_texts())


def test_the_table_of_classes_sorts(pages: Pages, open_page: Open) -> None:
    page = open_page(pages.one)
    table = page.locator("#class-table")

    def column(place: int) -> list[str]:
        return list(table.locator(f"tbody tr > :nth-child({place})").all_inner_texts())

    head = table.locator("thead button").nth(2)
    assert head.inner_text() == "AP"
    head.click()
    assert column(1)[0] == "dog"
    assert head.locator("..").get_attribute("aria-sort") == "descending"
    head.press("Enter")
    assert column(1)[-1] == "dog"
    assert head.locator("..").get_attribute("aria-sort") == "ascending"
    table.locator("thead button").first.click()
    assert column(1) == sorted(column(1), key=str.lower)
    assert head.locator("..").get_attribute("aria-sort") is None


def test_videos_are_filtered_and_sorted(pages: Pages, open_page: Open) -> None:
    page = open_page(pages.one)
    assert names(page) == ["v", "evil", "good"]
    assert page.locator("#num-videos").inner_text() == "3 of 3 videos"
    page.locator("#filter-cause").select_option("class")
    assert names(page) == ["evil"]
    page.locator("#filter-cause").select_option("identity switches")
    assert names(page) == ["v"]
    page.locator("#filter-cause").select_option("")
    page.locator("#filter-name").fill("OO")
    assert names(page) == ["good"]
    assert page.locator("#num-videos").inner_text() == "1 of 3 videos"
    page.locator("#filter-name").fill("")
    page.locator("#sort-videos").select_option("id")
    assert names(page) == ["good", "evil", "v"]


def test_a_video_opens_and_tells(pages: Pages, open_page: Open) -> None:
    page = open_page(pages.one)
    video = page.locator("#v9")
    assert video.locator(".lane").count() == 0
    video.locator("summary").click()
    labels = video.locator(".label").all_inner_texts()
    assert labels[0] == "cat 3: association, found in 8 of 8 frames"
    assert "dog 5: missed, found in 0 of 8 frames" in labels
    assert video.locator(".switch").count() == 2
    assert video.locator(".told").inner_text().startswith("Frame 0. cat 3: track 0; cat 4: track 1")
    video.get_by_role("button", name="switch ▶").click()
    told = video.locator(".told").inner_text()
    assert told.startswith(
        "Frame 4. cat 3: track 1, a switch; cat 4: track 0, a switch; dog 5: not"
    )
    slider = video.get_by_role("slider")
    for key, frame in (("ArrowRight", 5), ("End", 7), ("ArrowLeft", 6), ("Home", 0)):
        slider.press(key)
        assert video.locator(".told").inner_text().startswith(f"Frame {frame}.")


def test_by_the_keyboard_alone(pages: Pages, open_page: Open) -> None:
    page = open_page(pages.one)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('details.video > summary')"):
            break
    page.keyboard.press("Enter")
    assert page.locator("details.video[open]").count() == 1
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the button before the slider does nothing: no switch before
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    assert page.locator(".told").inner_text().startswith("Frame 7.")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


def test_strips_are_drawn_when_they_are_seen(pages: Pages, open_page: Open) -> None:
    page = open_page(pages.one)
    assert page.locator("canvas").count() == 0
    page.locator("#v9 summary").click()
    strip = page.locator("#v9 .strip").first
    strip.scroll_into_view_if_needed()
    page.wait_for_selector("#v9 .strip[data-drawn]")
    assert strip.locator("figcaption").inner_text() == (
        "identity switch in frame 4: cat 3, track 0 to 1"
    )
    canvases = strip.locator("canvas")
    assert canvases.count() == 10
    assert canvases.first.get_attribute("aria-label") == "truth, frame 2: cat 3; cat 4; dog 5"
    # Inside the dog's mask the frame's colour is mixed with the mask's; beside it, it is not.
    pixels = """(canvas) => {
        const scale = canvas.width / 96;
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return [[90, 60], [21.5, 51.5]].map(([x, y]) => {
            const at = 4 * (Math.round(scale * y) * canvas.width + Math.round(scale * x));
            return [...data.slice(at, at + 3)];
        });
    }"""
    beside, inside = canvases.first.evaluate(pixels)
    assert all(abs(a - b) < 12 for a, b in zip(beside, (18, 90, 160), strict=True))
    mixed = [(a + b) / 2 for a, b in zip((18, 90, 160), (0, 158, 115), strict=True)]
    assert all(abs(a - b) < 16 for a, b in zip(inside, mixed, strict=True))


def test_masks_are_decoded_as_they_were_encoded(pages: Pages, open_page: Open) -> None:
    page = open_page(pages.one)
    rng = np.random.default_rng(0)
    for density in (0.0, 0.001, 0.03, 0.5, 1.0):
        mask = rng.random((37, 53)) < density
        mask[5:30, 10:12] = True
        found = page.evaluate(
            "([text, h, w]) => [...decodedMask(text, h, w)]", [Rle.encode(mask).counts, 37, 53]
        )
        assert found == mask.T.ravel().astype(int).tolist()


def test_names_run_nothing(pages: Pages, open_page: Open) -> None:
    page = open_page(pages.one)
    page.locator("#v8 summary").click()
    page.locator("#v8 .strip").first.scroll_into_view_if_needed()
    page.wait_for_selector("#v8 .strip[data-drawn]")
    assert page.title() == "Why AP is lost: results"
    assert page.locator("img").count() == 0
    assert EVIL in page.locator("#v8 .label").first.inner_text()


def test_an_address_opens_a_video(pages: Pages, open_page: Open) -> None:
    page = open_page(pages.one, anchor="#v8")
    assert page.locator("details.video[open]").get_attribute("id") == "v8"
    assert page.locator("#v8 .lane").count() > 0


def test_two_results_side_by_side(pages: Pages, open_page: Open) -> None:
    page = open_page(pages.two)
    assert page.locator("#causes tbody tr").count() == 14
    assert page.locator(".curve").count() == 2
    page.locator("#v9 summary").click()
    assert (
        page.locator("#v9 h4").all_inner_texts() == ["results", "results"]
        or len(page.locator("#v9 .lanes").all()) == 2
    )
    assert ". " in page.locator("#v9 .told").inner_text()
    page.locator("#v9 .strip").first.scroll_into_view_if_needed()
    page.wait_for_selector("#v9 .strip[data-drawn]")
    assert page.locator("#v9 .strip").first.locator("canvas").count() == 15


@pytest.mark.parametrize("width", [360, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["one", "two"])
def test_narrow_and_wide_light_and_dark(
    which: str, scheme: str, width: int, pages: Pages, open_page: Open
) -> None:
    page = open_page(getattr(pages, which), width, scheme)
    for video in page.locator("details.video summary").all():
        video.click()
    page.wait_for_timeout(100)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRASTS) == []


CONTRASTS = """() => {
    const channels = (text) => text.match(/[\\d.]+/g).map(Number);
    const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const light = (rgb) => {
        const [r, g, b] = rgb.map((c) => linear(c / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (node) => {
        for (; node; node = node.parentElement) {
            const [r, g, b, a = 1] = channels(getComputedStyle(node).backgroundColor);
            if (a === 1) return [r, g, b];
        }
        return [255, 255, 255];
    };
    const texts = "p, li, h1, h2, h3, h4, th, td, a, span, button, label, summary, output";
    const others = ".quiet, .lane, .stack, .skip, svg, :disabled";
    const found = [];
    for (const node of document.querySelectorAll(texts)) {
        if (node.closest(others) || !node.innerText.trim() || !node.checkVisibility()) continue;
        const own = light(channels(getComputedStyle(node).color).slice(0, 3));
        const [low, high] = [own, light(ground(node))].sort((a, b) => a - b);
        const ratio = (high + 0.05) / (low + 0.05);
        if (ratio < 4.5) found.push(`${node.tagName} ${node.className} ${ratio.toFixed(1)}`);
    }
    return found;
}"""
"""Texts whose contrast is below 4.5 to 1 (WCAG 2.2, 1.4.3)."""


def test_a_large_page_opens_at_once(pages: Pages, open_page: Open) -> None:
    assert 9.5e6 < pages.large.stat().st_size <= 10e6
    page = open_page(pages.large)
    loaded = page.evaluate("performance.getEntriesByType('navigation')[0].domComplete")
    print(f"opened in {loaded:.0f} ms")  # a time, and so no test: bench measures it
    page.locator("details.video summary").last.click()
    page.locator("details.video[open] .lane").first.wait_for(state="attached")  # drawn by an event
