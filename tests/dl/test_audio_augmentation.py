import numpy as np
import pytest

from scripts.dl import audio_augmentation as aug
from scripts.dl.mel import mel_filters

RATE = 16_000
t = np.arange(RATE) / RATE


def tone(frequency):
    return 0.5 * np.sin(2 * np.pi * frequency * t)


def dominant(x, rate=RATE):
    """Hz of the highest peak of the spectrum, between the bins."""
    spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x)), 1 << 18))
    return spectrum.argmax() * rate / (1 << 18)


# Loudness and noise


@pytest.mark.parametrize("snr", [-5.0, 0.0, 10.0, 20.0])
def test_snr_is_exact(snr):
    rng = np.random.default_rng(0)
    y = aug.add_noise(tone(200), rng.standard_normal(RATE), snr)
    assert aug.snr(tone(200), y) == pytest.approx(snr, abs=1e-10)


def test_silence_as_noise_is_refused():
    with pytest.raises(ValueError, match="silence"):
        aug.add_noise(tone(200), np.zeros(RATE), 10)


def test_gain():
    np.testing.assert_allclose(aug.gain(tone(100), 20), 10 * tone(100))


def test_pink_noise_falls_by_three_decibels_an_octave():
    power = np.abs(np.fft.rfft(aug.pink_noise(1 << 18, np.random.default_rng(0)))) ** 2
    octaves = [10 * np.log10(power[2**k : 2 ** (k + 1)].mean()) for k in range(8, 17)]
    np.testing.assert_allclose(np.diff(octaves), -3.01, atol=0.5)


def test_clip():
    assert np.abs(aug.clip(tone(100), 0.2)).max() == 0.2


# Rooms


def test_convolution_with_an_impulse_is_the_identity():
    delta = np.zeros(50)
    delta[7] = 0.3
    np.testing.assert_allclose(aug.reverberate(tone(300), delta), tone(300), atol=1e-12)


def test_images_against_reflection_one_wall_at_a_time():
    """Mirror the source again and again; the first time an image appears it has passed the fewest walls."""
    room, source = (3.0, 4.0, 2.5), (1.0, 1.5, 1.2)
    found = {tuple(np.round(source, 6)): 0}
    fresh = [tuple(source)]
    for bounces in (1, 2):
        mirrored = []
        for point in fresh:
            for axis in range(3):
                for wall in (0.0, room[axis]):
                    image = list(point)
                    image[axis] = 2 * wall - image[axis]
                    key = tuple(np.round(image, 6))
                    if key not in found:
                        found[key] = bounces
                        mirrored.append(tuple(image))
        fresh = mirrored
    positions, amplitudes = aug.image_sources(room, source, 0.5, 30.0)
    ours = {tuple(np.round(p, 6) + 0.0): a for p, a in zip(positions, amplitudes, strict=True)}
    assert len(ours) == len(positions)
    for key, bounces in found.items():
        assert ours[tuple(np.array(key) + 0.0)] == 0.5**bounces
    assert sum(a >= 0.25 for a in amplitudes) == len(found) == 1 + 6 + 18


def test_without_reflection_only_the_direct_sound_remains():
    h = aug.room_response((5, 4, 3), (1, 1, 1), (1 + 343 / 160, 1, 1), 0.0, RATE, 0.05)
    assert h.argmax() == 100  # 343 / 160 m in 1 / 160 s
    assert h[100] == pytest.approx(1 / (4 * np.pi * 343 / 160))
    assert np.abs(np.delete(h, 100)).max() < 1e-12


def test_first_echo_comes_from_the_nearest_wall():
    room, source, microphone = (6.0, 5.0, 3.0), (2.0, 2.0, 1.0), (4.0, 2.0, 1.0)
    direct = aug.room_response(room, source, microphone, 0.0, RATE, 0.1)
    h = aug.room_response(room, source, microphone, 0.5, RATE, 0.1)
    first = np.flatnonzero(np.abs(h - direct) > 0.5 * 0.5 / (4 * np.pi * np.hypot(2, 2)))[0]
    assert first / RATE == pytest.approx(np.hypot(2, 2) / 343, abs=2 / RATE)  # through the floor


def test_more_absorption_is_a_shorter_reverberation():
    times = []
    for reflection in (0.85, 0.6):
        h = aug.room_response((5, 4, 3), (1, 1, 1.5), (3.5, 2.5, 1.2), reflection, 8000, 0.25)
        times.append(aug.reverberation_time(h, 8000))
    assert times[0] > 1.7 * times[1]
    # the order of Sabine's estimate, 0.161 V / (S α), α = 1 - r²
    assert times[0] == pytest.approx(0.161 * 60 / (94 * (1 - 0.85**2)), rel=0.4)


def test_rumble_is_removed_and_echoes_stay():
    h = aug.room_response((5, 4, 3), (1, 1, 1.5), (3.5, 2.5, 1.2), 0.7, 8000, 0.25)
    clean = aug.without_rumble(h, 8000)
    assert abs(clean.sum()) < 1e-3 * h.sum()
    assert clean.argmax() == h.argmax()


def test_energy_decay_of_an_exponential_is_a_line():
    h = 10 ** (-3 * t / 0.4)  # -60 dB of energy in 0.4 s
    assert aug.reverberation_time(h, RATE) == pytest.approx(0.4, rel=1e-3)


# Time and pitch


@pytest.mark.parametrize("a", [0.9, 1.1, 1.25])
def test_speed_changes_duration_and_pitch(a):
    y = aug.speed(tone(440), a)
    assert len(y) == pytest.approx(RATE / a, abs=1)
    assert dominant(y) == pytest.approx(440 * a, rel=1e-3)


@pytest.mark.parametrize("a", [0.8, 1.1, 1.5])
def test_stretch_keeps_the_pitch(a):
    y = aug.time_stretch(tone(440), a)
    assert len(y) == round(RATE / a)
    assert dominant(y) == pytest.approx(440, rel=1e-3)
    middle = y[len(y) // 4 : -len(y) // 4]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def test_stretch_by_one_is_the_identity():
    x = np.random.default_rng(0).standard_normal(RATE)
    np.testing.assert_allclose(aug.time_stretch(x, 1.0)[1024:-2048], x[1024:-2048], atol=1e-9)


def test_nearest_peak():
    size = np.array([0.0, 3, 1, 1, 0, 1, 5, 2, 0])
    assert aug.nearest_peak(size).tolist() == [1, 1, 1, 1, 6, 6, 6, 6, 6]


@pytest.mark.parametrize("semitones", [-4, 3, 12])
def test_pitch_shift_keeps_the_duration(semitones):
    y = aug.pitch_shift(tone(440), semitones)
    assert len(y) == RATE
    assert dominant(y) == pytest.approx(440 * 2 ** (semitones / 12), rel=2e-3)


# Channels


def test_band_pass():
    def loudness(frequency):
        y = aug.band_pass(tone(frequency), RATE, 300, 3400)
        return np.std(y) / np.std(tone(frequency))

    assert loudness(1000) == pytest.approx(1, abs=0.01)
    assert loudness(100) < 0.01
    assert loudness(7000) < 0.01


def test_mu_law():
    x = np.linspace(-1, 1, 20_001)
    y = aug.mu_law(x)
    assert len(np.unique(y)) == 255
    np.testing.assert_allclose(y[[0, 10_000, 20_000]], [-1, 0, 1], atol=1e-12)
    loud, quiet = np.abs(x) > 0.5, np.abs(x) < 0.05
    assert np.abs(y - x)[quiet].max() < np.abs(y - x)[loud].max() / 5


def test_telephone_stays_in_range():
    assert np.abs(aug.telephone(tone(1000), RATE)).max() <= 1


# Spectrogram


def test_masks_are_inside_and_not_wider_than_allowed():
    rng = np.random.default_rng(0)
    spans = np.concatenate([aug.mask_spans(80, 27, 2, rng) for _ in range(2000)])
    widths = spans[:, 1] - spans[:, 0]
    assert (widths.min(), widths.max()) == (0, 27)
    assert spans.min() == 0
    assert spans.max() == 80
    assert widths.mean() == pytest.approx(13.5, abs=0.5)


def test_spec_augment_replaces_by_the_mean_and_leaves_the_rest():
    S = np.random.default_rng(0).standard_normal((120, 80))
    out = aug.spec_augment(S, np.random.default_rng(1))
    changed = out != S
    assert np.all(out[changed] == S.mean())
    rows, columns = changed.all(axis=1), changed.all(axis=0)
    np.testing.assert_array_equal(changed, rows[:, None] | columns)
    assert columns.sum() <= 54


def test_share_bounds_the_masked_time():
    S = np.random.default_rng(0).standard_normal((50, 80))
    for seed in range(50):
        out = aug.spec_augment(S, np.random.default_rng(seed), F=0, m_T=1, share=0.2)
        assert (out != S).all(axis=1).sum() <= 10


def test_time_warp_moves_one_frame_and_keeps_the_ends():
    S = np.arange(101.0)[:, None] * np.ones(3)
    out = aug.time_warp(S, 40, 10)
    np.testing.assert_allclose(out[[0, 50, 100], 0], [0, 40, 100])
    assert np.all(np.diff(out[:, 0]) > 0)
    np.testing.assert_array_equal(aug.time_warp(S, 40, 0), S)
    with pytest.raises(ValueError, match="leaves"):
        aug.time_warp(S, 95, 10)


@pytest.mark.parametrize("alpha", [0.9, 1.0, 1.1])
def test_vtlp_is_continuous_and_keeps_the_edges(alpha):
    f = np.linspace(0, 8000, 8001)
    g = aug.vtlp_frequency(f, alpha, RATE)
    np.testing.assert_allclose(g[[0, -1]], [0, 8000], atol=1e-9)
    np.testing.assert_allclose(g[f < 4000], alpha * f[f < 4000])
    steps = np.diff(g)
    assert steps.min() > 0 and steps.max() < 2  # monotone, no jump at the knee


def test_vtlp_filters_of_one_are_mel_filters():
    np.testing.assert_allclose(aug.vtlp_filters(40, 512, RATE, 1.0), mel_filters(40, 512, RATE), atol=1e-12)


def test_mixup():
    x, y = aug.mixup(np.ones(3), np.array([1.0, 0]), np.zeros(3), np.array([0, 1.0]), 0.3)
    np.testing.assert_allclose(x, 0.3)
    np.testing.assert_allclose(y, [0.3, 0.7])
