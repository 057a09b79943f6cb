"""Parts of a page that wait for the first screen: soon all are there, and links to sections land on them."""

import pytest
from playwright.sync_api import expect

HEADING_TOP = "(id) => Math.round(document.getElementById(id).getBoundingClientRect().top)"


def test_all_parts_are_laid_out_soon_after_loading(open_page, questions):
    page = open_page(questions[0], width=360)
    expect(page.locator("html.parts-later")).to_have_count(0)
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    headings = [node for node in tree if node.get("role", {}).get("value") == "heading"]
    assert len(headings) >= page.locator("article :is(h1, h2, h3)").count()


@pytest.mark.parametrize("section", ["cards", "follow-ups"])
def test_a_link_to_a_section_lands_on_it(open_page, questions, section):
    loaded = open_page(f"{questions[0]}#{section}", width=360)
    loaded.evaluate("document.fonts.ready")
    loaded.wait_for_function(f"({HEADING_TOP})('{section}') < 150")
    clicked = open_page(questions[0], width=360)
    clicked.evaluate(
        "(id) => { const a = document.createElement('a'); a.href = '#' + id; document.body.append(a); a.click(); }",
        section,
    )
    clicked.wait_for_function(f"({HEADING_TOP})('{section}') < 150")
