"""Every page of the sitemap, in three visits: on a wide screen in both themes, on a phone, and without JavaScript.

A page of formulas takes its time to lay out, so that what a visit shows is all looked at during that visit.
"""

from playwright.sync_api import Page

from tests.browser.accessibility import CONTRAST, FORMULAS_AS_LETTERS, OPTIONS, grave_violations
from tests.browser.conftest import open_details

PHONE = 360

EVERY_IMAGE = "[...document.images].forEach((image) => (image.loading = 'eager'))"
# Responses that the page's own requests got, other than what they asked for.
BROKEN = """() => performance.getEntriesByType("resource")
  .filter((entry) => entry.responseStatus && entry.responseStatus !== 200).map((entry) => entry.name)"""
LOADED = "[...document.images].every((image) => !image.getBoundingClientRect().width || image.complete)"

# Elements wider than the page that no scrolling box contains, to name the culprit.
TOO_WIDE = """() => {
  const limit = document.scrollingElement.clientWidth;
  const boxed = (element) => {
    for (let box = element.parentElement; box && box !== document.body; box = box.parentElement)
      if (getComputedStyle(box).overflowX !== "visible") return true;
    return false;
  };
  return [...document.body.querySelectorAll("*")]
    .filter((element) => element.getBoundingClientRect().right > limit + 0.5 && !boxed(element))
    .map((element) => `${element.tagName}.${element.className}: ${element.textContent.trim().slice(0, 60)}`)
    .slice(0, 5);
}"""

# Formulas whose comma or bracket went to the next line without them; a long one may scroll beside its comma.
TORN = """() => [...document.querySelectorAll(".tied")].filter((tied) => {
  const formula = tied.querySelector(".katex-html");
  const after = tied.lastChild;
  if (!formula || after.nodeType !== Node.TEXT_NODE || !formula.checkVisibility()) return false;
  const mark = document.createRange();
  mark.setStart(after, 0);
  mark.setEnd(after, 1);
  const right = (element) => element.getBoundingClientRect().right;
  const end = Math.min(right([...formula.children].pop()), right(formula.closest(".arithmatex")));
  return mark.getBoundingClientRect().left < end - 2;
}).map((tied) => tied.querySelector("annotation").textContent)"""

FIGURES = """() => [...document.querySelectorAll("figure.figure")].map((figure) => {
  const shown = [...figure.querySelectorAll("img")].filter((image) => image.getBoundingClientRect().width);
  return { id: figure.id, loaded: shown.map((image) => image.complete && image.naturalWidth > 0),
           caption: figure.querySelector("figcaption").textContent.trim() };
})"""

# How many elements match, and which of them take no room on the page.
BOXES = """(selector) => {
  const found = [...document.querySelectorAll(selector)];
  const empty = (element) => { const box = element.getBoundingClientRect(); return !(box.width && box.height); };
  return { count: found.length, empty: found.filter(empty).map((element) => element.textContent.slice(0, 80)) };
}"""


def test_pages_load_whole_and_are_accessible_in_both_themes(open_page, some_pages, subtests):
    """axe finds nothing serious, with all answers unfolded."""
    for address in some_pages:
        page = open_page(address)
        with subtests.test(address or "/", looked_at="requests"):
            page.evaluate(EVERY_IMAGE)
            page.wait_for_function(LOADED)
            assert page.evaluate(BROKEN) == []
        page.evaluate(FORMULAS_AS_LETTERS)
        with subtests.test(address or "/", looked_at="axe"):
            assert grave_violations(page, OPTIONS) == []
        with subtests.test(address or "/", looked_at="contrast in the dark"):
            page.emulate_media(color_scheme="dark")
            page.wait_for_selector("body[data-md-color-scheme=slate]")
            assert grave_violations(page, CONTRAST) == []


def test_pages_fit_a_phone(open_page, some_pages, some_questions, subtests):
    for address in some_pages:
        page = open_page(address, width=PHONE, height=740)
        page.evaluate("document.fonts.ready")
        with subtests.test(address or "/", looked_at="width"):
            expect_no_sideways_scroll(page)
            open_details(page)
            expect_no_sideways_scroll(page)
        if address in some_questions:
            with subtests.test(address, looked_at="punctuation after formulas"):
                assert page.locator(".tied").count() > 0
                assert page.evaluate(TORN) == []


def test_pages_need_no_javascript(open_page, some_pages, some_questions, subtests):
    for address in some_pages:
        page = open_page(address, width=PHONE, height=740, javascript=False)
        page.evaluate("document.fonts.ready")
        with subtests.test(address or "/", looked_at="width"):
            expect_no_sideways_scroll(page)
        if address in some_questions:
            with subtests.test(address, looked_at="figures, questions and formulas"):
                expect_figures(page, at_least=4 if address.startswith("tickets/") else 2)
                expect_unfolding(page)
                expect_formulas(page)
        with subtests.test(address or "/", looked_at="width, unfolded"):
            open_details(page)
            expect_no_sideways_scroll(page)


def expect_no_sideways_scroll(page: Page) -> None:
    scroll, client = page.evaluate("[document.scrollingElement.scrollWidth, document.scrollingElement.clientWidth]")
    assert client == PHONE
    assert scroll <= client, page.evaluate(TOO_WIDE)


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
