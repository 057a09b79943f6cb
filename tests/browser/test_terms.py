"""A term of the glossary shows its definition where it is used, and leads to the page that explains it."""

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import wait_for_layout

ADDRESS = "tickets/09-transformers/"


def first_term(page: Page):
    term = page.locator("article a.term:visible").first
    term.scroll_into_view_if_needed()
    return term


def expect_definition(page: Page, term) -> None:
    box = page.locator(".term-box")
    expect(box).to_be_visible()
    expect(box.locator(".term-box__text")).to_have_text(term.get_attribute("data-definition"))
    edges = box.bounding_box()
    assert edges["x"] >= 0 and edges["x"] + edges["width"] <= page.viewport_size["width"]


def test_a_press_shows_the_definition_and_its_link_leads_on(open_page):
    page = open_page(ADDRESS, width=360)
    term = first_term(page)
    target = term.evaluate("(link) => link.href")
    term.click()
    expect_definition(page, term)
    assert ADDRESS in page.url
    page.locator(".term-box__more").click()
    expect(page).to_have_url(re.compile(re.escape(target)))


def test_resting_on_a_term_shows_the_definition_and_leaving_hides_it(open_page):
    page = open_page(ADDRESS)
    wait_for_layout(page)
    term = first_term(page)
    term.hover()
    expect_definition(page, term)
    page.mouse.move(1, 1)
    expect(page.locator(".term-box")).to_be_hidden()


def test_the_keyboard_shows_the_definition_and_then_follows_the_link(open_page):
    page = open_page(ADDRESS)
    term = first_term(page)
    target = term.evaluate("(link) => link.href")
    term.press("Enter")
    expect_definition(page, term)
    term.press("Enter")
    expect(page).to_have_url(re.compile(re.escape(target)))


def test_without_javascript_a_term_is_a_link_to_its_explanation(open_page):
    page = open_page(ADDRESS, javascript=False)
    term = first_term(page)
    target = term.get_attribute("href").removeprefix("../../").removeprefix("../")
    term.click()
    expect(page).to_have_url(re.compile(re.escape(target)))
