"""axe finds nothing serious on any page, in either theme, with all answers unfolded."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.conftest import open_details

GRAVE = ("serious", "critical")
OPTIONS = {"resultTypes": ["violations"], "iframes": False}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_grave_violation(open_page, addresses, subtests, scheme):
    for address in [*addresses, "404.html"]:
        with subtests.test(address or "/"):
            page = open_page(address, scheme=scheme)
            open_details(page)
            violations = Axe().run(page, options=OPTIONS).response["violations"]
            grave = [told(violation) for violation in violations if violation["impact"] in GRAVE]
            assert not grave, "\n".join(grave)


def told(violation: dict) -> str:
    places = [" ".join(map(str, node["target"])) for node in violation["nodes"]]
    return f"{violation['id']} ({violation['help']}) at {len(places)} places: {'; '.join(places[:3])}"
