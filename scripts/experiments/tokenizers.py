"""Tokenisers trained on one chapter of a novel and tried on another: which algorithm, which size, which language."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from scripts.dl import bpe, unigram_lm, wordpiece
from scripts.experiments.recorded import Result, recorded
from scripts.experiments.texts import chapters

TRAIN, TEST = 1, 0  # numbers of the chapters
SIZES = (60, 100, 200, 400, 800)
MERGES = 600


def word_counts(chapter: int) -> dict[str, int]:
    """Lower-case words of a chapter in Russian, in the order of appearance."""
    return dict(Counter(bpe.words(chapters("tolstoy.ru")[chapter])))


def mean_length(counts: dict[str, int], encode: Callable[[str], Sequence[str]]) -> float:
    """Tokens per word, every occurrence counted."""
    return sum(n * len(encode(word)) for word, n in counts.items()) / sum(counts.values())


def fertility_of_bpe(size: int, train: dict[str, int], test: dict[str, int]) -> float:
    """Without an end mark, so that all three algorithms see the same strings; unknown letters stay tokens."""
    letters = {letter for word in train for letter in word}
    merges = bpe.learn_merges({tuple(word): n for word, n in train.items()}, size - len(letters))
    ranks = bpe.rank(merges)
    return mean_length(test, lambda word: bpe.encode_word(tuple(word), ranks))


def fertility_of_wordpiece(size: int, train: dict[str, int], test: dict[str, int]) -> float:
    """Letters at the beginning of a word and inside it are different pieces, so the alphabet is larger."""
    alphabet = {piece for word in (*train, *test) for piece in wordpiece.pieces(word)}
    _, added = wordpiece.learn(train, size - len(alphabet))
    vocabulary = {*alphabet, *added}
    return mean_length(test, lambda word: wordpiece.encode_word(word, vocabulary))


def fertility_of_unigram(size: int, train: dict[str, int], test: dict[str, int]) -> float:
    """A letter that training never saw gets a tiny probability."""
    p = unigram_lm.train(train, size)
    p |= dict.fromkeys(sorted({letter for word in test for letter in word} - set(p)), 1e-12)
    return mean_length(test, lambda word: unigram_lm.viterbi(word, p)[0])


@recorded
def algorithms() -> Result:
    """Tokens per word of the other chapter, (3, sizes): BPE, WordPiece, Unigram, for SIZES tokens."""
    train, test = word_counts(TRAIN), word_counts(TEST)
    ways = (fertility_of_bpe, fertility_of_wordpiece, fertility_of_unigram)
    return {"fertility": np.array([[way(size, train, test) for size in SIZES] for way in ways])}


@recorded
def languages() -> Result:
    """Per word of the other chapter, (2 languages, 4): characters, bytes, tokens after training on English, on both.

    A word is whatever stands between spaces, with its punctuation; the rows are Russian and English.
    """
    texts = {name: chapters(f"tolstoy.{name}") for name in ("ru", "en")}
    english = bpe.ByteBPE.train(texts["en"][TRAIN], MERGES)
    both = bpe.ByteBPE.train(texts["en"][TRAIN] + "\n" + texts["ru"][TRAIN], MERGES)
    rows = []
    for text in (texts["ru"][TEST], texts["en"][TEST]):
        sizes = (len(text), len(text.encode()), len(english.encode(text)), len(both.encode(text)))
        rows.append([size / len(text.split()) for size in sizes])
    return {"per_word": np.array(rows)}


GROWTH = 800
STAGES = (0, 10, 50, 200, 400, 800)
UNSEEN = "перепредставление"


@recorded
def growth() -> Result:
    """BPE with an end mark on both Russian chapters: `length` (GROWTH + 1,) of the corpus after 0, 1, … merges.

    `unseen` (stages,): the word UNSEEN after the first STAGES merges, its tokens joined by a middle dot; `merges`
    (GROWTH,): both parts joined by a space.
    """
    words = bpe.character_counts(" ".join(chapters("tolstoy.ru")))
    merges = bpe.learn_merges(words, GROWTH)
    length = [sum(n * len(word) for word, n in words.items())]
    for pair in merges:
        words = {bpe.merged(word, pair): n for word, n in words.items()}
        length.append(sum(n * len(word) for word, n in words.items()))
    cuts = [bpe.encode_word((*UNSEEN, bpe.END), bpe.rank(merges[:stage])) for stage in STAGES]
    return {
        "length": np.array(length),
        "unseen": np.array(["·".join(cut) for cut in cuts]),
        "merges": np.array([" ".join(pair) for pair in merges]),
    }


VOCABULARY = 800
WORDS = (UNSEEN, "несчастливыми", "заулыбалась")


def three_ways(words: tuple[str, ...], train: dict[str, int], size: int) -> list[list[str]]:
    """Each of `words` cut by BPE (without an end mark), WordPiece and Unigram of `size` tokens, joined by a dot."""
    ranks = bpe.rank(
        bpe.learn_merges({tuple(w): n for w, n in train.items()}, size - len({letter for w in train for letter in w}))
    )
    alphabet = {piece for w in (*train, *words) for piece in wordpiece.pieces(w)}
    vocabulary = {*alphabet, *wordpiece.learn(train, size - len(alphabet))[1]}
    p = unigram_lm.train(train, size)
    ways = (
        lambda word: bpe.encode_word(tuple(word), ranks),
        lambda word: wordpiece.encode_word(word, vocabulary),
        lambda word: unigram_lm.viterbi(word, p)[0],
    )
    return [["·".join(way(word)) for way in ways] for word in words]


@recorded
def same_words() -> Result:
    """`cuts` (3 words, 3 algorithms): WORDS after training on both Russian chapters, VOCABULARY tokens each."""
    train = dict(Counter(bpe.words(" ".join(chapters("tolstoy.ru")))))
    return {"cuts": np.array(three_ways(WORDS, train, VOCABULARY)), "seen": np.array([word in train for word in WORDS])}
