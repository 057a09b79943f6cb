import numpy as np
import pytest

from scripts.dl.word_errors import errors, letter_errors, total_rate, word_errors


@pytest.mark.parametrize(
    ("reference", "hypothesis", "S", "D", "I"),
    [
        ("да", "ну да конечно да", 0, 0, 3),
        ("а б в", "а б в", 0, 0, 0),
        ("а б в", "а в", 0, 1, 0),
        ("а б в", "а г в", 1, 0, 0),
        ("а б в", "", 0, 3, 0),
        ("а б", "б в", 0, 1, 1),
    ],
)
def test_counts(reference, hypothesis, S, D, I):  # noqa: E741
    found = word_errors(reference, hypothesis)
    assert found.total == S + D + I
    assert (found.deletions - found.insertions) == D - I
    assert found.length == len(reference.split())


def test_rate_may_exceed_one():
    assert word_errors("да", "ну да конечно да").rate == 3


def test_letters():
    assert letter_errors("мама", "рама").rate == 0.25


def test_is_a_distance():
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b, c = (tuple(rng.integers(3, size=n)) for n in rng.integers(0, 7, size=3))
        ab, ba = errors(a, b), errors(b, a)
        assert ab.total == ba.total
        assert errors(a, c).total <= ab.total + errors(b, c).total
        assert ab.total >= abs(len(a) - len(b))
        assert len(b) == len(a) - ab.deletions + ab.insertions


def test_a_test_set_is_not_the_mean_of_its_rates():
    every = [word_errors("да", "нет"), word_errors("раз два три", "раз два три")]
    assert total_rate(every) == 0.25
