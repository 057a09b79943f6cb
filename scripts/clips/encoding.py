"""Write and read MP3, the one format that every browser plays.

The bytes are the same on every run of one version of the encoder (LAME in libsndfile).
"""

from pathlib import Path

import numpy as np
import soundfile

from scripts.clips import Sound

RATES = (8000, 16000, 24000, 32000, 44100, 48000)  # MPEG 1 to 2.5 without 11 025, 12 000 and 22 050, unused here
SHORTEST, LONGEST = 0.2, 8.0  # seconds
QUALITY = 0.3  # from 0, the best, to 1; about 25 kbit/s for speech at 16 kHz


def write(sound: Sound, path: Path) -> None:
    """Encode `sound`.

    Raises:
        ValueError: the sound is empty, too long, clipped, not finite, or of a rate that MP3 does not have.
    """
    _require_good(sound)
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.asarray(sound.samples, dtype=np.float32)
    soundfile.write(path, samples, sound.rate, "MPEG_LAYER_III", format="MP3", compression_level=QUALITY,
                    bitrate_mode="VARIABLE")  # fmt: skip


def read(path: Path) -> Sound:
    """Decode the file; it is a little longer than what was written, by the padding of the encoder."""
    samples, rate = soundfile.read(path)
    return Sound(samples, rate)


def _require_good(sound: Sound) -> None:
    samples = np.asarray(sound.samples)
    if samples.ndim != 1 or not SHORTEST <= len(samples) / sound.rate <= LONGEST:
        raise ValueError(f"a clip is one channel of {SHORTEST} to {LONGEST} s, not {samples.shape} at {sound.rate} Hz")
    if sound.rate not in RATES:
        raise ValueError(f"MP3 has no rate of {sound.rate} Hz; use one of {RATES}")
    if not np.all(np.abs(samples) <= 1):
        raise ValueError("the samples of a clip lie between −1 and 1: scale it, or look for a NaN")
