"""Labs in the browser: read, copied from, downloaded, opened elsewhere."""

import json
import re

import nbformat
import pytest
from playwright.sync_api import expect


@pytest.fixture(scope="session")
def labs(addresses: list[str]) -> list[str]:
    found = [address for address in addresses if address.startswith("labs/") and address != "labs/"]
    assert found
    return found


def test_the_index_lists_every_lab(open_page, labs):
    page = open_page("labs/")
    links = page.locator(".labs__title").evaluate_all("(links) => links.map((link) => link.pathname)")
    assert [link.split("/labs/")[1].rstrip("/") for link in links] == [lab.split("/")[1] for lab in labs]
    expect(page.locator(".md-tabs__item--active")).to_have_text("Лабораторные")


def test_labs_bring_no_second_mathematics_and_no_loader(labs, built_site):
    for address in labs:
        text = (built_site / address / "index.html").read_text(encoding="utf-8")
        assert not re.search(r"MathJax|require(?:\.min)?\.js|requirejs|jp-Cell", text), address
        # KaTeX alone is two thirds of a page of formulas; nbconvert's styles would be 594 KB.
        assert "<style" not in text.partition("<article")[2], address


def test_formulas_figures_and_outputs_are_shown(open_page, labs, subtests):
    for address in labs:
        with subtests.test(address):
            page = open_page(address)
            assert page.locator("article .katex").count() >= page.locator("article .arithmatex").count() > 0
            assert page.locator("article .output").count() > 0
            assert page.locator("article figure.figure").count() >= 1
            assert page.get_by_text("✓", exact=False).count() > 0


def test_code_can_be_copied_and_outputs_are_no_code(open_page, labs, site_server):
    page = open_page(labs[0])
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site_server.url)
    listing = page.locator("article .highlight:not(.output)").first
    listing.hover()
    listing.locator(".md-clipboard, [data-clipboard-target], button").first.click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.strip() == listing.locator("code").inner_text().strip()
    assert page.locator("article .output button").count() == 0


def test_the_notebook_is_offered_and_valid(open_page, labs, subtests):
    for address in labs:
        with subtests.test(address):
            page = open_page(address)
            with page.expect_download() as download:
                page.get_by_role("link", name="Скачать .ipynb").click()
            assert download.value.suggested_filename == f"{address.split('/')[1]}.ipynb"
            notebook = json.loads(download.value.path().read_text(encoding="utf-8"))
            nbformat.validate(nbformat.from_dict(notebook))
            assert "git" in "".join(notebook["cells"][0]["source"])


def test_colab_is_offered(open_page, labs):
    page = open_page(labs[0])
    target = page.get_by_role("link", name="Открыть в Colab").get_attribute("href")
    name = labs[0].split("/")[1]
    assert re.fullmatch(
        rf"https://colab\.research\.google\.com/github/[\w-]+/[\w.-]+/blob/main/docs/labs/{name}\.ipynb", target
    )


def test_solutions_are_folded_and_open(open_page, labs, subtests):
    for address in labs:
        with subtests.test(address):
            page = open_page(address, javascript=False)
            solutions = page.locator("details.solution")
            assert solutions.count() >= 3
            for solution in solutions.all():
                code = solution.locator(".highlight").first
                expect(code).to_be_hidden()
                solution.locator("summary").click()
                expect(code).to_be_visible()


def test_questions_of_a_lab_are_linked_both_ways(open_page, labs):
    page = open_page(labs[0])
    title = page.locator("article h1").inner_text().strip("¶").strip()
    page.locator(".question-card__meta a").first.click()
    expect(page.locator("article h1")).not_to_have_text(re.compile(re.escape(title)))
    expect(page.locator("nav.related").get_by_role("link", name=title)).to_be_visible()


def test_labs_lead_to_their_source(open_page, labs):
    edit = open_page(labs[0], javascript=False).locator("a[rel~=edit]").first.get_attribute("href")
    assert edit.endswith(f"/docs/{labs[0].rstrip('/')}.py")
