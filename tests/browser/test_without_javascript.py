"""With JavaScript off, links stand in for the search (what pages show without it: test_every_page.py)."""

import re

import pytest
from playwright.sync_api import expect


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
