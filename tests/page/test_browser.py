"""The page in a real browser, Chromium without a window, opened from the disk."""

import itertools
import re
import shutil
import sys

import numpy as np
import pytest
from helpers.pages import page_of, write_pairs
from helpers.run_folders import bert, clip, make_run

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: the page is not driven"
)

N = 90
LABELS = np.arange(N) % 3
IRONY = "真是好天气，才怪"
MODELS = {"text": (bert("text"), 40), "image": (bert("image"), 45), "late": (bert("late"), 30)}
MODELS |= {"concat": (bert("concat"), 12), "clip": (clip(), 6)}
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def browser():
    installed = shutil.which("chromium") or shutil.which("google-chrome")
    with playwright.sync_playwright() as driver:
        try:
            found = driver.chromium.launch(executable_path=installed, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no Chromium to drive: {str(error).splitlines()[0]}")
        yield found
        found.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    """A page of five runs on 90 pairs. Late fusion misses the ironic ones, as in the demo."""
    root = tmp_path_factory.mktemp("page") / "我的 项目"
    texts = [f"{IRONY if 12 <= i < 30 else '今天去公园'} {i}" for i in range(N)]
    texts[80:84] = [EVIL, "שלום \u202e gnp.exe", "\"'`{{ 7*7 }}", "a" * 1_000_000]
    record = write_pairs(root, LABELS, texts)
    for name, (model, wrong) in MODELS.items():
        said = np.where(np.arange(N) < wrong, (LABELS + 1) % 3, LABELS)
        folder = root / "outputs/compare"
        make_run(folder, name, labels=LABELS, predictions=said, model=model, **record)
    page_of(root)
    return (root / "outputs/compare/visuals/index.html").as_uri()


@pytest.fixture
def opened(browser, address):
    """Open the page with a size and a theme, and fail if anything goes wrong in it."""
    contexts, wrong = [], []

    def open_page(hash: str = "", width: int = 1024, theme: str = "light"):
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=theme,
            permissions=["clipboard-read", "clipboard-write"],
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: wrong.append(said.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(dialog.message) or dialog.dismiss())
        page.on("request", lambda asked: wrong.extend(re.findall("^https?:.*", asked.url)))
        page.goto(address + hash)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def count(page) -> int:
    return int(re.match(r"(\d+)|No", page.inner_text("#count"))[1] or 0)


def guids(page) -> list[int]:
    return [int(text[4:]) for text in page.locator(".card .guid").all_text_contents()]


def test_it_fits_the_window_follows_the_system_and_remembers_its_switches(opened):
    for width, theme in itertools.product((390, 1024, 1920), ("light", "dark")):
        page = opened(width=width, theme=theme)
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        assert page.inner_text("h1") == "Ways of joining text and image, compared"
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.click("#language")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.click("#theme")
    page.reload()
    assert page.inner_text("h1") == "图文融合方式比较" == page.title()
    assert page.inner_text("#presets a >> nth=1").startswith("全都错")
    assert page.inner_text("th.verdict-best, td.verdict-best") == "第一名"
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.evaluate("document.documentElement.lang") == "zh-CN"


def test_a_heading_sorts_the_table_both_ways(opened):
    page = opened()
    table = page.locator("table.sortable").first
    names = table.locator("tbody th")
    best_first = ["clip", "concat", "late", "text", "image"]
    assert names.all_inner_texts() == best_first
    heading = table.locator("thead th").nth(1)
    heading.locator("button").click()
    assert names.all_inner_texts() == best_first
    assert heading.get_attribute("aria-sort") == "descending"
    heading.locator("button").press("Enter")
    assert names.all_inner_texts() == best_first[::-1]
    assert heading.get_attribute("aria-sort") == "ascending"


def test_each_preset_shows_as_many_pairs_as_it_says(opened):
    page = opened()
    for place in range(page.locator("#presets a").count()):
        link = page.locator("#presets a").nth(place)
        promised = int(re.search(r"\((\d+)\)", link.inner_text())[1])
        link.click()
        page.wait_for_function(
            "place => document.querySelectorAll('#presets a')[place].ariaCurrent === 'true'",
            arg=place,
        )
        assert count(page) == promised
        assert page.locator(".card").count() == min(20, promised)
        assert page.locator("#presets a[aria-current]").inner_text().endswith(f"({promised})")


def test_a_cell_of_a_confusion_matrix_leads_to_its_pairs(opened):
    page = opened()
    matrix = page.locator("table.matrix").nth(2)  # late
    cell = matrix.locator("tbody tr").nth(0).locator("td a").nth(1)
    assert cell.inner_text().split()[0] == "10"
    cell.click()
    page.wait_for_function("document.querySelector('#filter').elements.run1.value === 'late'")
    assert guids(page) == [i for i in range(30) if LABELS[i] == 0]
    assert page.locator("#pairs").evaluate("node => node.getBoundingClientRect().top") < 300
    said = page.locator(".card").first.locator(".said li", has_text="late")
    assert "✗ neutral" in said.text_content()


def test_which_pairs_late_gets_wrong_that_concat_gets_right_and_why(opened):
    page = opened()
    page.select_option("[name=run1]", "late")
    page.wait_for_function("document.querySelector('[name=is1]').value === 'wrong'")
    page.select_option("[name=run2]", "concat")
    page.wait_for_function("document.querySelector('[name=is2]').value === 'wrong'")
    page.select_option("[name=is2]", "right")
    page.wait_for_function("document.querySelectorAll('.card').length === 18")
    assert guids(page) == list(range(12, 30))
    texts = page.locator(".card .text").all_text_contents()
    assert len(texts) == 18 and all(text.startswith(IRONY) for text in texts)
    quoted = page.url
    page.goto("about:blank")
    page.goto(quoted)
    assert guids(page) == list(range(12, 30))


def test_runs_that_are_right_alone_and_slices_lead_to_their_pairs(opened):
    page = opened()
    link = page.locator("#confusion ~ p a", has_text="clip")
    assert link.inner_text() == "clip (6)"
    link.click()
    page.wait_for_function("document.querySelectorAll('.card').length === 6")
    assert guids(page) == list(range(6, 12))
    page = opened()
    cell = page.locator("#slices ~ div table tbody tr", has_text="1–50").locator("a")
    promised = int(cell.inner_text())
    cell.click()
    page.wait_for_function("document.querySelector('#filter').elements.slice.value !== ''")
    assert count(page) == promised


def test_search_finds_texts_and_guids_and_the_back_button_undoes_a_filter(opened):
    page = opened()
    page.select_option("[name=true]", "positive")
    page.wait_for_function("document.querySelector('#count').textContent.startsWith('30 ')")
    page.fill("[name=q]", "才怪")
    page.wait_for_function("document.querySelectorAll('.card').length === 6")
    page.fill("[name=q]", "PAIR77")
    page.wait_for_function("document.querySelectorAll('.card').length === 1")
    assert guids(page) == [77]
    page.fill("[name=q]", "nowhere (")
    page.wait_for_function("document.querySelectorAll('.card').length === 0")
    assert page.inner_text("#count") == "No pair is like this."
    page.go_back()
    page.wait_for_function("document.querySelectorAll('.card').length === 20")
    assert count(page) == 90 and page.input_value("[name=true]") == ""


def test_a_link_to_a_section_opens_the_page_without_a_filter(opened):
    page = opened("#results")
    assert count(page) == N and page.input_value("[name=q]") == ""
    assert page.locator("#filter select").evaluate_all("all => all.map((each) => each.value)") == (
        [""] * 6
    )
    assert page.locator("#presets a[aria-current]").inner_text() == f"All ({N})"


def test_paging_goes_through_all_pairs_once(opened):
    page, seen = opened(), []
    for place in range(1, 6):
        page.wait_for_function(f"document.querySelector('#at').textContent === 'Page {place} of 5'")
        seen += guids(page)
        if place < 5:
            page.press("#next", "Enter")
    assert seen == list(range(N))
    assert page.locator("#next").is_disabled()


def test_photos_come_from_the_disk_in_view_and_what_data_say_is_shown_as_text(opened):
    page = opened()
    image = page.locator(".card img").first
    assert not image.evaluate("node => node.complete && node.naturalWidth > 0")
    image.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('.card img').naturalWidth === 256")
    page = opened("#q=pair8")
    shown = page.locator(".card .text").all_text_contents()
    assert EVIL in shown and "\"'`{{ 7*7 }}" in shown
    assert any("1,000,000 characters, cut here" in text for text in shown)
    assert page.locator(".card .text >> css=script, .card .text >> css=img").count() == 0


def test_tables_are_copied_as_markdown_latex_and_csv(opened):
    page = opened()
    for format, expected in {
        "Markdown": r"\| clip \| 0\.93\d \| ",
        "LaTeX": r"\\begin\{tabular\}\{lr+\}\n\\hline\nModel & Macro-F1 &",
        "csv": r'"Model","Macro-F1",',
    }.items():
        page.locator("#results ~ .copy button", has_text=format).click()
        page.wait_for_function("document.querySelector('#message').textContent === 'Copied'")
        assert re.search(expected, page.evaluate("navigator.clipboard.readText()"))


def test_a_filter_is_reached_and_used_by_keyboard_alone(opened):
    page = opened()
    page.focus("#presets a >> nth=1")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('.card').length === 6")
    assert page.locator("#presets a[aria-current]").inner_text().startswith("All wrong")
    assert page.evaluate("document.activeElement.textContent").startswith("All wrong")
    for field in ("true", "run1", "is1", "run2", "is2", "slice", "q"):
        labelled = page.locator(f"[name={field}]").evaluate(
            "node => Boolean(node.labels.length || node.getAttribute('aria-label'))"
        )
        assert labelled, field


@pytest.mark.skipif(sys.platform == "win32", reason="file names")
def test_print_shows_results_and_no_controls(opened):
    page = opened(width=794)  # A4
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 794
    assert not page.locator("nav").is_visible() and not page.locator("#filter").is_visible()
    assert page.locator("table.sortable").first.is_visible()
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    assert page.pdf()[:5] == b"%PDF-"
