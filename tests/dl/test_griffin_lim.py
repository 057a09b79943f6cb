import numpy as np

from scripts.dl.griffin_lim import griffin_lim
from scripts.dl.speech import phrase
from scripts.dl.stft import hann, stft


def test_inconsistency_falls_and_never_grows():
    x = phrase("аи", 0.15, rate=8000).samples
    window = hann(256)
    magnitude = np.abs(stft(x, window, 64))
    y, errors = griffin_lim(magnitude, window, 64, len(x), 40, np.random.default_rng(0))
    assert y.shape == x.shape
    assert np.all(np.diff(errors) < 1e-9)
    assert errors[-1] < errors[0] / 3


def test_true_phases_are_a_fixed_point():
    x = phrase("а", 0.1, rate=8000).samples
    window = hann(256)
    X = stft(x, window, 64)

    class TruePhases:
        def random(self, shape):
            return np.angle(X) / (2 * np.pi)

    y, errors = griffin_lim(np.abs(X), window, 64, len(x), 3, TruePhases())
    np.testing.assert_allclose(y, x, atol=1e-10)
    assert errors.max() < 1e-10
