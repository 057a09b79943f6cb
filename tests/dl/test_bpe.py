import random
from collections import Counter

import pytest

from scripts.dl import bpe

SENNRICH = {"low": 5, "lower": 2, "newest": 6, "widest": 3}
COUNTS = {(*word, bpe.END): count for word, count in SENNRICH.items()}


def test_the_example_of_the_paper():
    merges = bpe.learn_merges(COUNTS, 5)
    assert merges == [("e", "s"), ("es", "t"), ("est", "_"), ("l", "o"), ("lo", "w")]
    first = bpe.pair_counts(COUNTS)
    assert first["e", "s"] == first["s", "t"] == first["t", "_"] == max(first.values()) == 9
    assert bpe.encode_word((*"lowest", "_"), bpe.rank(merges)) == ("low", "est_")


def test_learning_ends_when_nothing_is_left():
    merges = bpe.learn_merges({("a", "b"): 1}, 10)
    assert merges == [("a", "b")]


def test_words_of_training_are_encoded_as_training_left_them():
    merges = bpe.learn_merges(COUNTS, 8)
    words = dict(COUNTS)
    for pair in merges:
        words = {bpe.merged(word, pair): count for word, count in words.items()}
    encoded = {bpe.encode_word(word, bpe.rank(merges)) for word in COUNTS}
    assert encoded == set(words)


def test_overlapping_pairs_merge_from_the_left():
    assert bpe.merged(("a", "a", "a"), ("a", "a")) == ("aa", "a")


def test_rank_order_is_not_longest_match():
    ranks = bpe.rank([("о", "т"), ("к", "о")])
    assert bpe.encode_word(tuple("кота"), ranks) == ("к", "от", "а")


def test_dropout():
    ranks = bpe.rank(bpe.learn_merges(COUNTS, 8))
    rng = random.Random(0)
    for word in COUNTS:
        assert bpe.dropped_out(word, ranks, 0.0, rng.random) == bpe.encode_word(word, ranks)
        assert bpe.dropped_out(word, ranks, 1.0, rng.random) == word
    seen = {bpe.dropped_out((*"newest", "_"), ranks, 0.3, rng.random) for _ in range(200)}
    assert len(seen) > 3
    assert {"".join(word) for word in seen} == {"newest_"}


@pytest.mark.parametrize("text", ["", " ", "мама мыла  раму,\n\n\tне так ли?", "a_b 12,5 — ёж 🦔", "  x ", "\x00é"])
def test_bytes_come_back(text):
    tokenizer = bpe.ByteBPE.train("мама мыла раму, мама мыла Милу", 20)
    assert "".join(bpe.pretokens(text)) == text
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_byte_bpe():
    tokenizer = bpe.ByteBPE.train("мама мыла раму", 0)
    assert len(tokenizer.encode("мама мыла раму")) == 26
    tokenizer = bpe.ByteBPE.train("мама мыла раму", 3)
    assert len(tokenizer.tokens) == 259
    assert tokenizer.merges[0] == ("м".encode()[:1], "м".encode()[1:])
    assert tokenizer.decode(tokenizer.encode("м")[:1]) == "м"
    assert tokenizer.decode([0xD0]) == "\ufffd"


def test_learning_equals_a_slow_recount():
    text = "на дворе трава на траве дрова не руби дрова на траве двора"
    counts = bpe.character_counts(text)
    words = {tuple(word): count for word, count in counts.items()}
    for pair in bpe.learn_merges(counts, 12):
        tally = Counter()
        for word, count in words.items():
            for i in range(len(word) - 1):
                tally[word[i], word[i + 1]] += count
        assert tally[pair] == max(tally.values())
        words = {bpe.merged(word, pair): count for word, count in words.items()}
