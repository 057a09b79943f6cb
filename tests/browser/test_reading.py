"""What a reader does on a page: previews a link, copies a formula, zooms a figure, goes on."""

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import wait_for_layout

# The first internal link of the page whose target section, up to the next heading, holds a formula.
LINK_TO_FORMULA = """async () => {
  for (const link of document.querySelectorAll("article a[href*='#']:not(.term)")) {
    if (link.origin !== location.origin || link.pathname === location.pathname || !link.hash) continue;
    if (!link.checkVisibility()) continue;
    const text = await (await fetch(link.href)).text();
    const target = new DOMParser().parseFromString(text, "text/html").getElementById(link.hash.slice(1));
    const last = (block) => !block || /^H\\d$/.test(block.tagName);
    const blocks = (block) => (last(block) ? [] : [block, ...blocks(block.nextElementSibling)]);
    if (blocks(target?.nextElementSibling).some((block) => block.querySelector(".katex"))) return link;
  }
  return null;
}"""

SELECT = """(element) => {
  getSelection().removeAllRanges();
  getSelection().selectAllChildren(element);
}"""


def expect_typeset(page: Page) -> None:
    expect(page.locator("article .katex").first).to_be_visible()
    assert page.locator("article .katex").count() == page.locator("article .arithmatex").count()


def test_preview_of_a_link_shows_typeset_formulas(open_page, some_questions, subtests):
    previewed = 0
    for address in some_questions:
        page = open_page(address)
        link = page.evaluate_handle(LINK_TO_FORMULA).as_element()
        if link is None:
            continue
        wait_for_layout(page)
        with subtests.test(address or "/"):
            link.scroll_into_view_if_needed()
            link.hover()
            preview = page.locator(".md-tooltip2--active")
            expect(preview.locator(".katex-html").first).to_be_visible()
            assert not re.search(r"\\\(|\$\$|\\frac", visible_text(preview))
            previewed += 1
    assert previewed > 0


def visible_text(locator) -> str:
    return locator.evaluate(
        """(element) => { const copy = element.cloneNode(true);
           copy.querySelectorAll(".katex-mathml").forEach((hidden) => hidden.remove()); return copy.textContent; }"""
    )


def test_copied_formula_is_latex(open_page, questions, site_server):
    page = open_page(questions[0])
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site_server.url)
    paragraph = page.locator("article p:visible", has=page.locator(".katex")).first
    paragraph.evaluate(SELECT)
    page.keyboard.press("ControlOrMeta+c")
    copied = page.evaluate("navigator.clipboard.readText()")
    sources = paragraph.locator("annotation").all_text_contents()
    assert sources
    for source in sources:
        assert f"${source}$" in copied
    assert not re.search("[\u200b\ud835]", copied)


def test_figure_opens_large_and_closes(open_page, questions):
    page = open_page(questions[0], width=360, height=740)
    opener = page.locator("figure a").first
    dialog = page.locator("dialog")
    for close in (lambda: page.keyboard.press("Escape"), lambda: dialog.get_by_role("button").first.click()):
        opener.click()
        expect(dialog).to_be_visible()
        large, small = (where.locator("img:visible").bounding_box() for where in (dialog, opener))
        assert large["width"] > small["width"]
        close()
        expect(dialog).to_have_count(0)
        expect(opener).to_be_focused()


def test_instant_navigation_keeps_formulas(open_page, questions):
    page = open_page(questions[0])
    wait_for_layout(page)
    page.evaluate("window.sameDocument = true")
    first = page.locator("article h1").text_content()
    page.locator("nav.related a, a.md-footer__link").first.click()
    expect(page.locator("article h1")).not_to_have_text(first)
    expect_typeset(page)
    page.locator("figure a").first.click()
    expect(page.locator("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.go_back()
    expect(page.locator("article h1")).to_have_text(first)
    expect_typeset(page)
    assert page.evaluate("window.sameDocument"), "a page was loaded anew"


def test_only_the_fonts_of_a_page_are_fetched(open_page, questions, built_site, site_server):
    all_fonts = {font.name for font in built_site.rglob("KaTeX_*.woff2")}
    page = open_page("404.html")
    fetched = set()
    page.on("request", lambda request: fetched.add(request.url.rpartition("/")[2]))
    for address in questions:
        page.goto(site_server.url + address)
        page.evaluate("document.fonts.ready")
    fetched &= all_fonts
    assert fetched
    assert len(fetched) < len(all_fonts)


def test_page_carries_no_mathematics_script(open_page, questions):
    page = open_page(questions[0], javascript=False)
    scripts = page.locator("script[src]").evaluate_all("(scripts) => scripts.map((script) => script.src)")
    mathematics = [source for source in scripts if re.search("katex|mathjax|auto-render", source, re.IGNORECASE)]
    assert [source.rpartition("/")[2] for source in mathematics] == ["copy-tex.min.js"]
