"""The texts and the three trainings on a handful of words."""

import pytest

from scripts.experiments import tokenizers
from scripts.experiments.texts import chapters

WORDS = {"мама": 3, "мыла": 2, "раму": 2, "мамы": 1}


def test_texts_are_two_chapters_without_the_source():
    for name, beginning in (("tolstoy.ru", "Все счастливые семьи"), ("tolstoy.en", "Happy families")):
        first, second = chapters(name)
        assert first.startswith(beginning)
        assert "Arkadyevitch" in second or "Аркадьич" in second
        assert "#" not in first + second
        assert "*" not in first + second


@pytest.mark.parametrize(
    "fertility",
    [tokenizers.fertility_of_bpe, tokenizers.fertility_of_wordpiece, tokenizers.fertility_of_unigram],
)
def test_more_tokens_make_shorter_words(fertility):
    small, large = fertility(8, WORDS, WORDS), fertility(14, WORDS, WORDS)
    assert 1 <= large < small <= 4


def test_mean_length():
    assert tokenizers.mean_length({"ab": 3, "a": 1}, list) == 7 / 4


def test_three_ways_cut_the_same_word():
    (cuts,) = tokenizers.three_ways(("мамам",), WORDS, 13)
    assert [cut.replace("·", "").replace("##", "") for cut in cuts] == ["мамам"] * 3
    assert cuts[0].startswith("ма")
