"""Every page of the sitemap: loads whole, from its own host, without errors, and fits a phone."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import open_details

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


def test_pages_load_whole(open_page, some_pages, subtests):
    for address in some_pages:
        with subtests.test(address or "/"):
            page = open_page(address)
            page.evaluate(EVERY_IMAGE)
            page.wait_for_function(LOADED)
            assert page.evaluate(BROKEN) == []


@pytest.mark.parametrize("width", [360])
@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_pages_do_not_scroll_sideways(open_page, some_pages, subtests, width, javascript):
    for address in some_pages:
        with subtests.test(address or "/"):
            page = open_page(address, width=width, height=740, javascript=javascript)
            page.evaluate("document.fonts.ready")
            for unfolded in (False, True):
                if unfolded:
                    open_details(page)
                scroll, client = page.evaluate(
                    "[document.scrollingElement.scrollWidth, document.scrollingElement.clientWidth]"
                )
                assert client == width
                assert scroll <= client, page.evaluate(TOO_WIDE)


def test_missing_page(open_page, site_server):
    page = open_page()
    response = page.goto(site_server.url + "tickets/there-is-none/")
    assert response.status == 404
    expect(page.locator("h1")).to_have_text("Такой страницы нет")
    page.locator("main").get_by_role("link", name="Билеты").click()
    expect(page).to_have_url(site_server.url + "tickets/")
