"""Errors of recognition: the least number of substitutions, deletions and insertions (Levenshtein, 1965)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Errors:
    """What turns the reference into the hypothesis, and the length of the reference."""

    substitutions: int
    deletions: int
    insertions: int
    length: int

    @property
    def total(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """(S + D + I) / N; may exceed 1.

        Raises:
            ZeroDivisionError: the reference is empty.
        """
        return self.total / self.length


# --8<-- [start:distance]
def distances(reference, hypothesis):
    """(N+1, M+1): edits from the first i words to the first j words."""
    N, M = len(reference), len(hypothesis)
    D = np.zeros((N + 1, M + 1), dtype=int)
    D[:, 0], D[0, :] = np.arange(N + 1), np.arange(M + 1)
    for i in range(1, N + 1):
        for j in range(1, M + 1):
            wrong = int(reference[i - 1] != hypothesis[j - 1])
            D[i, j] = min(
                D[i - 1, j - 1] + wrong,  # substitution, or a match
                D[i - 1, j] + 1,  # deletion: a word is missing
                D[i, j - 1] + 1,  # insertion: a word too many
            )
    return D


# --8<-- [end:distance]


def errors(reference: Sequence, hypothesis: Sequence) -> Errors:
    """Errors along one of the shortest alignments; of equal ones that with a substitution nearest to the end."""
    D = distances(reference, hypothesis)
    i, j = len(reference), len(hypothesis)
    S = deletions = insertions = 0
    while i or j:
        if i and j and D[i, j] == D[i - 1, j - 1] + (reference[i - 1] != hypothesis[j - 1]):
            S, i, j = S + (reference[i - 1] != hypothesis[j - 1]), i - 1, j - 1
        elif i and D[i, j] == D[i - 1, j] + 1:
            deletions, i = deletions + 1, i - 1
        else:
            insertions, j = insertions + 1, j - 1
    return Errors(int(S), deletions, insertions, len(reference))


def word_errors(reference: str, hypothesis: str) -> Errors:
    """Errors in words, split at spaces."""
    return errors(reference.split(), hypothesis.split())


def letter_errors(reference: str, hypothesis: str) -> Errors:
    """Errors in characters, spaces included."""
    return errors(reference, hypothesis)


def total_rate(all_errors: Sequence[Errors]) -> float:
    """The rate of a whole test set: errors added up, divided by the sum of lengths (not the mean of rates)."""
    return sum(e.total for e in all_errors) / sum(e.length for e in all_errors)
