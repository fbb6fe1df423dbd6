"""The page in a real browser, Chromium without a window, opened from the disk."""

import csv
import io
import itertools
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from common.comparison.decided import KINDS
from common.words import ENGLISH
from helpers.pages import data_of, page_of, write_pairs
from helpers.run_folders import bert, clip, make_run, write_parts

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: the page is not driven"
)

N = 90
LABELS = np.arange(N) % 3
IRONY = "真是好天气，才怪"
MODELS = {"text": (bert("text"), 40), "image": (bert("image"), 45), "late": (bert("late"), 30)}
MODELS |= {"concat": (bert("concat"), 12), "clip": (clip(), 6)}
NAMES = ["CLIP", "BERT + ResNet18 · concat", "BERT + ResNet18 · late"]
NAMES += ["BERT · text only", "ResNet18 · image only"]  # best first
# One pair of three was probed. What decides is known of pairs 0, 3, ...: of concat now one kind, now
# another, of late the text.
WHO = [KINDS[place // 3 % 6] for place in range(N)]
SHARES = {"text": (3, 0, 0), "image": (0, 3, 0), "both": (0.8, 0.8, 0), "either": (3, 3, 0)}
SHARES |= {"neither": (0, 0, 0), "interaction": (0, 0, 3)}
PARTS = {name: np.zeros((4, N, 3)) for name in ("concat", "late")}
for parts in PARTS.values():
    parts[0, :, 0] = 1
PARTS["late"][1, :, 1] = 3
PARTS["concat"][1:, :, 1] = np.array([SHARES[kind] for kind in WHO]).T
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
def project(tmp_path_factory):
    """A page of five models on 90 pairs. Late fusion misses the ironic ones, as in the demo."""
    root = tmp_path_factory.mktemp("page") / "我的 项目"
    texts = [f"{IRONY if 12 <= i < 30 else '今天去公园'} {i}" for i in range(N)]
    texts[80:84] = [EVIL, "שלום \u202e gnp.exe", "=1+1", "a" * 1_000_000]
    record = write_pairs(root, LABELS, texts)
    for name, (model, wrong) in MODELS.items():
        said = np.where(np.arange(N) < wrong, (LABELS + 1) % 3, LABELS)
        folder = root / "outputs/compare"
        run = make_run(folder, name, labels=LABELS, predictions=said, model=model, **record)
        if name in ("concat", "late"):
            write_parts(run, PARTS[name], np.arange(0, N, 3))
    page_of(root)
    return root


@pytest.fixture
def opened(browser, project):
    """Open the page with a size and a theme, and fail if anything goes wrong in it."""
    contexts, wrong = [], []
    address = (project / "outputs/compare/visuals/index.html").as_uri()

    def open_page(hash: str = "", width: int = 1024, theme: str = "light"):
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=theme,
            permissions=["clipboard-read", "clipboard-write"],
            bypass_csp=True,  # playwright's waiting needs eval, which the page forbids
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


def show_all(page) -> list[int]:
    """The pairs of all pages of what is found."""
    seen = guids(page)
    while page.locator("#next").is_enabled():
        at = page.inner_text("#at")
        page.press("#next", "Enter")
        page.wait_for_function(f"document.querySelector('#at').textContent !== {at!r}")
        seen += guids(page)
    return seen


def promised(link) -> int:
    return int(re.search(r"\((\d+)\)|(\d+) pairs", link.inner_text()).expand(r"\1\2"))


def test_it_fits_the_window_follows_the_system_and_remembers_its_theme(opened):
    for width, theme in itertools.product((390, 1024, 1920), ("light", "dark")):
        page = opened(width=width, theme=theme)
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        assert page.inner_text("h1").startswith("On 90 validation pairs CLIP is first")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        table = page.locator("table.models")
        assert table.evaluate("node => node.scrollWidth - node.parentNode.clientWidth") <= 0
    page.click("#theme")
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"


def test_the_table_shows_seven_columns_and_the_rest_on_demand_and_sorts(opened):
    page = opened()
    heads, names = page.locator(".models thead th:visible"), page.locator(".models tbody th")
    assert heads.count() == 7
    best_first = [*names.all_inner_texts()]
    assert best_first[:5] == NAMES
    page.click(".show-more >> nth=0")
    assert heads.count() > 12
    heading = page.locator(".models thead th").nth(1)
    heading.locator("button").click()
    assert names.all_inner_texts() == best_first
    assert heading.get_attribute("aria-sort") == "descending"
    heading.locator("button").press("Enter")
    assert names.all_inner_texts() == best_first[::-1]


def test_each_preset_and_each_question_shows_as_many_pairs_as_it_says(opened):
    """Whatever was filtered before."""
    page = opened("#true=positive&q=nothing")
    links = page.locator("#presets a, .questions a[href*='=']")
    assert links.count() > 12
    for place in range(links.count()):
        link = links.nth(place)
        address = link.get_attribute("href")
        link.click()
        page.wait_for_function("address => location.hash === address", arg=address)
        page.wait_for_timeout(50)
        assert count(page) == promised(link), address
        assert page.locator(".card").count() == min(20, promised(link))
    assert page.input_value("[name=q]") == ""


def test_sorting_puts_doubtful_labels_disagreement_and_confidence_first(opened, project):
    found = data_of(project, (project / "outputs/compare/visuals/index.html").read_text("utf-8"))
    numbers = [int(guid[4:]) for guid in found["guids"]]
    for order, values in {
        "doubt": np.array(found["doubt"]),
        "disagreement": -np.array(found["disagreement"]),
        "sure": -np.array(found["sure"]),
        "unsure": np.array(found["sure"]),
    }.items():
        shown = show_all(opened(f"#sort={order}"))
        assert shown == [numbers[place] for place in np.argsort(values, kind="stable")]


def test_a_cell_of_a_confusion_matrix_leads_to_its_pairs(opened):
    page = opened()
    matrix = page.locator("table.matrix").nth(2)  # late
    cell = matrix.locator("tbody tr").nth(0).locator("td a").nth(1)
    assert cell.inner_text().split()[0] == "10"
    cell.click()
    page.wait_for_function("document.querySelectorAll('.card').length === 10")
    assert sorted(guids(page)) == [i for i in range(30) if LABELS[i] == 0]
    assert page.locator("#pairs").evaluate("node => node.getBoundingClientRect().top") < 300
    said = page.locator(".card").first.locator(".said li", has_text="late")
    assert "✗ neutral" in said.text_content()


def test_which_pairs_late_gets_wrong_that_concat_gets_right_and_why(opened):
    page = opened()
    page.select_option("[name=model1]", NAMES[2])
    page.wait_for_function("document.querySelector('[name=is1]').value === 'wrong'")
    page.select_option("[name=model2]", NAMES[1])
    page.wait_for_function("document.querySelector('[name=is2]').value === 'wrong'")
    page.select_option("[name=is2]", "right")
    page.wait_for_function("document.querySelectorAll('.card').length === 18")
    assert sorted(guids(page)) == list(range(12, 30))
    texts = page.locator(".card .text").all_text_contents()
    assert len(texts) == 18 and all(text.startswith(IRONY) for text in texts)
    quoted = page.url
    page.goto("about:blank")
    page.goto(quoted)
    assert sorted(guids(page)) == list(range(12, 30))


def test_what_decides_an_answer_is_shown_filtered_and_counted_for_each_model(opened):
    page = opened("#preset=")
    links = page.locator("table.decided td a")
    assert links.count() == 12  # six kinds of two models
    for place in range(12):
        page.evaluate(
            "address => { location.hash = address; }", links.nth(place).get_attribute("href")
        )
        kind = KINDS[place % 6]
        own = [pair for pair in range(0, N, 3) if (WHO[pair] if place < 6 else "text") == kind]
        page.wait_for_function(
            f"parseInt(document.querySelector('#count').textContent) || 0 === {len(own)}"
        )
        assert sorted(show_all(page)) == own
        assert page.locator("#presets [aria-current]").count() == (place < 6 and bool(own))
    page.evaluate("location.hash = 'q=pair3'")
    page.wait_for_function("document.querySelectorAll('.card').length === 11")
    shown = page.locator(".card", has_text="pair3 ·").locator(".by").all_text_contents()
    assert shown == [ENGLISH(f"decided_{WHO[3]}"), ENGLISH("decided_text")]


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
    assert count(page) == N and page.locator("#presets a[aria-current]").inner_text() == "All (90)"
    values = page.locator("#filter select").evaluate_all("all => all.map((each) => each.value)")
    assert values == [""] * 7
    assert sorted(show_all(page)) == list(range(N))


def test_texts_are_shown_as_text_and_a_click_shows_the_whole_photo(opened):
    page = opened("#q=pair8")
    shown = page.locator(".card .text").all_text_contents()
    assert EVIL in shown and any("1,000,000 characters, cut here" in text for text in shown)
    assert page.locator(".card .text >> css=script, .card .text >> css=img").count() == 0
    page.wait_for_function("document.querySelector('.card img').naturalWidth === 256")
    page.click(".enlarge >> nth=0")
    page.wait_for_function("document.querySelector('dialog img').naturalWidth > 0")
    size = "node => [node.naturalWidth, node.naturalHeight]"
    first = guids(page)[0]
    assert page.locator("dialog img").evaluate(size) == [40 + first % 30, 50]
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()


def test_the_pairs_that_are_shown_are_saved_as_csv(opened):
    page = opened("#q=pair8")
    with page.expect_download() as download:
        page.click("#save")
    content = download.value.path().read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    header, *rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    assert header[:5] == ["guid", "text", "image_path", "label", "p_label"]
    assert header[5:15:2] == NAMES and header[15:] == [f"decided {name}" for name in NAMES[1:3]]
    assert sorted(int(row[0][4:]) for row in rows) == [8, *range(80, 90)]
    of = {row[0]: row for row in rows}
    assert of["pair82"][1] == "'=1+1" and of["pair80"][1] == EVIL
    assert of["pair8"][2] == "data/8.png" and of["pair8"][3] == "positive"
    assert of["pair8"][5:15:2] == ["positive", *["negative"] * 4]
    assert all(0 <= float(cell) <= 1 for row in rows for cell in row[6:15:2])
    assert [of[f"pair{pair}"][15:] for pair in (8, 84, 87)] == [
        ["", ""],
        [WHO[84], "text"],
        [WHO[87], "text"],
    ]


def test_labels_are_checked_with_answers_hidden_and_random_pairs_among_doubtful_ones(opened):
    page = opened()
    page.click("#checking summary")
    page.fill("#check-count", "10")
    page.press("#check-count", "Enter")
    page.wait_for_function("document.querySelectorAll('.marks').length < 20")
    shown = guids(page)
    doubtful = show_all(opened("#sort=doubt"))[:10]
    assert set(doubtful) < set(shown) and len(shown) <= 20 and shown[: len(doubtful)] != doubtful
    assert page.locator(".card .said, .card h3 small:not(:empty)").count() == 0
    for place in range(len(shown)):
        card = page.locator(".card").nth(place)
        if place % 2:
            card.locator("button", has_text="Label right").click()
        else:
            card.locator("select").select_option(index=1)
    assert re.search(r"Of the 10 random ones .* wrong, \d+ labels", page.inner_text("#checked"))
    page.reload()
    page.click("#checking summary")
    with page.expect_download() as download:
        page.click("#save-marks")
    header, *rows = csv.reader(io.StringIO(download.value.path().read_text("utf-8-sig")))
    assert header == ["guid", "label", "mark", "corrected"] and len(rows) == len(shown)
    for guid, label, mark, corrected in rows:
        is_right = shown.index(int(guid[4:])) % 2
        assert mark == ("right" if is_right else "wrong") and corrected != label
        assert bool(corrected) != is_right
    page.click("#checking summary")
    page.wait_for_function("document.querySelectorAll('.card .said').length === 20")


@pytest.fixture
def copied(opened):
    """Return what a button copies."""
    page = opened()

    def copy(button: str) -> str:
        page.click(button)
        page.wait_for_function("document.querySelector('#message').textContent === 'Copied'")
        text = page.evaluate("navigator.clipboard.readText()")
        page.wait_for_function("document.querySelector('#message').textContent === ''")
        return text

    return copy


def test_sentences_and_tables_are_copied(copied):
    assert re.search("^On 90 validation pairs CLIP is .* random seed", copied("#copy-sentence"))
    markdown = copied("#results ~ .block button:text-is('Markdown')")
    assert re.search(r"\| CLIP \| 0\.93\d \| 0\.\d{3}–\d\.\d{3} \| best", markdown)
    table = copied("#results ~ .block button:text-is('csv')")
    first, second, *_ = csv.reader(io.StringIO(table))
    assert first[:2] == ["Model", "Macro-F1"] and second[0] == "CLIP" and len(second) == 7


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
def test_the_latex_fits_a_page_in_one_column_and_in_two(copied, tmp_path):
    table = copied("#results ~ .block button:text-is('LaTeX')")
    assert r"\textbf{CLIP} & \textbf{0.93" in table and "90 validation pairs" in table
    for options in ("", "twocolumn"):
        source = rf"\documentclass[{options}]{{article}}\usepackage{{booktabs,graphicx}}"
        source += rf"\begin{{document}}Text.{table}\end{{document}}"
        (tmp_path / "paper.tex").write_text(source, encoding="utf-8")
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True)
        log = done.stdout.decode("utf-8", "replace")
        assert done.returncode == 0 and "Overfull" not in log, log


@pytest.mark.skipif(sys.platform == "win32", reason="file names")
def test_print_shows_results_and_no_controls(opened):
    page = opened(width=794)  # A4
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 794
    assert not page.locator("nav").is_visible() and not page.locator("#filter").is_visible()
    assert page.locator("table.models").is_visible()
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    assert page.pdf()[:5] == b"%PDF-"
