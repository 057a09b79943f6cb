"""What axe says about a page."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.conftest import open_details

GRAVE = ("serious", "critical")
OPTIONS = {"resultTypes": ["violations"], "iframes": False}
CONTRAST = {**OPTIONS, "runOnly": ["color-contrast"]}

# Formulas are nine tenths of a page's elements, all alike; a few pages are looked at with them.
FORMULAS_AS_LETTERS = "document.querySelectorAll('.katex').forEach((formula) => formula.replaceChildren('x'))"


def grave_violations(page: Page, options: dict) -> list[str]:
    open_details(page)
    violations = Axe().run(page, options=options).response["violations"]
    return [told(violation) for violation in violations if violation["impact"] in GRAVE]


def told(violation: dict) -> str:
    places = [" ".join(map(str, node["target"])) for node in violation["nodes"]]
    return f"{violation['id']} ({violation['help']}) at {len(places)} places: {'; '.join(places[:3])}"
