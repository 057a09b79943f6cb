"""Chromium on the built site. Every page opened here must keep to its own host and log no error."""

from collections.abc import Callable, Iterator
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Route, expect, sync_playwright

from scripts.browser import chromium
from scripts.browser.serving import SiteServer

SHARES = 6
SITEMAP = "{http://www.sitemaps.org/schemas/sitemap/0.9}"

OpenPage = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = chromium.find()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=chromium.ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def addresses(built_site, site_server: SiteServer) -> list[str]:
    """All pages of the sitemap, as addresses below the site's root: "", "tickets/", …"""
    locations = ElementTree.parse(built_site / "sitemap.xml").iter(f"{SITEMAP}loc")
    found = [location.text.removeprefix(site_server.url) for location in locations]
    assert "" in found
    return found


@pytest.fixture(scope="session")
def questions(addresses: list[str]) -> list[str]:
    """The question pages among them."""
    found = [address for address in addresses if address.startswith(("tickets/", "theory-minimum/"))]
    found = [address for address in found if address.count("/") == 2]
    assert len(found) >= 3
    return found


@pytest.fixture(params=range(SHARES), ids=lambda share: f"share {share + 1} of {SHARES}")
def some_pages(request: pytest.FixtureRequest, addresses: list[str]) -> list[str]:
    """One share of all pages, the one for missing addresses among them: a test that looks at every page asks for it
    and is spread over the workers."""
    return [*addresses, "404.html"][request.param :: SHARES]


@pytest.fixture
def some_questions(some_pages: list[str], questions: list[str]) -> list[str]:
    """The question pages among `some_pages`."""
    return [address for address in some_pages if address in questions]


@pytest.fixture
def open_page(browser: Browser, site_server: SiteServer) -> Iterator[OpenPage]:
    """`open_page(address, width=…, scheme=…, javascript=…)`, one page at a time, each in a fresh profile.

    What goes wrong on the pages fails the test at its end.
    """
    contexts, complaints = [], []

    def only_this_site(route: Route, request: Request) -> None:
        if request.url.startswith(site_server.url):
            route.continue_()
        else:
            complaints.append(f"request to another place: {request.url}")
            route.abort()

    def on_console(message: ConsoleMessage) -> None:
        # The address that is missing on purpose is the page itself.
        missing = "404 (Not Found)" in message.text and message.location["url"] == message.page.url
        if message.type in ("error", "warning") and not missing:
            complaints.append(f"{message.page.url}: {message.type}: {message.text}")

    def open_page(
        address: str = "",
        *,
        width: int = 1280,
        height: int = 800,
        scheme: str = "light",
        javascript: bool = True,
    ) -> Page:
        if contexts:
            contexts.pop().close()
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            java_script_enabled=javascript,
            reduced_motion="reduce",
            locale="ru-RU",
        )
        contexts.append(context)
        context.set_default_timeout(15_000)
        context.route("**/*", only_this_site)
        context.on("console", on_console)
        context.on("weberror", lambda error: complaints.append(f"{error.page.url}: {error.error}"))
        page = context.new_page()
        page.goto(site_server.url + address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints, "\n".join(complaints)


def wait_for_layout(page: Page) -> None:
    """Until everything on the page is where it stays: before that a link may slip from under the mouse."""
    expect(page.locator("html.parts-later")).to_have_count(0)
    page.evaluate("document.fonts.ready")


def open_details(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
