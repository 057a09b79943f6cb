"""The glossary: every term of the notes with its names, its definition and the place that explains it.

`data/glossary.yml` is the one list of names. The glossary page, the marks on terms in the notes (scripts/site/terms)
and the names in the search index (scripts/site/search) are made from it.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

import yaml

from scripts.site.notes import Note
from scripts.site.problems import Problem
from scripts.site.programme import Programme
from scripts.site.urls import relative_url

GLOSSARY = Path("data/glossary.yml")
PAGE = "glossary.md"
MARKER = "<!-- glossary -->"
KINDS = ("ru", "en", "abbr", "slang", "authors")
NEEDED_KINDS = ("ru", "en", "abbr", "slang")  # each page has terms with names of these kinds
KEYS = {"id", *KINDS, "definition", "page", "also", "mark"}
ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")
SHORTEST_DEFINITION, LONGEST_DEFINITION = 40, 240
LATIN = "A–Z"


@dataclass(frozen=True)
class Place:
    """A page of the programme, perhaps a section of it."""

    question: str
    section: str

    @classmethod
    def parse(cls, text: str) -> "Place":
        question, _, section = text.partition("#")
        return cls(question, section)


@dataclass(frozen=True)
class Term:
    """`names` by kind (KINDS); `line` is where the term stands in the data file; `mark` false: never marked in text."""

    id: str
    names: dict[str, tuple[str, ...]]
    definition: str
    page: Place
    also: tuple[Place, ...]
    mark: bool
    line: int

    @property
    def headword(self) -> str:
        """The name under which the term stands in the glossary: the Russian one where there is one."""
        return next(name for kind in KINDS for name in self.names[kind])

    @property
    def all_names(self) -> list[str]:
        return [name for kind in KINDS for name in self.names[kind]]

    @property
    def pages(self) -> list[Place]:
        """One place on each page, the first named."""
        first: dict[str, Place] = {}
        for place in self.places:
            first.setdefault(place.question, place)
        return list(first.values())

    @property
    def places(self) -> tuple[Place, ...]:
        return (self.page, *self.also)


@dataclass(frozen=True)
class Glossary:
    terms: tuple[Term, ...]

    @cached_property
    def by_letter(self) -> dict[str, list[Term]]:
        """Terms in the order of their headwords: Russian letters first, all Latin ones together at the end."""
        ordered = sorted(self.terms, key=lambda term: (_letter(term) == LATIN, same(term.headword)))
        return {letter: list(terms) for letter, terms in groupby(ordered, key=_letter)}


def _letter(term: Term) -> str:
    first = term.headword[0].upper().replace("Ё", "Е")
    return first if "А" <= first <= "Я" else LATIN


def same(name: str) -> str:
    """What two spellings of one name have in common: neither case nor ё nor hyphens nor spaces tell names apart."""
    return re.sub(r"[\s\-‑–_]+", "", name.lower().replace("ё", "е"))


def load(root: Path) -> tuple[Glossary, list[Problem]]:
    """Read the data file; entries that cannot be read are left out and told as problems."""
    text = (root / GLOSSARY).read_text(encoding="utf-8")
    lines = [number for number, line in enumerate(text.splitlines(), 1) if line.startswith("- ")]
    terms, problems = [], []
    for line, entry in zip(lines, yaml.safe_load(text) or [], strict=True):
        mistakes = list(_mistakes(entry))
        problems += [_problem(line, "G1", mistake) for mistake in mistakes]
        if not mistakes:
            terms.append(_term(entry, line))
    return Glossary(tuple(terms)), problems


def _mistakes(entry: dict) -> Iterator[str]:
    for key in sorted(set(entry) - KEYS):
        yield f"unknown key `{key}`: a term has {', '.join(sorted(KEYS))}"
    for key in sorted({"id", "definition", "page"} - set(entry)):
        yield f"the term has no `{key}`: add it"
    if not any(entry.get(kind) for kind in KINDS):
        yield f"the term has no name: give it {', '.join(KINDS)}"
    if not ID.match(str(entry.get("id", "x"))):
        yield f"the id `{entry['id']}` is not lower-case Latin words joined by hyphens: rename it"
    definition = entry.get("definition", "")
    if definition and not (SHORTEST_DEFINITION <= len(definition) <= LONGEST_DEFINITION and definition.endswith(".")):
        yield (
            f"the definition of `{entry.get('id')}` has to be one sentence of {SHORTEST_DEFINITION} to "
            f"{LONGEST_DEFINITION} characters, not {len(definition)}"
        )


def _term(entry: dict, line: int) -> Term:
    names = {kind: tuple(str(name) for name in entry.get(kind) or ()) for kind in KINDS}
    also = tuple(Place.parse(place) for place in entry.get("also") or ())
    return Term(
        entry["id"], names, entry["definition"], Place.parse(entry["page"]), also, entry.get("mark", True), line
    )


def check(glossary: Glossary, notes: dict[str, Note], programme: Programme) -> list[Problem]:
    return [
        *_check_unique(glossary),
        *(problem for term in glossary.terms for problem in _check_places(term, notes, programme)),
        *_check_coverage(glossary, programme),
    ]


def _check_unique(glossary: Glossary) -> Iterator[Problem]:
    owners: dict[str, Term] = {}
    ids: set[str] = set()
    for term in glossary.terms:
        if term.id in ids:
            yield _problem(term.line, "G1", f"the id `{term.id}` stands twice: rename one")
        ids.add(term.id)
        for name in term.all_names:
            owner = owners.setdefault(same(name), term)
            if owner is not term:
                message = f"«{name}» names both `{owner.id}` and `{term.id}`: leave it to one of them"
                yield _problem(term.line, "G2", message)


def _check_places(term: Term, notes: dict[str, Note], programme: Programme) -> Iterator[Problem]:
    for place in term.places:
        question = programme.by_id.get(place.question)
        if question is None:
            yield _problem(term.line, "G3", f"`{term.id}`: the programme has no `{place.question}`: correct it")
        elif place.section and place.section not in _sections(notes.get(question.uri)):
            message = f"`{term.id}`: {question.uri} has no section `#{place.section}`: correct it"
            yield _problem(term.line, "G3", message)


def _sections(note: Note | None) -> set[str | None]:
    return {heading.id for heading in note.headings} if note else set()


def _check_coverage(glossary: Glossary, programme: Programme) -> Iterator[Problem]:
    kinds: dict[str, set[str]] = {}
    for term in glossary.terms:
        for place in term.places:
            kinds.setdefault(place.question, set()).update(kind for kind in KINDS if term.names[kind])
    for question in programme.questions:
        for kind in NEEDED_KINDS:
            if kind not in kinds.get(question.id, set()):
                yield _problem(0, "G4", f"no term of {question.id} has a name of the kind `{kind}`: add one")


def _problem(line: int, rule: str, message: str) -> Problem:
    return Problem(GLOSSARY.as_posix(), line, 0, rule, message)


def url_of(place: Place, programme: Programme) -> str:
    """Address of a place below the site's root."""
    return programme.by_id[place.question].url + (f"#{place.section}" if place.section else "")


def fill(page: str, base: str, glossary: Glossary, notes: dict[str, Note], programme: Programme) -> str:
    """Put the glossary in place of its marker in the HTML of the page at the address `base`."""
    if MARKER not in page:
        return page
    letters = "".join(f'<a href="#{_letter_id(letter)}">{letter}</a>' for letter in glossary.by_letter)
    parts = [f'<nav class="glossary-letters" aria-label="Буквы глоссария" data-search-exclude>{letters}</nav>']
    for letter, terms in glossary.by_letter.items():
        # The search knows the terms already, as names of the places that explain them.
        entries = "".join(_entry(term, base, notes, programme) for term in terms)
        heading = f'<h2 id="{_letter_id(letter)}" data-search-exclude>{letter}</h2>'
        parts.append(f'{heading}<dl class="glossary">{entries}</dl>')
    return page.replace(MARKER, "".join(parts))


def _letter_id(letter: str) -> str:
    return "letter-latin" if letter == LATIN else f"letter-{ord(letter) - ord('А') + 1}"


def _entry(term: Term, base: str, notes: dict[str, Note], programme: Programme) -> str:
    others = [name for kind in KINDS[:-1] for name in term.names[kind] if name != term.headword]
    names = f'<dd class="glossary__names">{html.escape(", ".join(others))}</dd>' if others else ""
    links = ", ".join(_link(place, base, notes, programme) for place in term.pages)
    return (
        f'<div class="glossary__term" id="{term.id}"><dt>{html.escape(_capitalised(term.headword))}</dt>{names}'
        f'<dd>{html.escape(term.definition)}</dd><dd class="glossary__places">{links}</dd></div>'
    )


def _capitalised(name: str) -> str:
    """A Russian headword begins with a capital letter; «dropout» and «p-значение» stay as they are written."""
    return name[0].upper() + name[1:] if "а" <= name[0] <= "я" else name


def _link(place: Place, base: str, notes: dict[str, Note], programme: Programme) -> str:
    question = programme.by_id[place.question]
    title = html.escape(notes[question.uri].title)
    target = html.escape(_with_anchor(base, url_of(place, programme)))
    return f'<a href="{target}">{question.label}. {title}</a>'


def _with_anchor(base: str, url: str) -> str:
    page, mark, section = url.partition("#")
    return relative_url(base, page) + mark + section


def href(term: Term, base: str, programme: Programme) -> str:
    """The way from the page at `base` to the place that explains `term`."""
    return html.escape(_with_anchor(base, url_of(term.page, programme)))
