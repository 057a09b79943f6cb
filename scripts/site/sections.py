"""Parts of a long page that the browser may leave for later.

Laying out several hundred formulas takes a phone seconds, and nearly all of them are below the screen. Each part of a
question page, from one second-level heading to the next, becomes a `<section class="part">`, which the stylesheet and
parts.js may put off until the first screen is there.
"""

import re

HEADING = re.compile(r"(?=<h2 id=)")


def wrap(page: str) -> str:
    """Wrap every second-level heading of a page's content, with what follows it, into a section."""
    opening, *parts = HEADING.split(page)
    return opening + "".join(f'<section class="part">{part}</section>\n' for part in parts)
