"""With JavaScript off, a question page still shows all its formulas and figures; links stand in for the search."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import open_details

# How many elements match, and which of them take no room on the page.
BOXES = """(selector) => {
  const found = [...document.querySelectorAll(selector)];
  const empty = (element) => { const box = element.getBoundingClientRect(); return !(box.width && box.height); };
  return { count: found.length, empty: found.filter(empty).map((element) => element.textContent.slice(0, 80)) };
}"""

FIGURES = """() => [...document.querySelectorAll("figure.figure")].map((figure) => {
  const shown = [...figure.querySelectorAll("img")].filter((image) => image.getBoundingClientRect().width);
  return { id: figure.id, loaded: shown.map((image) => image.complete && image.naturalWidth > 0),
           caption: figure.querySelector("figcaption").textContent.trim() };
})"""


def test_a_page_shows_all_it_has(open_page, some_questions, subtests):
    for address in some_questions:
        with subtests.test(address or "/"):
            page = open_page(address, javascript=False)
            expect_figures(page, at_least=4 if address.startswith("tickets/") else 2)
            expect_unfolding(page)
            expect_formulas(page)


def expect_figures(page: Page, at_least: int) -> None:
    figures = page.evaluate(FIGURES)
    assert len(figures) >= at_least
    for figure in figures:
        assert figure["loaded"] == [True], figure
        assert figure["caption"], figure


def expect_unfolding(page: Page) -> None:
    question = page.locator("details.question").first
    question.locator("summary").click()
    assert question.locator("summary ~ *").first.is_visible()


def expect_formulas(page: Page) -> None:
    open_details(page)
    formulas = page.evaluate(BOXES, ".katex")
    assert formulas["count"] == page.locator(".arithmatex").count() > 0
    assert formulas["empty"] == []
    assert page.evaluate("document.fonts.check('16px KaTeX_Math')")


@pytest.mark.parametrize("width", [360, 1280])
def test_links_stand_in_for_the_search(open_page, questions, width):
    page = open_page(questions[0], width=width, javascript=False)
    expect(page.locator(".md-search")).to_be_hidden()
    expect(page.locator("[for=__search]:visible")).to_have_count(0)
    links = page.locator(".unscripted-links a")
    expect(links).to_have_text(["Билеты", "Минимум", "Глоссарий"])
    for link in links.all():
        box = link.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
    links.last.click()
    expect(page).to_have_url(re.compile("/glossary/$"))


def test_the_page_for_missing_addresses_offers_no_search_that_cannot_work(open_page):
    expect(open_page("404.html", javascript=False).locator(".lookup")).to_be_hidden()
    page = open_page("404.html")
    expect(page.locator(".lookup")).to_be_visible()
    expect(page.locator(".unscripted-links")).to_be_hidden()
