"""The search: fetched when it is wanted, used with keyboard, mouse and finger, honest when it finds nothing."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from scripts.browser.serving import SiteServer
from tests.browser.accessibility import FORMULAS_AS_LETTERS, OPTIONS, grave_violations

PAGE = "tickets/09-transformers/"
MARKUP = "<img src=x onerror=alert(1)>"
FAILURE = "Поиск не загрузился. Проверьте сеть и обновите страницу."
ELSEWHERE = ["Все билеты", "Теоретический минимум", "Глоссарий"]
INDEX = "**/search/search_index.json"
WORKER = "**/assets/javascripts/workers/search.*.min.js"

OPEN_WITH_WORDS = """(words) => {
  const marks = [...document.querySelectorAll("main mark")];
  if (marks.length && marks.every((mark) => mark.textContent.toLowerCase() === words)) return true;
  const link = document.createElement("a");
  link.href = `?h=${words}`;
  document.body.append(link);
  link.click();
  link.remove();
  return false;
}"""


# Material takes a focus lost and regained within a millisecond for one that stayed; no reader is that fast.
FOCUS_UNTIL_OPEN = """(field) => {
  if (document.getElementById("__search").checked) return true;
  if (document.activeElement === field) field.blur();
  else field.focus();
  return false;
}"""


@pytest.fixture(autouse=True)
def _fresh_log(site_server: SiteServer) -> None:
    site_server.requests.clear()


def fetched(site_server: SiteServer) -> list[str]:
    """What of the search was asked for, by the beginning of its name."""
    parts = ("search_index", "workers/search.")
    return sorted(part for path in site_server.requests for part in parts if part in path)


BOTH = ["search_index", "workers/search."]


def field(page: Page):
    return page.locator(".md-search__input")


def results(page: Page):
    return page.locator(".md-search-result__link")


def elsewhere(page: Page):
    return page.locator(".search-elsewhere")


def search(page: Page, query: str) -> None:
    if field(page).is_visible():
        focus(page)
    else:
        page.locator("header .md-header__button[for=__search]").click()
    field(page).fill(query)
    # Material looks at the field when a key is let go.
    field(page).press("End")


def focus(page: Page) -> None:
    page.wait_for_function(FOCUS_UNTIL_OPEN, arg=field(page).element_handle(), polling=100)


def expect_open(page: Page, is_open: bool = True) -> None:
    expect(page.locator("#__search")).to_be_checked(checked=is_open)


def expect_found(page: Page) -> None:
    expect(results(page).first).to_be_visible()
    expect(page.locator(".md-search-result__list")).to_contain_text(re.compile("градиент", re.IGNORECASE))


# ---- When it is fetched ----------------------------------------------------------------------------------------------


def test_nothing_of_the_search_is_fetched_with_a_page(open_page, site_server):
    page = open_page(PAGE)
    page.wait_for_load_state("networkidle")
    page.mouse.wheel(0, 2000)
    page.locator("a.md-footer__link").first.click()
    expect(page).not_to_have_url(re.compile(PAGE))
    page.wait_for_load_state("networkidle")
    assert fetched(site_server) == []


def test_both_parts_are_fetched_once(open_page, site_server):
    page = open_page()
    for _ in range(2):
        focus(page)
        field(page).press("Escape")
        expect_open(page, False)
    search(page, "градиент")
    expect_found(page)
    assert fetched(site_server) == BOTH


def test_a_slash_opens_the_search(open_page, site_server):
    page = open_page(PAGE)
    page.keyboard.press("/")
    expect(field(page)).to_be_focused()
    expect_open(page)
    search(page, "градиент")
    expect_found(page)
    assert fetched(site_server) == BOTH


def test_the_magnifier_of_a_phone_opens_the_search(open_page, site_server):
    page = open_page(width=360, height=740)
    expect(results(page).first).to_be_hidden()
    search(page, "градиент")
    expect_open(page)
    expect_found(page)
    assert fetched(site_server) == BOTH


def test_an_address_may_bring_the_query(open_page, site_server):
    page = open_page(f"?q={quote('градиент')}")
    expect(field(page)).to_have_value("градиент")
    expect_found(page)
    assert fetched(site_server) == BOTH


def test_the_form_of_a_missing_page_searches(open_page):
    page = open_page("404.html")
    page.locator(".lookup__input").fill("градиент")
    page.locator(".lookup button").click()
    expect(field(page)).to_have_value("градиент")
    expect_found(page)


# ---- How it is used --------------------------------------------------------------------------------------------------


def test_a_result_opens_its_page_with_the_words_marked(open_page, site_server):
    page = open_page()
    search(page, "градиент")
    results(page).first.click()
    expect(page).to_have_url(re.compile(re.escape(site_server.url) + r"[a-z].*\?h="))
    expect_open(page, False)
    expect(page.locator("main mark").first).to_have_text(re.compile("^градиент", re.IGNORECASE))
    page.go_back()
    expect(page).to_have_url(site_server.url)
    expect(page.locator("main mark")).to_have_count(0)


def test_a_link_to_the_search_can_be_shared(open_page):
    page = open_page(PAGE)
    search(page, "градиент")
    expect_found(page)
    share = page.locator("[data-md-component=search-share]")
    expect(share).to_have_attribute("href", re.compile(r"\?q="))
    page.goto(share.get_attribute("href"))
    expect(field(page)).to_have_value("градиент")
    expect_found(page)


def test_the_keyboard_walks_the_results_and_opens_one(open_page, site_server):
    page = open_page()
    search(page, "градиент")
    expect_found(page)
    page.keyboard.press("ArrowDown")
    expect(results(page).first).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(field(page)).to_be_focused()
    page.keyboard.press("ArrowDown")
    target = results(page).first.evaluate("(link) => link.pathname")
    page.keyboard.press("Enter")
    page.wait_for_function("(path) => location.pathname === path", arg=target)
    expect_open(page, False)


def test_enter_opens_the_best_result(open_page, site_server):
    page = open_page()
    search(page, "градиент")
    expect_found(page)
    field(page).press("Enter")
    expect(page).to_have_url(re.compile(re.escape(site_server.url) + "[a-z]"))


def test_escape_closes_the_search(open_page):
    page = open_page()
    search(page, "градиент")
    expect_found(page)
    page.keyboard.press("Escape")
    expect_open(page, False)
    expect(field(page)).not_to_be_focused()


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("query", ["градиент", "борщ"])
def test_axe_finds_no_grave_violation_in_the_open_search(open_page, query, scheme, width):
    page = open_page(width=width, scheme=scheme)
    page.evaluate(FORMULAS_AS_LETTERS)
    search(page, query)
    expect((results(page) if query == "градиент" else elsewhere(page)).first).to_be_visible()
    page.wait_for_function("document.getAnimations().every((animation) => animation.playState === 'finished')")
    assert grave_violations(page, OPTIONS) == []
    scrolled, shown = page.evaluate("[document.scrollingElement.scrollWidth, document.scrollingElement.clientWidth]")
    assert scrolled <= shown


# ---- Nothing found, nothing loaded -----------------------------------------------------------------------------------


def test_where_nothing_is_found_links_lead_on(open_page, site_server):
    page = open_page(PAGE)
    search(page, "борщ")
    links = elsewhere(page).locator("ul").last.get_by_role("link")
    expect(links).to_have_text(ELSEWHERE)
    field(page).press("Enter")
    assert page.url == site_server.url + PAGE
    page.keyboard.press("ArrowDown")
    expect(elsewhere(page).get_by_role("link").first).to_be_focused()
    search(page, "градиент")
    expect_found(page)
    expect(elsewhere(page)).to_have_count(0)
    search(page, "борщ")
    links.last.click()
    expect(page).to_have_url(site_server.url + "glossary/")
    expect_open(page, False)


def test_an_empty_query_is_no_failed_one(open_page):
    page = open_page()
    search(page, "борщ")
    expect(elsewhere(page)).to_be_visible()
    search(page, " ")
    expect(elsewhere(page)).to_have_count(0)


def test_what_is_typed_and_found_is_text(open_page):
    page = open_page(f"?h={quote(MARKUP)}")
    search(page, MARKUP)
    expect(elsewhere(page).or_(results(page)).first).to_be_visible()
    expect(page.locator("img[src=x]")).to_have_count(0)
    near = [{"location": "glossary/", "title": MARKUP}]
    page.context.route(WORKER, lambda route: route.fulfill(body=worker_that_finds_nothing(near)))
    page.goto(f"{page.url.partition('?')[0]}?q={quote(MARKUP)}")
    expect(elsewhere(page)).to_contain_text("Возможно, вы искали:")
    expect(elsewhere(page).get_by_role("link").first).to_have_text(MARKUP)
    expect(page.locator("img[src=x]")).to_have_count(0)


def worker_that_finds_nothing(nearest: list[dict]) -> str:
    answer = {"type": 3, "data": {"items": [], "suggest": [], "nearest": nearest}}
    return f"onmessage = ({{ data }}) => postMessage(data.type === 0 ? {{ type: 1 }} : {answer});"


@pytest.mark.parametrize(
    ("part", "broken"),
    [(INDEX, "{"), (WORKER, "onmessage = () => postMessage({ type: -1, data: 'broken' });")],
    ids=["index", "worker"],
)
def test_a_search_that_does_not_load_says_so_and_is_tried_again(open_page, part, broken):
    page = open_page()
    page.context.route(part, lambda route: route.fulfill(body=broken))
    search(page, "градиент")
    expect(page.locator(".md-search-result__meta")).to_have_text(FAILURE)
    page.context.unroute(part)
    page.keyboard.press("Escape")
    focus(page)
    expect_found(page)


# ---- The words of a result, marked on its page -----------------------------------------------------------------------


def test_words_are_marked_where_they_begin_and_never_in_formulas_or_code(open_page, questions):
    for address in questions[:3]:
        page = open_page(f"{address}?h={quote('ГРАДИЕНТ x d')}")
        expect(page.locator("main mark").first).to_be_attached()
        assert page.locator(":is(.katex, code, svg, .md-header) mark").count() == 0
        assert {text.lower() for text in page.locator("main mark").all_text_contents()} <= {"градиент", "x", "d"}
        before = "(mark) => mark.previousSibling?.textContent.at(-1) ?? ' '"
        for mark in page.locator("main mark").all():
            assert not mark.evaluate(before).isalnum()
        assert page.locator("main mark").count() <= 200


def test_a_page_reads_the_same_with_marks(open_page):
    text = "document.querySelector('main article').textContent"
    plain = open_page(PAGE).evaluate(text)
    page = open_page(f"{PAGE}?h={quote('внимание слой и')}")
    expect(page.locator("main mark").first).to_be_attached()
    assert page.evaluate(text) == plain


def test_yo_and_ye_are_one_letter_for_the_marks(open_page):
    page = open_page(PAGE)
    word = re.search(r"\b[а-я]{2,}ё[а-я]*\b", page.locator("main article").inner_text()).group()
    page = open_page(f"{PAGE}?h={quote(word.replace('ё', 'е'))}")
    assert word in page.locator("main mark").all_text_contents()


def test_marks_follow_the_address(open_page):
    page = open_page(f"{PAGE}?h={quote('внимание')}")
    expect(page.locator("main mark").first).to_have_text(re.compile("внимание", re.IGNORECASE))
    # While the theme's script starts it may swallow a click; a reader clicks again.
    page.wait_for_function(OPEN_WITH_WORDS, arg="слой", polling=500)


# ---- From disk -------------------------------------------------------------------------------------------------------


@pytest.fixture
def page_from_disk(browser: Browser, built_site: Path) -> Iterator[Page]:
    """The start page opened as a file. Whatever fails but what a browser forbids to every file fails the test."""
    complaints = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not forbidden_to_files(message):
            complaints.append(f"{message.page.url}: {message.type}: {message.text}")

    context = browser.new_context(locale="ru-RU", reduced_motion="reduce")
    context.set_default_timeout(15_000)
    context.on("console", on_console)
    context.on("weberror", lambda error: complaints.append(f"{error.page.url}: {error.error}"))
    page = context.new_page()
    page.goto((built_site / "index.html").as_uri())
    yield page
    context.close()
    assert not complaints, "\n".join(complaints)


def forbidden_to_files(message: ConsoleMessage) -> bool:
    """Only a server may hand out the sitemap, and fonts ahead of the stylesheets that name them."""
    return re.search(r"/sitemap\.xml|\.woff2", message.text + message.location["url"]) is not None


def test_a_site_opened_from_disk_searches(page_from_disk):
    page = page_from_disk
    assert page.evaluate("typeof SearchEngine") == "undefined"
    search(page, "градиент")
    expect_found(page)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"^file:.*/index\.html\?h="))
    expect(page.locator("main mark").first).to_be_attached()
    search(page, "борщ")
    expect(elsewhere(page)).to_be_visible()
    elsewhere(page).get_by_role("link", name="Все билеты").click()
    expect(page).to_have_url(re.compile(r"^file:.*/tickets/index\.html$"))
    page.locator("main article a[href$='/']:not([href*=':'])").first.click()
    expect(page).to_have_url(re.compile(r"^file:.*/index\.html"))
    expect(page.locator("main article h1")).to_be_visible()


# ---- The index -------------------------------------------------------------------------------------------------------


def test_search_index_holds_no_formulas(built_site):
    index = (built_site / "search/search_index.json").read_text("utf-8")
    assert "градиент" in index.lower()
    for noise in ("katex", "mathml", "arithmatex", "\\\\frac", "annotation"):
        assert noise not in index
