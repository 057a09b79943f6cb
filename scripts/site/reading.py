"""How long a page takes to read."""

import math
import re

from scripts.site.notes import DISPLAY_FORMULA, FENCE, Note

WORD = re.compile(r"[^\W\d_]{2,}")
# Slower than fiction (about 200 words a minute): the reader checks each step.
WORDS_PER_MINUTE = 150
MINUTES_PER_DISPLAY_FORMULA = 0.25
MINUTES_PER_CODE_BLOCK = 0.5


def minutes(note: Note) -> int:
    """Reading time of the whole page in minutes, follow-ups and cards included."""
    formulas = len(DISPLAY_FORMULA.findall(note.without_code))
    code_blocks = len(FENCE.findall(note.text))
    words = len(WORD.findall(note.prose))
    return math.ceil(
        words / WORDS_PER_MINUTE + formulas * MINUTES_PER_DISPLAY_FORMULA + code_blocks * MINUTES_PER_CODE_BLOCK
    )


def spoken(number: int, one: str, few: str, many: str) -> str:
    """«1 минута», «2 минуты», «5 минут»: the number with the form of the noun that agrees with it."""
    if number % 10 == 1 and number % 100 != 11:
        form = one
    elif number % 10 in (2, 3, 4) and number % 100 not in (12, 13, 14):
        form = few
    else:
        form = many
    return f"{number}\u00a0{form}"
