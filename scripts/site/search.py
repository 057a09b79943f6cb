"""The search index: what the engine of search/ reads.

Material's plugin cuts the pages into sections and writes their HTML. Here it becomes plain text, formulas become what
they say, and the names of the glossary are added, which the engine takes for aliases of the places that explain them.
"""

import html
import json
import re
from pathlib import Path

from scripts.site.glossary import Glossary, Term, url_of
from scripts.site.programme import Programme
from scripts.site.readable import readable

INDEX = Path("search/search_index.json")
SCRIPT = INDEX.with_suffix(".js")
FORMULA = re.compile(r"\\([(\[])(.*?)\\[)\]]", re.DOTALL)
# They repeat the page in other words: hits there would only hide the section that explains.
CARDS = "#cards"
# Code, and in labs what it printed.
LISTING = re.compile(r'<div class="(?:[\w-]+ )*highlight"')
TAG = re.compile(r"<[^>]+>")


def without_code(page: str) -> str:
    """Mark the listings of a page so that Material's plugin skips them: excerpts of code tell a reader nothing."""
    return LISTING.sub(r"\g<0> data-search-exclude", page)


def rewrite(site: Path, glossary: Glossary, programme: Programme, labels: dict[str, str]) -> None:
    """Replace Material's index by ours, as data and, for pages opened from a disk, as a script."""
    stock = json.loads((site / INDEX).read_text(encoding="utf-8"))
    text = json.dumps(make(stock, glossary, programme, labels), ensure_ascii=False, separators=(",", ":"))
    (site / INDEX).write_text(text, encoding="utf-8")
    (site / SCRIPT).write_text(f"var __index={text}", encoding="utf-8")


def make(stock: dict, glossary: Glossary, programme: Programme, labels: dict[str, str]) -> dict:
    """`docs` as Material has them, with text for HTML; `terms`: names, and numbers of documents, the best one first.

    `labels` (address → «Билет 1») stand before the titles of pages.
    """
    docs = [_document(entry, labels) for entry in stock["docs"] if not entry["location"].endswith(CARDS)]
    numbers = {doc["location"]: number for number, doc in enumerate(docs)}
    terms = [_term(term, numbers, programme) for term in glossary.terms]
    return {"config": stock["config"], "docs": docs, "terms": terms}


def _document(entry: dict, labels: dict[str, str]) -> dict:
    title = plain(entry["title"])
    label = labels.get(entry["location"])
    return entry | {"title": f"{label}. {title}" if label else title, "text": plain(entry["text"])}


def plain(page: str) -> str:
    """The text of a piece of HTML, on one line; display formulas are left out."""
    page = FORMULA.sub(lambda match: html.escape(_spoken(*match.groups())), page)
    text = html.unescape(TAG.sub(" ", page))
    return re.sub(r"\s+(?=[.,;:!?)»])", "", " ".join(text.split()))


def _spoken(bracket: str, tex: str) -> str:
    return readable(html.unescape(tex)) if bracket == "(" else " "


def _term(term: Term, numbers: dict[str, int], programme: Programme) -> dict:
    places = [numbers[url_of(place, programme)] for place in term.places]
    return {"names": term.all_names, "places": places}
