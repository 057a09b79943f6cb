"""Every name of the glossary, as written and as it gets mangled on the way to the search field, leads to its place."""

import random
import re
from functools import cache
from pathlib import Path

import pymorphy3
import pytest

from scripts.site import glossary

ROOT = Path(__file__).resolve().parents[2]
ENGLISH = "`qwertyuiop[]asdfghjkl;'zxcvbnm,.~QWERTYUIOP{}ASDFGHJKL:\"ZXCVBNM<>"
RUSSIAN = "ёйцукенгшщзхъфывапролджэячсмитьбюЁЙЦУКЕНГШЩЗХЪФЫВАПРОЛДЖЭЯЧСМИТЬБЮ"
OTHER_LAYOUT = str.maketrans(ENGLISH + RUSSIAN, RUSSIAN + ENGLISH)
LETTERS = {True: "абвгдеж зийклмнопрстуфхцчшщьыэюя".replace(" ", ""), False: "abcdefghijklmnopqrstuvwxyz"}
CASES = ("gent", "datv", "ablt", "loct")
SAMPLE = 1200
LEAST = 0.95

Named = list[tuple[str, set[str]]]


@pytest.fixture(scope="module")
def names(addresses: dict[str, str]) -> Named:
    """Each name with the addresses of the pages of its term."""
    found, _ = glossary.load(ROOT)
    return [(name, {addresses[p.question] for p in term.places}) for term in found.terms for name in term.all_names]


def misses(engine, queries: Named) -> list[str]:
    found = engine.first_pages([query for query, _ in queries])
    answers = ((query, page, pages) for (query, pages), page in zip(queries, found, strict=True))
    return [f"«{query}» leads to {page}, not to {' or '.join(sorted(pages))}" for query, page, pages in answers
            if page not in pages]  # fmt: skip


def test_every_name_leads_to_one_of_its_pages(engine, names):
    assert not misses(engine, names)


def test_every_name_in_the_other_layout_does(engine, names):
    assert not misses(engine, [(name.translate(OTHER_LAYOUT), pages) for name, pages in names])


def mangled(names: Named, mangle) -> Named:
    """A sample of the names that `mangle(name, random)` changes, changed."""
    chance = random.Random(7)
    changed = [(mangle(name, chance), pages) for name, pages in names]
    changed = [(query, pages) for (query, pages), (name, _) in zip(changed, names, strict=True) if query != name]
    return chance.sample(changed, min(SAMPLE, len(changed)))


def misspelt(name: str, chance: random.Random) -> str:
    """One letter, not the first, of a name of five or more: left out, doubled by another, replaced or swapped."""
    places = [i for i in range(1, len(name) - 1) if name[i].isalpha() and name[i + 1].isalpha()]
    if len(name) < 5 or not places:
        return name
    i = chance.choice(places)
    other = chance.choice(LETTERS["а" <= name[i].lower() <= "я"])
    middle = chance.choice(["", name[i] + other, other, name[i + 1] + name[i]])
    return name[:i] + middle + name[i + (2 if middle == name[i + 1] + name[i] else 1) :]


def joined(name: str, _: random.Random) -> str:
    return re.sub(r"[\s\-–]+", "", name)


@cache
def analyser() -> pymorphy3.MorphAnalyzer:
    return pymorphy3.MorphAnalyzer()


def inflected(name: str, chance: random.Random) -> str:
    """The name in an oblique case: its words up to the first noun, if they are all in the nominative."""
    case, words = chance.choice(CASES), name.split(" ")
    for number, word in enumerate(words):
        parse = next((p for p in analyser().parse(word) if "nomn" in p.tag), None)
        form = parse and re.fullmatch("[а-яё]+", word) and parse.inflect({case})
        if not form:
            return name
        words[number] = form.word
        if "NOUN" in parse.tag:
            return " ".join(words)
    return name


@pytest.mark.parametrize("mangle", [inflected, misspelt, joined])
def test_mangled_names_do_too(engine, names, mangle, record_property):
    sample = mangled(names, mangle)
    assert len(sample) >= 500
    wrong = misses(engine, sample)
    share = 1 - len(wrong) / len(sample)
    record_property("printed", f"Names {mangle.__name__}: {share:.3f} of {len(sample)}")
    assert share >= LEAST, "\n".join(wrong)
