"""The clips on the pages are what the code makes, light enough for a phone, and sound like what was written."""

import numpy as np
import pytest

from scripts import artifacts
from scripts.clips import CLIPS, Sound, encoding

DECLARED = artifacts.declared(CLIPS)
LARGEST = 40 * 1024
each_clip = pytest.mark.parametrize("clip", DECLARED, ids=lambda clip: clip.key)


def tone(frequency=440.0, rate=16000, seconds=0.5):
    return Sound(0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate), rate)


@each_clip
def test_the_committed_clip_is_fresh_light_and_not_silent(clip):
    assert artifacts.why_stale(clip) is None
    assert clip.file("mp3").stat().st_size <= LARGEST
    sound = encoding.read(clip.file("mp3"))
    assert encoding.SHORTEST <= len(sound.samples) / sound.rate <= encoding.LONGEST + 0.2
    assert 0.01 < np.max(np.abs(sound.samples)) <= 1


@pytest.mark.parametrize("rate", encoding.RATES)
def test_what_is_read_is_what_was_written(rate, tmp_path):
    written = tone(rate=rate)
    encoding.write(written, tmp_path / "tone.mp3")
    read = encoding.read(tmp_path / "tone.mp3")
    assert read.rate == rate
    spectrum = np.abs(np.fft.rfft(read.samples[: len(written.samples)]))
    assert np.argmax(spectrum) * rate / len(written.samples) == pytest.approx(440, abs=3)


def test_the_same_sound_is_the_same_file(tmp_path):
    for name in ("1.mp3", "2.mp3"):
        encoding.write(tone(), tmp_path / name)
    assert (tmp_path / "1.mp3").read_bytes() == (tmp_path / "2.mp3").read_bytes()


@pytest.mark.parametrize(
    ("sound", "message"),
    [
        (Sound(np.zeros((100, 2)), 8000), "one channel"),
        (Sound(np.zeros(100), 8000), "0.2 to 8.0 s"),
        (Sound(np.zeros(8000), 11025), "no rate of 11025"),
        (Sound(np.full(8000, 1.2), 8000), "between −1 and 1"),
        (Sound(np.full(8000, np.nan), 8000), "NaN"),
    ],
)
def test_bad_sounds(sound, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        encoding.write(sound, tmp_path / "bad.mp3")
    assert not (tmp_path / "bad.mp3").exists()
