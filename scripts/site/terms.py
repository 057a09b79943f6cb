"""Marks on terms in the notes: where a page first uses a term that another page explains, it becomes a quiet link
with the definition.

Words are compared by their stems (Snowball), so that «градиентного клиппинга» is found as «градиентный клиппинг». What
already is a link, a heading, code or a formula is left alone.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser

import snowballstemmer

from scripts.site import glossary as glossary_module
from scripts.site.glossary import Glossary, Term
from scripts.site.programme import Programme, Question

WORD = re.compile(r"[^\W_]+")
# What may stand between the words of one name.
JOINT = re.compile(r"[ \u00a0\n]|[-‑–](?![ \u00a0\n])")
SKIPPED = {"a", "abbr", "audio", "button", "code", "h1", "h2", "h3", "h4", "h5", "h6", "nav", "pre", "script", "style",
           "summary", "svg"}  # fmt: skip
SOURCES = '<h2 id="sources"'  # titles of papers are no place for marks
VOID = {"br", "hr", "img", "input", "source"}
MARKED_KINDS = ("ru", "en", "abbr")

ABSTRACT = re.compile(r"ост(ь|и|ью|ей|ям|ями|ях)\Z")

_russian = snowballstemmer.stemmer("russian")


@cache
def stem(word: str) -> str:
    """The stem of a word; an abbreviation («BN», «НММ») is its own stem and keeps its case.

    Snowball's stems are shared by words of one root; two of its steps are left out, because a name is not its kin:
    «локальность» is not «локальный», and “generalization” not “general”.
    """
    if len(word) > 1 and word[1:] != word[1:].lower():
        return word
    lower = word.lower().replace("ё", "е")
    if lower.isascii():
        return lower.removesuffix("s")
    return _russian.stemWord(lower) + ("ость" if ABSTRACT.search(lower) else "")


def stems(name: str) -> tuple[str, ...]:
    return tuple(stem(word) for word in WORD.findall(name))


class Terms:
    """Finds the terms of a glossary in text."""

    def __init__(self, glossary: Glossary):
        self.by_stems = {
            stems(name): term
            for term in glossary.terms
            if term.mark
            for kind in MARKED_KINDS
            for name in term.names[kind]
            if len(name) > 1  # a letter is more often a variable
        }
        self.longest = max(map(len, self.by_stems), default=0)

    def find(self, text: str) -> Iterator[tuple[int, int, Term]]:
        """Start, end and term of each name in `text`, the longest name at each place, without overlaps."""
        words = list(WORD.finditer(text))
        position = 0
        while position < len(words):
            length, term = self._at(words[position : position + self.longest], text)
            if term:
                yield words[position].start(), words[position + length - 1].end(), term
            position += length

    def _at(self, words: list[re.Match[str]], text: str) -> tuple[int, Term | None]:
        """The longest name that begins with the first of `words`: its number of words and its term."""
        joined = 1
        while joined < len(words) and JOINT.fullmatch(text[words[joined - 1].end() : words[joined].start()]):
            joined += 1
        found = [stem(word[0]) for word in words[:joined]]
        for length in range(joined, 0, -1):
            if term := self.by_stems.get(tuple(found[:length])):
                return length, term
        return 1, None


def mark(page: str, question: Question, terms: Terms, programme: Programme) -> str:
    """Mark the first use of each term in the HTML of the page of `question`; formulas are not rendered yet."""
    text, heading, sources = page.partition(SOURCES)
    marker = _Marker(question, terms, programme)
    marker.feed(text)
    marker.close()
    return "".join([*marker.output, heading, sources])


@dataclass
class _Open:
    """The element inside which nothing is marked, and how many of its name are open."""

    tag: str
    depth: int = 1


class _Marker(HTMLParser):
    """Copies HTML as it is, but for the text in which terms are marked."""

    def __init__(self, question: Question, terms: Terms, programme: Programme):
        super().__init__(convert_charrefs=False)
        self.question, self.terms, self.programme = question, terms, programme
        self.output: list[str] = []
        self.skipping: _Open | None = None
        # A page explains its own terms itself.
        self.used = {term.id for term in terms.by_stems.values() if term.page.question == question.id}

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.output.append(self.get_starttag_text())
        if self.skipping:
            self.skipping.depth += tag == self.skipping.tag
        elif tag not in VOID and (tag in SKIPPED or "arithmatex" in (dict(attributes).get("class") or "")):
            self.skipping = _Open(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.output.append(self.get_starttag_text())

    def handle_endtag(self, tag: str) -> None:
        self.output.append(f"</{tag}>")
        if self.skipping and tag == self.skipping.tag:
            self.skipping.depth -= 1
            if not self.skipping.depth:
                self.skipping = None

    def handle_data(self, data: str) -> None:
        self.output.append(data if self.skipping else self._marked(data))

    def handle_entityref(self, name: str) -> None:
        self.output.append(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.output.append(f"&#{name};")

    def handle_comment(self, data: str) -> None:
        self.output.append(f"<!--{data}-->")

    def _marked(self, text: str) -> str:
        parts, end = [], 0
        for start, stop, term in self.terms.find(text):
            if term.id not in self.used:
                self.used.add(term.id)
                parts += [text[end:start], self._link(term, text[start:stop])]
                end = stop
        return "".join([*parts, text[end:]])

    def _link(self, term: Term, text: str) -> str:
        href = glossary_module.href(term, self.question.url, self.programme)
        return f'<a class="term" href="{href}" data-definition="{html.escape(term.definition)}">{text}</a>'
