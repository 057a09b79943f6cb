"""Byte pair encoding: Sennrich et al., 2016 (arXiv 1508.07909), and its byte-level form of GPT-2.

A word is a tuple of symbols; merges are pairs of symbols in the order of learning. Nothing is merged across words.
"""

import operator
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import pairwise

END = "_"  # marks the end of a word where spaces are thrown away
Pair = tuple[Hashable, Hashable]


# --8<-- [start:learn]
def learn_merges(word_counts, limit):
    """Merges of byte pair encoding, in order, at most `limit`.

    word_counts: {tuple of symbols: how often the word occurs}.
    """
    words, merges = dict(word_counts), []
    while len(merges) < limit:
        pairs = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                pairs[pair] += count
        if not pairs:
            break  # every word is one symbol
        best = max(pairs, key=pairs.get)  # a tie: the one seen first
        merges.append(best)
        words = {merged(word, best): n for word, n in words.items()}
    return merges


# --8<-- [end:learn]


def merged(word: tuple, pair: Pair, join: Callable = operator.add) -> tuple:
    """`word` with every occurrence of `pair`, from left to right, replaced by `join(*pair)`, its concatenation."""
    if pair[0] not in word:
        return word
    symbols, i = [], 0
    while i < len(word):
        if word[i : i + 2] == pair:
            symbols.append(join(*pair))
            i += 2
        else:
            symbols.append(word[i])
            i += 1
    return tuple(symbols)


# --8<-- [start:encode]
def encode_word(word, ranks):
    """Apply merges to a tuple of symbols, the earliest learnt first.

    ranks: {pair: its number among the merges}.
    """
    while len(word) > 1:
        pairs = set(pairwise(word))
        best = min(pairs, key=lambda pair: ranks.get(pair, float("inf")))
        if best not in ranks:
            break
        word = merged(word, best)
    return word


# --8<-- [end:encode]


def rank(merges: Iterable[Pair]) -> dict[Pair, int]:
    """{pair: its number}, as `encode_word` needs it."""
    return {pair: number for number, pair in enumerate(merges)}


def pair_counts(word_counts: Mapping[tuple, int]) -> Counter:
    """How often each adjacent pair occurs."""
    counts = Counter()
    for word, count in word_counts.items():
        for pair in pairwise(word):
            counts[pair] += count
    return counts


def dropped_out(word: tuple, ranks: Mapping[Pair, int], p: float, draw: Callable[[], float]) -> tuple:
    """BPE-dropout (Provilkov et al., 2020): at each step every possible merge is skipped with probability `p`.

    `draw()` gives uniform numbers from [0, 1). p = 0 is `encode_word`, p = 1 leaves the symbols apart.
    """
    while True:
        possible = [(ranks[pair], i) for i, pair in enumerate(pairwise(word)) if pair in ranks and draw() >= p]
        if not possible:
            return word
        _, i = min(possible)
        word = (*word[:i], word[i] + word[i + 1], *word[i + 2 :])


# --- Words of a text -------------------------------------------------------------------------------------------------

# GPT-2's idea of a word, without its English contractions: a space belongs to the word after it, and nothing is lost.
PRETOKEN = re.compile(r" ?[^\W\d_]+| ?\d+| ?(?:[^\w\s]|_)+|\s+(?!\S)|\s+")


def pretokens(text: str) -> list[str]:
    """Pieces inside which merges may happen; joined they give `text` again."""
    return PRETOKEN.findall(text)


def words(text: str) -> list[str]:
    """Lower-case runs of letters, spaces and punctuation thrown away."""
    return re.findall(r"[^\W\d_]+", text.lower())


def character_counts(text: str, end: str = END) -> dict[tuple[str, ...], int]:
    """{word as letters and the end mark: count}, in the order of appearance."""
    return {(*word, end) if end else tuple(word): count for word, count in Counter(words(text)).items()}


# --- Bytes -----------------------------------------------------------------------------------------------------------


class ByteBPE:
    """Byte-level BPE: tokens 0 … 255 are the bytes, token 256 + i is the i-th merge. Encodes any string, reversibly."""

    def __init__(self, merges: Sequence[tuple[bytes, bytes]]) -> None:
        self.merges = list(merges)
        self._ranks = rank(self.merges)
        self.tokens = [bytes([value]) for value in range(256)] + [left + right for left, right in self.merges]
        self._ids = {token: number for number, token in reversed(list(enumerate(self.tokens)))}
        self._cache: dict[str, list[int]] = {}

    @classmethod
    def train(cls, text: str, limit: int) -> "ByteBPE":
        """Learn at most `limit` merges from `text`."""
        counts = Counter(pretokens(text))
        return cls(learn_merges({_bytes(piece): count for piece, count in counts.items()}, limit))

    def encode(self, text: str) -> list[int]:
        """Numbers of the tokens of any string."""
        ids = []
        for piece in pretokens(text):
            if piece not in self._cache:
                self._cache[piece] = [self._ids[token] for token in encode_word(_bytes(piece), self._ranks)]
            ids.extend(self._cache[piece])
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The string; bytes that are not UTF-8 (a letter cut in half) become U+FFFD."""
        return b"".join(self.tokens[number] for number in ids).decode("utf-8", errors="replace")


def _bytes(piece: str) -> tuple[bytes, ...]:
    return tuple(bytes([value]) for value in piece.encode("utf-8"))
