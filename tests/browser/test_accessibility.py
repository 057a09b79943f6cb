"""axe finds nothing serious where the formulas are left in place (every page without them: test_every_page.py)."""

import pytest

from tests.browser.accessibility import OPTIONS, grave_violations


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("address", ["", "404.html", "theory-minimum/01-backpropagation/"])
def test_axe_finds_no_grave_violation_with_formulas_either(open_page, address, scheme):
    assert grave_violations(open_page(address, scheme=scheme), OPTIONS) == []
