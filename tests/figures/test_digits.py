import numpy as np
import pytest

from scripts.figures.digits import digits


def test_sizes_and_scale():
    everything = digits()
    assert everything.X_train.shape == (1200, 64)
    assert everything.X_test.shape == (597, 64)
    assert everything.X_train.dtype == np.float64
    assert (everything.X_train.min(), everything.X_train.max()) == (0.0, 1.0)
    np.testing.assert_array_equal(everything.y_train, everything.y_train_clean)
    assert set(everything.y_test) == set(range(10))


def test_small_sets_begin_large_ones_and_share_their_test_set():
    small, large = digits(200, seed=3), digits(500, seed=3)
    np.testing.assert_array_equal(small.X_train, large.X_train[:200])
    np.testing.assert_array_equal(small.X_test, large.X_test)
    assert not np.array_equal(small.X_test, digits(200, seed=4).X_test)


def test_exact_share_of_labels_is_wrong_and_only_labels():
    noisy, clean = digits(200, label_noise=0.2), digits(200)
    assert np.sum(noisy.y_train != noisy.y_train_clean) == 40
    np.testing.assert_array_equal(noisy.X_train, clean.X_train)
    np.testing.assert_array_equal(noisy.y_train_clean, clean.y_train)
    np.testing.assert_array_equal(noisy.y_test, clean.y_test)
    assert set(noisy.y_train) <= set(range(10))


def test_shared_arrays_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        digits(10).X_train[0, 0] = 1.0


@pytest.mark.parametrize("arguments", [{"train": 0}, {"train": 1201}, {"label_noise": 1.5}])
def test_bad_requests(arguments):
    with pytest.raises(ValueError, match="must be between"):
        digits(**arguments)
