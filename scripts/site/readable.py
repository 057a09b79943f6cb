"""Formulas as plain text, for the search's excerpts: “‖W‖₂ < 1” instead of TeX."""

import re
from functools import cache

from pylatexenc.latex2text import LatexNodes2Text
from pylatexenc.latexwalker import LatexWalkerParseError

LEFT_OUT = "…"
LONGEST = 32  # characters of a formula that still reads as a part of a sentence
SCRIPT = re.compile(r"([_^])(\{(?:[^{}]|\{[^{}]*\})*\}|\\[A-Za-z]+|.)")
# What has two dimensions on paper cannot be said in a line.
TWO_DIMENSIONAL = re.compile(r"\\(begin|[dt]?frac|binom|sum|prod|int|substack|xrightarrow|under|over)")
# Functions that lose the space before their argument, and commands that the converter does not know.
FUNCTION = re.compile(
    r"\\(arg|log|lg|exp|sin|cos|tanh|max|min|det)(?![A-Za-z])(?= ?(?:[A-Za-z]|\\[a-z]))(?! ?\\(?:bigl|left))"
)
UNKNOWN = re.compile(r"\\(\||(?:arg|lg|det|ne|colon)(?![A-Za-z]))")
KNOWN = {"|": "‖", "ne": "≠", "colon": ":"}
SUBSCRIPTS = str.maketrans("0123456789+-=()aehijklmnoprstuvxβγρφχ−", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ₋")
SUPERSCRIPTS = str.maketrans(
    "0123456789+-=()abcdefghijklmnoprstuvwxyzT⊤−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᵀᵀ⁻"
)

_converter = LatexNodes2Text(math_mode="text", keep_comments=True)


class _NotAText(Exception):
    pass


@cache
def readable(tex: str) -> str:
    """The formula as a reader would type it, or LEFT_OUT where a line of text cannot hold it."""
    if TWO_DIMENSIONAL.search(tex):
        return LEFT_OUT
    try:
        text = _converter.latex_to_text(SCRIPT.sub(_raised, _spaced(tex)), tolerant_parsing=False)
    except (_NotAText, LatexWalkerParseError):
        return LEFT_OUT
    text = " ".join(text.split())
    return text if len(text) <= LONGEST and not set(text) & set("\\{}&") else LEFT_OUT


def _spaced(tex: str) -> str:
    tex = FUNCTION.sub(r"\g<0>\\ ", tex)
    return UNKNOWN.sub(lambda match: KNOWN.get(match[1], match[1]), tex)


def _raised(match: re.Match[str]) -> str:
    """An index of Unicode's small letters; a single letter that has none stays behind its mark, as in p_g."""
    mark, content = match.groups()
    text = _converter.latex_to_text(content.strip("{}")).strip()
    small = text.translate(SUBSCRIPTS if mark == "_" else SUPERSCRIPTS)
    if all(letter != raised for letter, raised in zip(text, small, strict=True)):
        return "{}" + small  # the braces end the name of a command before it
    if len(text) == 1:
        return mark + text
    raise _NotAText
