"""Light and dark: follows the system, can be switched, and the figures go along."""

import pytest
from playwright.sync_api import Page, expect

OTHER = {"light": "dark", "dark": "light"}
SCHEMES = {"light": "default", "dark": "slate"}


def expect_theme(page: Page, theme: str) -> None:
    expect(page.locator("body")).to_have_attribute("data-md-color-scheme", SCHEMES[theme])
    dark = page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).every((part) => part < 90)"
    )
    assert dark == (theme == "dark")
    for figure in page.locator("figure").all():
        expect(figure.locator(f"img.figure__image--{theme}")).to_be_visible()
        expect(figure.locator(f"img.figure__image--{OTHER[theme]}")).to_be_hidden()


def switch(page: Page) -> None:
    """The palette is a ring of radio buttons; the visible label is the switch to the next one."""
    page.locator("label[for^=__palette]:visible").click()


@pytest.mark.parametrize("theme", SCHEMES)
def test_theme_follows_the_system(open_page, questions, theme):
    expect_theme(open_page(questions[0], scheme=theme), theme)


def test_theme_can_be_switched_and_is_remembered(open_page, questions):
    page = open_page(questions[0], scheme="light")
    seen = []
    for _ in range(3):
        switch(page)
        seen.append(page.locator("body").get_attribute("data-md-color-scheme"))
        if seen[-1] == SCHEMES["dark"]:
            expect_theme(page, "dark")
            page.reload()
            expect_theme(page, "dark")
    assert set(seen) == set(SCHEMES.values())
    expect_theme(page, "light")


def test_only_the_drawing_that_is_shown_is_loaded(open_page, questions, site_server):
    page = open_page("404.html", scheme="dark")
    drawings = []
    page.on("request", lambda request: drawings.append(request.url) if "/figures/" in request.url else None)
    page.goto(site_server.url + questions[0])
    for figure in page.locator("figure").all():
        figure.scroll_into_view_if_needed()
        page.wait_for_function(
            "(figure) => [...figure.querySelectorAll('img')].some((image) => image.naturalWidth)",
            arg=figure.element_handle(),
        )
    assert drawings
    assert all(url.endswith(".dark.svg") for url in drawings)
