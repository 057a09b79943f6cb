"""Parts of a page that wait for the first screen: soon all are there, and links to sections land on them."""

import pytest
from playwright.sync_api import expect

HEADING_TOP = "(id) => Math.round(document.getElementById(id).getBoundingClientRect().top)"

CLICK_UNTIL_THERE = """(id) => {
  if (document.getElementById(id).getBoundingClientRect().top < 150) return true;
  const link = document.createElement("a");
  link.href = "#" + id;
  document.body.append(link);
  link.click();
  link.remove();
  return false;
}"""


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
    # While the theme's script starts it may swallow a click (it keeps the page where it was); a reader clicks again.
    clicked.wait_for_function(CLICK_UNTIL_THERE, arg=section, polling=500)
