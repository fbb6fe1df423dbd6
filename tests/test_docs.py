"""README and docs: every relative link leads to a file that is there, and to a heading in it; and
the map of the code names files that are there."""

import re

import pytest
from helpers.hub import STAGE2

ROOT = STAGE2.parent
PAGES = [ROOT / "README.md", *ROOT.glob(".github/*.md"), *STAGE2.glob("docs/*.md")]


def headings(page: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)(.+?)\)", text):
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        assert not anchor or anchor in headings(file.read_text(encoding="utf-8")), target


def test_the_map_of_the_code_names_files_that_are_there():
    there = {path.name for folder in (STAGE2, ROOT / "tests") for path in folder.rglob("*.py")}
    page = (STAGE2 / "docs" / "extend.md").read_text(encoding="utf-8")
    named = {name.split("/")[-1] for name in re.findall(r"`([\w/]+\.py)`", page)}
    assert named and not named - there
