"""WordPiece as BERT uses it: encoding by the longest match; training by the usual reconstruction of its criterion.

Schuster and Nakajima, 2012; Wu et al., 2016 (arXiv 1609.08144). Google has not published the training code: the score
#(ab) / (#(a) #(b)) is how the gain in likelihood is usually given. A piece inside a word begins with `##`.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from itertools import pairwise

from scripts.dl.bpe import merged

INSIDE, UNKNOWN = "##", "[UNK]"


def pieces(word: str) -> tuple[str, ...]:
    """The letters of a word, all but the first marked: ('l', '##o', '##w')."""
    return (word[0], *(INSIDE + letter for letter in word[1:]))


def joined(left: str, right: str) -> str:
    return left + right.removeprefix(INSIDE)


# --8<-- [start:scores]
def scores(words):
    """#(ab) / (#(a) #(b)) of adjacent pieces; words: {pieces: count}."""
    single, double = Counter(), Counter()
    for word, count in words.items():
        for piece in word:
            single[piece] += count
        for pair in pairwise(word):
            double[pair] += count
    return {(a, b): n / (single[a] * single[b]) for (a, b), n in double.items()}


# --8<-- [end:scores]


def learn(word_counts: Mapping[str, int], limit: int) -> tuple[list[str], list[str]]:
    """The alphabet, and at most `limit` pieces that were added to it, in order; of equal scores the first seen wins."""
    words = {pieces(word): count for word, count in word_counts.items()}
    alphabet, added = list(dict.fromkeys(piece for word in words for piece in word)), []
    while len(added) < limit:
        found = scores(words)
        if not found:
            break
        best = max(found, key=found.get)
        piece = joined(*best)
        if piece not in added:  # one string can be put together in two ways
            added.append(piece)
        words = {merged(word, best, joined): count for word, count in words.items()}
    return alphabet, added


# --8<-- [start:encode]
def encode_word(word, vocabulary):
    """The longest piece that fits, again and again; no fit: [UNK]."""
    found, start = [], 0
    while start < len(word):
        mark = "##" if start else ""
        for end in range(len(word), start, -1):
            if mark + word[start:end] in vocabulary:
                break
        else:
            return ["[UNK]"]  # the whole word, not only the rest
        found.append(mark + word[start:end])
        start = end
    return found


# --8<-- [end:encode]


def fertility(word_counts: Mapping[str, int], vocabulary: Collection[str]) -> float:
    """Mean number of pieces per word, an unknown word counting as one."""
    total = sum(count * len(encode_word(word, vocabulary)) for word, count in word_counts.items())
    return total / sum(word_counts.values())
