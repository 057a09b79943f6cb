"""A waveform from magnitudes alone: Griffin, Lim 1984, Signal estimation from modified short-time Fourier transform."""

import numpy as np

from scripts.dl.stft import istft, stft


# --8<-- [start:griffin-lim]
def griffin_lim(magnitude, window, hop, length, steps, rng):
    """Samples (length,) and, step by step, how far their STFT is from
    `magnitude` (T, K), relative to its norm; the first phases are random."""
    phase = np.exp(2j * np.pi * rng.random(magnitude.shape))
    errors = []
    for _ in range(steps):
        x = istft(magnitude * phase, window, hop, length=length)
        X = stft(x, window, hop)
        errors.append(np.linalg.norm(np.abs(X) - magnitude))
        phase = np.exp(1j * np.angle(X))
    x = istft(magnitude * phase, window, hop, length=length)
    return x, np.array(errors) / np.linalg.norm(magnitude)


# --8<-- [end:griffin-lim]
