"""What is not about the subject finds nothing, and no input whatever breaks the engine or brings markup to the page."""

import random
import re
from pathlib import Path

import pytest
import yaml

QUERIES = yaml.safe_load((Path(__file__).parent / "queries.yml").read_text("utf-8"))
ALPHABETS = (
    "абвгдеёжзийклмнопрстуфхцчшщъыьэюя ",
    "abcdefghijklmnopqrstuvwxyz ABC",
    "0123456789 +-*/=^_.,;:!?()[]{}<>&\"'`~@#$%|\\",
    "".join(map(chr, range(32))) + "\x7f\u200b\u200f\u202e\ufeff",
    "αβγ∂∇∫中文字العربية🙂🏳️‍🌈é̃ÅﬁĲ\ud7a3",
    "<script>alert(1)</script><img src=x onerror=alert(1)>&lt;b&gt;",
)
STRINGS = 5000
LONG = 10_000
# The only markup of an answer.
MARKUP = re.compile(r"</?(?:p|mark)>|&(?:amp|lt|gt|quot|#39);")


@pytest.mark.parametrize("query", [entry["query"] for entry in QUERIES["none"]])
def test_another_subject_finds_nothing(engine, query):
    found = engine.answer(query)["items"]
    assert not found, f"{query}: {found[0][0]['title']}"


def random_string(chance: random.Random) -> str:
    letters = "".join(chance.sample(ALPHABETS, chance.randint(1, 3)))
    return "".join(chance.choices(letters, k=chance.choice([1, 3, 8, 20, 60])))


def assert_sound(answer: dict) -> None:
    for group in answer["items"]:
        assert sum("#" not in item["location"] for item in group) == 1
        for item in group:
            assert not re.search("[<>&]", MARKUP.sub("", item["title"] + item["text"]))
            assert all(isinstance(there, bool) for there in item["terms"].values())
    assert all(isinstance(place["title"], str) for place in answer["nearest"])


def test_any_string_has_an_answer(engine):
    chance = random.Random(3)
    for _ in range(STRINGS):
        assert_sound(engine.answer(random_string(chance)))


@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_so_has_a_long_one(engine, alphabet):
    assert_sound(engine.answer("".join(random.Random(5).choices(alphabet, k=LONG))))


@pytest.mark.parametrize(
    "query", ["", " ", "\n", "<", "'", "а", "[[[[", "ъ" * 300, "__proto__", "constructor toString"]
)
def test_so_have_odd_ones(engine, query):
    assert_sound(engine.answer(query))


def test_what_is_nearly_a_name_is_offered(engine):
    answer = engine.answer("квонтизерация эмбедингз")
    assert answer["items"] or answer["nearest"]
