"""What a page prints, as a test can ask it."""

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def printed(uri: str) -> str:
    """The text of a note, `tickets/01-backpropagation.md`, with ordinary spaces."""
    return (DOCS / uri).read_text(encoding="utf-8").replace("\u00a0", " ")


def assert_said(page: str, *numbers: float, digits: int = 3) -> None:
    """Each number stands on the page, rounded to `digits`: in a formula (0{,}5) or in words (0,5)."""
    plain = page.replace("{,}", ",")
    for number in numbers:
        text = f"{number:.{digits}f}".replace(".", ",")
        assert re.search(rf"(?<![\d,]){re.escape(text)}(?!\d)", plain), f"{text} is not on the page"
