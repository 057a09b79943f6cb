"""axe finds nothing serious on any page, in either theme, with all answers unfolded."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.conftest import open_details

GRAVE = ("serious", "critical")
OPTIONS = {"resultTypes": ["violations"], "iframes": False}
CONTRAST = {**OPTIONS, "runOnly": ["color-contrast"]}

# Formulas are nine tenths of a page's elements, all alike; a few pages are looked at with them.
FORMULAS_AS_LETTERS = "document.querySelectorAll('.katex').forEach((formula) => formula.replaceChildren('x'))"


def test_axe_finds_no_grave_violation(open_page, some_pages, subtests):
    for address in some_pages:
        with subtests.test(address or "/"):
            page = open_page(address)
            page.evaluate(FORMULAS_AS_LETTERS)
            assert grave_violations(page, OPTIONS) == []


def test_contrast_is_enough_in_the_dark_too(open_page, some_pages, subtests):
    for address in some_pages:
        with subtests.test(address or "/"):
            page = open_page(address, scheme="dark")
            page.evaluate(FORMULAS_AS_LETTERS)
            assert grave_violations(page, CONTRAST) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("address", ["", "404.html", "theory-minimum/01-backpropagation/"])
def test_axe_finds_no_grave_violation_with_formulas_either(open_page, address, scheme):
    assert grave_violations(open_page(address, scheme=scheme), OPTIONS) == []


def grave_violations(page: Page, options: dict) -> list[str]:
    open_details(page)
    violations = Axe().run(page, options=options).response["violations"]
    return [told(violation) for violation in violations if violation["impact"] in GRAVE]


def told(violation: dict) -> str:
    places = [" ".join(map(str, node["target"])) for node in violation["nodes"]]
    return f"{violation['id']} ({violation['help']}) at {len(places)} places: {'; '.join(places[:3])}"
