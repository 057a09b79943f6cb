import pytest

from scripts.dl import wordpiece

SENNRICH = {"low": 5, "lower": 2, "newest": 6, "widest": 3}


def test_first_scores_by_hand():
    found = wordpiece.scores({wordpiece.pieces(word): count for word, count in SENNRICH.items()})
    assert found["l", "##o"] == pytest.approx(7 / (7 * 7))
    assert found["##e", "##s"] == pytest.approx(9 / (17 * 9))
    assert found["w", "##i"] == found["##i", "##d"] == max(found.values()) == pytest.approx(1 / 3)


def test_rare_but_inseparable_pieces_come_first():
    alphabet, added = wordpiece.learn(SENNRICH, 3)
    assert added == ["wi", "wid", "lo"]
    assert set(alphabet) == {"l", "n", "w", "##o", "##w", "##e", "##r", "##s", "##t", "##i", "##d"}


def test_learning_ends():
    assert wordpiece.learn({"ab": 1}, 10)[1] == ["ab"]


def test_longest_match():
    vocabulary = {"к", "ко", "##о", "##от", "##т", "##а"}
    assert wordpiece.encode_word("кота", vocabulary) == ["ко", "##т", "##а"]
    assert wordpiece.encode_word("коты", vocabulary) == ["[UNK]"]
    assert wordpiece.encode_word("", vocabulary) == []


def test_greed_may_lose():
    """The longest first piece leaves a rest that cannot be written, though another cut could."""
    vocabulary = {"a", "ab", "##bc"}
    assert wordpiece.encode_word("abc", vocabulary) == ["[UNK]"]


def test_fertility():
    assert wordpiece.fertility({"ab": 3, "a": 1}, {"a", "##b"}) == pytest.approx(7 / 4)
