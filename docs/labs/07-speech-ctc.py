# ---
# lab: 7
# questions: [ticket-10, tm-20, tm-21]
# minutes: 40
# description: "Синтез слов, лог-мел, CTC с проверкой перебором, обучение сети, жадный ответ против луча, шум."
# ---
#
# %% [markdown]
# # Речь: от волны к буквам через CTC
#
# Распознаванию речи мешает одно обстоятельство: кадров в десять раз больше, чем букв, и никто не сказал, где какая
# буква звучит. CTC отвечает на это суммой по всем выравниваниям – и эту сумму можно проверить честным перебором,
# если кадров мало. Мы пройдём весь путь: синтезируем «слова», превратим волну в картинку, выведем из картинки буквы
# и посмотрим, что останется от точности, когда включат шум.
#
# ## Что мы построим {#goal}
#
# Сначала признаки: [кратковременное преобразование Фурье](../tickets/10-audio-asr.md#stft), мел-фильтры и
# [лог-мел](../theory-minimum/20-log-mel-spectrogram.md#log-mel) на NumPy. Затем
# [прямой проход CTC](../tickets/10-audio-asr.md#ctc-forward) в логарифмах и
# [градиент](../tickets/10-audio-asr.md#ctc-gradient) через апостериорные доли; судья – сумма по всем путям. Потом
# маленькая сеть, жадный ответ против [поиска по префиксам](../tickets/10-audio-asr.md#decoding) и
# [шум в обучении](../theory-minimum/21-audio-augmentation.md#noise).
#
# Нужно помнить, что такое свёртка пути $\mathcal B$ (слить повторы, затем выбросить $\varnothing$), и уметь читать
# рекуррентность динамического программирования.

# %%
from collections import defaultdict
from copy import deepcopy
from itertools import product
from math import comb

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from scripts.dl import mel as reference
from scripts.dl import word_errors
from scripts.dl.audio_augmentation import pink_noise, spec_augment
from scripts.dl.speech import BANDWIDTHS, fricative, tract_response, vowel_formants
from scripts.figures import style
from scripts.labs.kit import budget, claim, figure

torch.set_num_threads(1)
rng = np.random.default_rng(0)

# %% [markdown]
# ## Слова {#words}
#
# Алфавит – пять гласных и два шумных согласных. Гласную делает модель
# [«источник – фильтр»](../tickets/10-audio-asr.md#spectrogram): гармоники основного тона $kF_0$ с амплитудами $1/k$,
# умноженные на передачу речевого тракта с пиками-формантами. Гармоники выше $4$ кГц слабы, их не считаем. «С» и «ш»
# – шум через резонаторы. У каждого слова свой голос: высота, длина тракта, длительности звуков случайны.

# %%
RATE = 16_000
LETTERS = "аиоуэсш"
VOWELS, NOISES = LETTERS[:5], LETTERS[5:]


def vowel(letter, seconds, pitch, tract):
    """Harmonics of a slightly falling pitch through constant formants."""
    count = round(seconds * RATE)
    phase = 2 * np.pi * np.cumsum(pitch * np.linspace(1.05, 0.95, count)) / RATE
    k = np.arange(1, int(4000 / pitch) + 1)
    formants = vowel_formants(letter, RATE, tract)
    gain = tract_response(k * pitch, formants, BANDWIDTHS[: len(formants)], RATE)
    x = ((gain / k) @ np.exp(1j * np.outer(k, phase))).real
    inside = np.arange(count) + 0.5
    edge = np.minimum(1, np.minimum(inside, count - inside) / (0.015 * RATE))
    return 0.8 * x / np.abs(x).max() * np.sin(np.pi / 2 * edge) ** 2


def speak(text, rng):
    """Samples, and the start and the end of each letter in seconds."""
    pitch, tract = rng.uniform(90, 220), rng.uniform(0.9, 1.2)
    parts, spans, place = [np.zeros(round(rng.uniform(0.02, 0.06) * RATE))], [], 0
    for before, letter in zip(" " + text, text, strict=False):
        if before == letter:  # a short stop between equal neighbours
            parts.append(np.zeros(round(rng.uniform(0.04, 0.07) * RATE)))
        place, seconds = sum(map(len, parts)), rng.uniform(0.07, 0.16)
        if letter in NOISES:
            parts.append(0.25 * fricative(letter, seconds, RATE, rng))
        else:
            parts.append(vowel(letter, seconds, pitch * rng.uniform(0.9, 1.1), tract))
        spans.append((place / RATE, (place + len(parts[-1])) / RATE))
    parts.append(np.zeros(round(rng.uniform(0.02, 0.06) * RATE)))
    return np.concatenate(parts), np.array(spans)


# %% [markdown]
# Слова не совсем случайны: «с» и «ш» рядом не стоят, гласная чаще сменяется согласной, а примерно каждая седьмая
# пара соседних букв – удвоение: тогда между одинаковыми звуками короткая остановка. Это правило позже послужит
# языковой моделью. К каждой записи добавлен слабый белый шум:
# [множитель](../theory-minimum/21-audio-augmentation.md#noise) находим из $\mathrm{SNR}=10\lg(P_x/P_n)$, где $P_x$ и
# $P_n$ – средние мощности записи и шума.


# %%
def make_word(rng):
    size, text = rng.integers(3, 7), rng.choice(list(LETTERS))
    while len(text) < size:
        last, chance = text[-1], rng.random()
        if last in NOISES:
            text += last if chance < 0.15 and text[-2:] != 2 * last else rng.choice(list(VOWELS))
        elif chance < 0.12:
            text += last
        else:
            text += rng.choice(list(VOWELS if chance < 0.35 else NOISES))
    return text


def add_noise(x, noise, snr):
    power = np.mean(noise**2) * 10 ** (snr / 10)
    return x + np.sqrt(np.mean(x**2) / power) * noise


def corpus(count, seed):
    """(samples, text, spans) of random words with 25 to 40 dB of noise."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(count):
        text = make_word(rng)
        x, spans = speak(text, rng)
        found.append((add_noise(x, rng.standard_normal(len(x)), rng.uniform(25, 40)), text, spans))
    return found


train_words = corpus(budget(300, 16), seed=0)
test_words = corpus(budget(150, 6), seed=1)
print("обучающие:", *(text for _, text, _ in train_words[:6]))
print(f"слов {len(train_words)} и {len(test_words)}, букв в контрольных {sum(len(t) for _, t, _ in test_words)}")
print(f"в среднем {np.mean([len(x) for x, *_ in train_words]) / RATE:.2f} с")

# %% [markdown]
# Для рисунков возьмём слово «шасси»: в нём есть и гласные, и удвоенная согласная – то, ради чего в CTC придуман
# пустой символ.

# %%
SAMPLE = "шасси"
x, spans = speak(SAMPLE, np.random.default_rng(5))
x = add_noise(x, np.random.default_rng(6).standard_normal(len(x)), 35)
loud = add_noise(x, rng.standard_normal(len(x)), 10) - x
claim(abs(10 * np.log10(np.mean(x**2) / np.mean(loud**2)) - 10) < 1e-9, "подмешано ровно 10 дБ")
print(f"«{SAMPLE}»: {len(x)} отсчётов, {len(x) / RATE:.2f} с")

# %% [markdown]
# ## Спектр короткого кадра {#stft}
#
# Кадр – $25$ мс ($N=400$ отсчётов), шаг $H=160$, то есть $10$ мс. Кадр умножаем на окно Ханна, дополняем нулями до
# $N_\text{fft}=512$ и берём преобразование Фурье. Чтобы кадр $m$ стоял на отсчёте $mH$, края сигнала отражаем.

# %%
N, HOP, N_FFT = 400, 160, 512
HANN = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N) / N)


def stft(x):
    """(T, 257): frame m is centred on sample m * HOP."""
    side = (N_FFT - N) // 2
    window = np.pad(HANN, side)
    padded = np.pad(x, N_FFT // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    return np.fft.rfft(frames * window)


X = stft(x)
truth = torch.stft(
    torch.from_numpy(x), N_FFT, HOP, N, torch.from_numpy(HANN), center=True, return_complex=True
).T.numpy()  # fmt: skip
claim(len(X) == 1 + len(x) // HOP, f"кадров 1 + ⌊L/H⌋ = {len(X)}")
claim(np.abs(X - truth).max() < 1e-10, "STFT равно torch.stft")

# %% [markdown]
# БПФ внутри – чужое, поэтому один кадр проверим и по определению, $X[k]=\sum_nx[n]w[n]e^{-2\pi ikn/N_\text{fft}}$.
# Заодно видно, чем платят за окно: главный лепесток тона шириной $4f_s/N=160$ Гц, зато первый боковой ниже на $31$
# дБ, а без окна был бы ниже лишь на $13$.

# %%
m, n = 30, np.arange(N_FFT)
frame = np.pad(x, N_FFT // 2, mode="reflect")[m * HOP : m * HOP + N_FFT] * np.pad(HANN, 56)
direct = np.exp(-2j * np.pi * np.outer(np.arange(N_FFT // 2 + 1), n) / N_FFT) @ frame
claim(np.abs(direct - X[m]).max() < 1e-10, "кадр совпал с суммой по определению")


def side_lobe(window):
    """Highest side lobe, decibels below the main one."""
    spectrum = np.abs(np.fft.rfft(window, 64 * N))
    falls = np.flatnonzero(np.diff(spectrum) > 0)[0]  # the first minimum
    return 20 * np.log10(spectrum[0] / spectrum[falls:].max())


lobes = side_lobe(np.ones(N)), side_lobe(HANN)
print(f"боковой лепесток ниже на {lobes[0]:.0f} дБ без окна и на {lobes[1]:.0f} дБ с окном Ханна")
claim(lobes[0] < 14 < 31 < lobes[1], "окно Ханна гасит утечку на 18 дБ сильнее прямоугольника")

# %% [markdown]
# ## Мел-фильтры и логарифм {#log-mel}
#
# Дальше [три шага](../theory-minimum/20-log-mel-spectrogram.md#mel): мощность $|X|^2$, сумма по треугольникам,
# расставленным равномерно на шкале $\operatorname{mel}(f)=2595\lg(1+f/700)$, логарифм. Полос возьмём $40$.

# %%
BANDS = 40


def mel(f):
    return 2595 * np.log10(1 + f / 700)


def mel_filters():
    """(40, 257): triangles of height 1, equally spaced in mel."""
    points = 700 * (10 ** (np.linspace(0, mel(RATE / 2), BANDS + 2) / 2595) - 1)
    left, centre, right = points[:-2, None], points[1:-1, None], points[2:, None]
    f = np.arange(N_FFT // 2 + 1) * RATE / N_FFT
    return np.maximum(0, np.minimum((f - left) / (centre - left), (right - f) / (right - centre)))


M = mel_filters()


def log_mel(x):
    return np.log(np.abs(stft(x)) ** 2 @ M.T + 1e-10)


def features(x):
    """(T, 40) of float32, zero mean and unit variance over the word."""
    S = log_mel(x)
    return ((S - S.mean()) / S.std()).astype(np.float32)


S = log_mel(x)
claim(np.abs(M - reference.mel_filters(BANDS, N_FFT, RATE)).max() < 1e-12, "фильтры равны mel.py")
claim(np.abs(S - reference.log_mel(x, RATE, BANDS, N_FFT)).max() < 1e-9, "лог-мел равна mel.py")
widths = [(row > 0).sum() for row in M]
print(f"частот в первом фильтре {widths[0]}, в последнем {widths[-1]}")
print(f"чисел в волне {x.size}, в лог-мел {S.size}; шагов времени {len(x)} и {len(S)}")

# %% [markdown]
# Шагов времени меньше в $160$ раз, а чисел – вчетверо. Что при этом выброшено? Фаза и подробности внутри полос.
# Смена знака – сдвиг фазы на $\pi$, и её лог-мел не видит вовсе; громкость осталась слагаемым $2\log g$, и вычтет её
# нормировка.

# %%
gap_sign = np.abs(log_mel(-x) - S).max()
gap_gain = np.abs(log_mel(10 * x) - S - 2 * np.log(10)).max()
gap_norm = np.abs(features(10 * x) - features(x)).max()
claim(gap_sign < 1e-9, "смены знака лог-мел не замечает")
claim(gap_gain < 1e-3 and gap_norm < 1e-3, "в 10 раз громче – плюс 4,61, после нормировки – ничего")


# %%
@figure(
    "«Шасси»: волна, спектр мощности до $8$ кГц и лог-мел ($40$ полос; показаны верхние $45$ дБ). У гласных видны "
    "гармоники и форманты, у «с» – шум выше $5$ кГц, у «ш» – около $2$–$4$. Между двумя «с» короткая остановка.",
    alt="Три панели одного слова. Сверху волна с громкими гласными и тихими шумными; в середине спектрограмма с "
    "тонкими гармониками гласных и пятнами шума; снизу сорок мел-полос, низкие частоты растянуты.",
)
def three_views(theme):
    from matplotlib import pyplot as plt

    fig, (wave, spectrum, bands) = plt.subplots(
        3, 1, figsize=(style.WIDTH, 1.25 * style.WIDTH), sharex=True, height_ratios=[1, 2, 2]
    )
    seconds = len(x) / RATE
    wave.plot(np.arange(len(x)) / RATE, x, color=theme.forward, lw=0.4, rasterized=True)
    wave.set(ylabel="волна", ylim=(-0.9, 1.25), yticks=[])
    for letter, (start, end) in zip(SAMPLE, spans, strict=True):
        wave.axvspan(start, end, color=theme.accent, alpha=0.12, lw=0)
        wave.text((start + end) / 2, 0.9, letter, ha="center", va="bottom", color=theme.accent, weight="bold")
    for ax, table, top in ((spectrum, np.log(np.abs(X) ** 2 + 1e-10), RATE / 2000), (bands, S, BANDS)):
        high = table.max()
        ax.imshow(
            table.T, origin="lower", aspect="auto", cmap=theme.sequential, extent=(0, seconds, 0, top),
            vmin=high - 4.5 * np.log(10), vmax=high, interpolation="nearest",
        )  # fmt: skip
        ax.grid(False)
    spectrum.set(ylabel="кГц")
    bands.set(ylabel="мел-полоса", xlabel="секунды", xlim=(0, seconds))
    return fig


# %% [markdown]
# ## CTC: сумма перебором {#brute-force}
#
# Пусть в каждом из $T$ кадров есть распределение по $K$ символам, нулевой – пустой. Путь – символ в каждом кадре,
# его вероятность – произведение. Возьмём шесть кадров и четыре символа: путей $4^6=4096$, их можно перебрать,
# свернуть каждый и сложить вероятности одинаковых текстов. Это определение CTC, буквально. Пусть в тексте $U$ букв и
# $r$ пар равных соседей. Между равными нужен $\varnothing$, поэтому кадров требуется $T\ge U+r$, а путей –
# $\binom{T+U-r}{2U}$.

# %%
BLANK = 0


def collapse(path):
    """B: merge repeats, then drop blanks."""
    return tuple(k for i, k in enumerate(path) if k != BLANK and (i == 0 or k != path[i - 1]))


def every_text(log_p):
    """text -> (probability, number of paths), by brute force."""
    found = defaultdict(lambda: [0.0, 0])
    for path in product(range(log_p.shape[1]), repeat=len(log_p)):
        entry = found[collapse(path)]
        entry[0] += np.exp(sum(row[k] for row, k in zip(log_p, path, strict=True)))
        entry[1] += 1
    return found


def random_outputs(frames, symbols, rng, sharp=1.0):
    z = sharp * rng.standard_normal((frames, symbols))
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


log_p = random_outputs(6, 4, rng)
texts = every_text(log_p)
claim(collapse((1, 1, 0, 1, 2, 2)) == (1, 1, 2), "а а ∅ а у у – это «аау»")
claim(abs(sum(p for p, _ in texts.values()) - 1) < 1e-12, "вероятности всех текстов дают в сумме 1")


def repeats(y):
    return sum(a == b for a, b in zip(y, y[1:], strict=False))


counted = all(count == comb(6 + len(y) - repeats(y), 2 * len(y)) for y, (_, count) in texts.items())
claim(counted, f"число путей – C(T+U−r, 2U) у всех {len(texts)} текстов")

# %% [markdown]
# ## Прямой проход в логарифмах {#forward}
#
# Перебор растёт как $K^T$; спасает то, что у путей общие начала. Расширяем ответ до
# $y'=(\varnothing,y_1,\varnothing, \dots,y_U,\varnothing)$ и копим $\alpha_t(s)$ – сумму вероятностей начал, стоящих
# в кадре $t$ в состоянии $s$:
#
# $$
# \alpha_t(s)=p_t(y'_s)\bigl[\alpha_{t-1}(s)+\alpha_{t-1}(s-1)+c_s\,\alpha_{t-1}(s-2)\bigr].
# $$
#
# Здесь $p_t(k)$ – выход сети в кадре $t$. Перескок через $\varnothing$ разрешён только к метке, не равной
# предыдущей: тогда $c_s=1$, иначе $c_s=0$. Начало – $\alpha_1(0)=p_1(\varnothing)$, $\alpha_1(1)=p_1(y_1)$,
# остальные нули; конец – $p(y\mid x)=\alpha_T(2U)+\alpha_T(2U-1)$. Складываем через `logaddexp`: в логарифмах сумма
# не исчезнет, сколько бы ни было кадров.


# %%
def extended(y):
    states = np.full(2 * len(y) + 1, BLANK)
    states[1::2] = y
    return states


def shifted(row, by):
    return np.concatenate([np.full(by, -np.inf), row])[: len(row)]


def forward(log_p, y):
    """log α (T, 2U + 1)."""
    states = extended(y)
    skip = (states != BLANK) & (states != np.roll(states, 2))
    skip[:2] = False
    alpha = np.full((len(log_p), len(states)), -np.inf)
    alpha[0, :2] = log_p[0, states[:2]]
    for t in range(1, len(log_p)):
        before = alpha[t - 1]
        jump = np.where(skip, shifted(before, 2), -np.inf)
        total = np.logaddexp(np.logaddexp(before, shifted(before, 1)), jump)
        alpha[t] = log_p[t, states] + total
    return alpha


def log_likelihood(log_p, y):
    last = forward(log_p, y)[-1]
    return np.logaddexp.reduce(last[-2:])


# %% [markdown]
# Судей трое: перебор по *всем* текстам (и невозможному тоже), пример с доски и `ctc_loss`.

# %%
worst = max(abs(np.exp(log_likelihood(log_p, y)) - p) for y, (p, _) in texts.items())
claim(worst < 1e-12, f"прямой проход равен перебору, отличие {worst:.0e}")
claim(log_likelihood(log_p, (1, 1, 1, 1)) == -np.inf, "T < U + r: вероятность нуль")
board = np.log([[0.6, 0.4], [0.6, 0.4]])
claim(np.isclose(np.exp(log_likelihood(board, (1,))), 0.64), "пример билета: 0,64")


def torch_loss(log_p, y):
    target, sizes = torch.tensor([y]), torch.tensor([len(log_p)])
    return F.ctc_loss(log_p[:, None], target, sizes, torch.tensor([len(y)]), reduction="sum")


long, y = random_outputs(400, 8, rng), tuple(rng.integers(1, 8, 30))
ours, theirs = -log_likelihood(long, y), torch_loss(torch.from_numpy(long), y).item()
claim(abs(ours - theirs) < 1e-8, "400 кадров, 30 меток: равно torch.nn.functional.ctc_loss")
print(f"log p = {-ours:.1f}; p в double: {np.exp(-ours):.0e}, в float32: {np.float32(np.exp(-ours))}")

# %% [markdown]
# Последняя строка – ответ на вопрос, зачем логарифмы: вероятность четырёхсот случайных кадров в одинарной точности –
# нуль, а в двойной ушла ниже наименьшего нормализованного числа ($2{,}2\cdot10^{-308}$) и теряет цифры. Её логарифм
# – обычное число.
#
# ## Градиент: апостериорные доли {#gradient}
#
# Второй проход можно не писать. Пустим тот же прямой проход с конца – перевернув и кадры, и ответ: он соберёт суммы
# продолжений *вместе* с кадром $t$. Вычтем $\log p_t$, чтобы кадр не считался дважды, и получим $\beta_t(s)$. Доля
# путей, которые в кадре $t$ называют символ $k$,
#
# $$
# \gamma_t(k)=\frac1{p(y\mid x)}\sum_{s:\,y'_s=k}\alpha_t(s)\,\beta_t(s),\qquad
# \frac{\partial\mathcal L}{\partial z_t(k)}=p_t(k)-\gamma_t(k),
# $$
#
# где $\mathcal L=-\log p(y\mid x)$, а $p_t$ – softmax логитов $z_t$.


# %%
def shares(log_p, y):
    """(T, 2U + 1): part of p(y | x) whose paths are in state s at frame t."""
    from_end = forward(log_p[::-1], y[::-1])[::-1, ::-1]
    both = forward(log_p, y) + from_end - log_p[:, extended(y)]
    return np.exp(both - log_likelihood(log_p, y))


def occupancy(log_p, y):
    """γ (T, K)."""
    gamma = np.zeros_like(log_p)
    for share, k in zip(shares(log_p, y).T, extended(y), strict=True):
        gamma[:, k] += share
    return gamma


y = (1, 1, 3)
gamma = occupancy(log_p, y)
claim(np.abs(shares(log_p, y).sum(axis=1) - 1).max() < 1e-12, "Σ αβ одна и та же во всех кадрах")

# %% [markdown]
# Проверок опять три. Перебор: доля путей, прошедших через символ. Autograd по своей же рекурсии, записанной на
# тензорах в обычных вероятностях: производная $\log p(y\mid x)$ по $\log p_t(k)$ обязана быть $\gamma_t(k)$. И
# градиент `ctc_loss` по логитам.

# %%
by_force = np.zeros_like(log_p)
for path in product(range(4), repeat=6):
    if collapse(path) == y:
        by_force[range(6), path] += np.exp(log_p[range(6), path].sum()) / texts[y][0]
claim(np.abs(by_force - gamma).max() < 1e-12, "γ равна доле путей, посчитанной перебором")


def tensor_likelihood(p, y):
    """p(y | x) in plain probabilities, for autograd."""
    states = extended(y)
    alpha = [p[0, k] if s < 2 else p.new_zeros(()) for s, k in enumerate(states)]
    for row in p[1:]:
        came = [alpha[s] + (alpha[s - 1] if s else 0) for s in range(len(states))]
        for s in range(2, len(states)):
            if states[s] not in (BLANK, states[s - 2]):
                came[s] = came[s] + alpha[s - 2]
        alpha = [row[k] * value for k, value in zip(states, came, strict=True)]
    return alpha[-1] + alpha[-2]


leaf = torch.tensor(log_p, requires_grad=True)
(by_autograd,) = torch.autograd.grad(tensor_likelihood(leaf.exp(), y).log(), leaf)
claim(np.abs(by_autograd.numpy() - gamma).max() < 1e-12, "autograd: ∂ log p(y|x) / ∂ log p = γ")

logits = torch.tensor(log_p, requires_grad=True)
(slope,) = torch.autograd.grad(torch_loss(logits.log_softmax(-1), y), logits)
claim(np.abs(slope.numpy() - (np.exp(log_p) - gamma)).max() < 1e-12, "ctc_loss по логитам: p − γ")

# %% [markdown]
# Отсюда сразу видно начало обучения. Пусть сеть всем символам даёт поровну. Обязательных кадров $U+r$ (буквы и
# $\varnothing$ между равными); остальные $T-U-r$ в среднем по путям делятся поровну между $2U+1$ состояниями, из
# которых $U+1$ пустых. Доля $\varnothing$ равна $\bigl(r+\frac{(U+1)(T-U-r)}{2U+1}\bigr)\big/T$ – почти половина,
# тогда как выход всего $1/K$. Значит, первым делом спуск поднимет $\varnothing$, на всех словах сразу.

# %%
T, K, y = 38, len(LETTERS) + 1, tuple(LETTERS.index(c) + 1 for c in SAMPLE)  # a frame of the net is 20 ms
U, r = len(y), repeats(y)
gamma = occupancy(np.full((T, K), -np.log(K)), y)
expected = (r + (U + 1) * (T - U - r) / (2 * U + 1)) / T
claim(abs(gamma[:, BLANK].mean() - expected) < 1e-12, f"равномерный выход: доля ∅ {expected:.3f}, а p = {1 / K:.3f}")

# %% [markdown]
# ## Сеть и обучение {#training}
#
# Свёртка с шагом $2$ (выход через $20$ мс), двунаправленная GRU и линейный слой на $8$ символов. Прежде чем учить,
# проверим, что путь существует у каждого слова: $T\ge U+r$. Учим на `ctc_loss` – мы знаем, что он считает.

# %%
WIDTH, BATCH = 48, 16


class Recogniser(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv1d(BANDS, WIDTH, 9, stride=2, padding=4)
        self.recurrent = nn.GRU(WIDTH, WIDTH, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * WIDTH, K)

    def forward(self, inputs, frames):
        """(B, T, 40) and output lengths (B,) -> log-probabilities (B, T', 8)."""
        hidden = F.relu(self.convolution(inputs.mT)).mT
        packed = nn.utils.rnn.pack_padded_sequence(hidden, frames, batch_first=True, enforce_sorted=False)
        output, _ = nn.utils.rnn.pad_packed_sequence(self.recurrent(packed)[0], batch_first=True)
        return self.head(output).log_softmax(-1)


def encode(text):
    return tuple(LETTERS.index(letter) + 1 for letter in text)


def decode(y):
    return "".join(LETTERS[k - 1] for k in y)


def shortened(length):
    return (length + 1) // 2


slack = [shortened(1 + len(x) // HOP) - len(w) - repeats(w) for x, w, _ in train_words + test_words]
claim(min(slack) >= 0, f"путь есть у всех слов, запас не меньше {min(slack)} кадров")

# %% [markdown]
# Цикл обучения принимает функцию `heard(x, rng)`, которая делает из волны признаки: с нею мы потом будем портить
# записи. После каждой эпохи запоминаем сеть. Потери – $-\log p(y\mid x)$ на букву: так усредняет `ctc_loss`.


# %%
def ctc_of(net, examples):
    inputs = nn.utils.rnn.pad_sequence([torch.from_numpy(f) for f, _ in examples], batch_first=True)
    frames = torch.tensor([shortened(len(f)) for f, _ in examples])
    targets = torch.tensor([k for _, text in examples for k in encode(text)])
    sizes = torch.tensor([len(text) for _, text in examples])
    return F.ctc_loss(net(inputs, frames).transpose(0, 1), targets, frames, sizes)


def train(epochs, heard=None, seed=0):
    """The network before training and after each epoch; mean losses."""
    torch.manual_seed(seed)
    rng, net = np.random.default_rng(seed), Recogniser()
    optimizer, batches = torch.optim.Adam(net.parameters()), -(-len(train_words) // BATCH)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, total_steps=epochs * batches)
    clean = [(features(x), text) for x, text, _ in train_words]
    states, losses = [deepcopy(net)], []
    for _ in range(epochs):
        examples = [(heard(x, rng), text) for x, text, _ in train_words] if heard else clean
        order, values = rng.permutation(len(examples)), []
        for part in np.array_split(order, batches):
            loss = ctc_of(net, [examples[i] for i in part])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimizer.step()
            rate.step()
            values.append(loss.item())
        states.append(deepcopy(net))
        losses.append(np.mean(values))
    return states, losses


# %% [markdown]
# Ошибку меряем долей по буквам (CER): расстояние Левенштейна, сложенное по всем словам, на сумму их длин. Жадный
# ответ – самый вероятный символ каждого кадра, свёрнутый.


# %%
def distance(a, b):
    """Fewest substitutions, deletions and insertions, row by row."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            diagonal, row[j] = row[j], min(diagonal + (left != right), row[j] + 1, row[j - 1] + 1)
    return row[-1]


pairs = [(make_word(rng), make_word(rng)) for _ in range(100)]
same = all(distance(a, b) == word_errors.letter_errors(a, b).total for a, b in pairs)
claim(same, "расстояние совпало со вторым счётом на 100 парах")


@torch.no_grad()
def outputs(net, f):
    """log-probabilities (T', 8) of one word, double."""
    return net(torch.from_numpy(f)[None], torch.tensor([shortened(len(f))]))[0].double().numpy()


def greedy(log_p):
    return collapse(log_p.argmax(axis=1))


def cer(said, texts):
    wrong = sum(distance(text, decode(y)) for y, text in zip(said, texts, strict=True))
    return wrong / sum(map(len, texts))


# %%
EPOCHS = budget(16, 2)
states, losses = train(EPOCHS)
test_features = [features(x) for x, *_ in test_words]
test_texts = [text for _, text, _ in test_words]
history = []
for net in states:
    answers = [outputs(net, f) for f in test_features]
    blanks = np.mean(np.concatenate(answers).argmax(axis=1) == BLANK)
    history.append((cer(map(greedy, answers), test_texts), blanks))

print("эпоха  потери  CER    доля ∅")
for epoch in (0, 1, 2, 3, 4, 5, 6, 8, 12, 16):
    if epoch <= EPOCHS:
        loss = f"{losses[epoch - 1]:6.2f}" if epoch else "     –"
        print(f"{epoch:5d}  {loss}  {history[epoch][0]:.3f}  {history[epoch][1]:.2f}")
plateau = [epoch for epoch, (error, blanks) in enumerate(history) if blanks > 0.99]
claim(len(plateau) > 0, f"одни ∅ после эпох: {plateau}", trained=True)
claim(history[-1][0] < 0.03, "после обучения ошибок меньше 3 %", trained=True)

# %% [markdown]
# Плато предсказано градиентом: сеть сперва учится молчать и только потом начинает различать буквы. Посмотрим на
# «шасси» в трёх положениях: на плато, сразу после него и в конце.

# %%
sample_features = features(x)
erred = np.array([error for error, _ in history])
middle = int(np.flatnonzero(erred < 0.8)[0]) if (erred < 0.8).any() else EPOCHS
stages = {"плато": max(plateau, default=0), "перелом": middle, "конец": EPOCHS}
said = {name: outputs(states[epoch], sample_features) for name, epoch in stages.items()}
times = np.arange(len(said["конец"])) * 2 * HOP / RATE
for name, log_p in said.items():
    p = np.exp(log_likelihood(log_p, y))
    print(f"{name:8} эпоха {stages[name]:2d}: p(шасси) = {p:.2g}, жадно «{decode(greedy(log_p))}»")

claim(greedy(said["конец"]) == y, "обученная сеть слышит «шасси»", trained=True)


# %%
STYLES = dict(zip("ашси", ("-", "--", "-", "-."), strict=True))


@figure(
    "Выход сети на «шасси» на плато, сразу после него и в конце; серая область – $\\varnothing$. Полоски внизу – где "
    "звук стоит на самом деле. Между двумя «с» сеть возвращается к $\\varnothing$, иначе буква была бы одна.",
    alt="Три панели вероятностей по времени. Сверху серый пустой символ занимает почти всё; в середине над ним "
    "поднимаются холмы букв; внизу ш, а, с, с, и поднялись до единицы, между ними снова пустой символ.",
)
def plateau_to_peaks(theme):
    from matplotlib import pyplot as plt

    fig, axes = plt.subplots(3, 1, figsize=(style.WIDTH, 1.15 * style.WIDTH), sharex=True, sharey=True)
    colours = dict(zip("ашси", (theme.backward, theme.extra, theme.forward, theme.good), strict=True))
    for ax, (name, log_p) in zip(axes, said.items(), strict=True):
        p = np.exp(log_p)
        ax.fill_between(times, p[:, BLANK], color=theme.muted, alpha=0.25, lw=0, label="∅")
        for letter, colour in colours.items():
            ax.plot(times, p[:, LETTERS.index(letter) + 1], STYLES[letter], color=colour, label=letter)
        for letter, (start, end) in zip(SAMPLE, spans, strict=True):
            ax.plot([start, end], [-0.08, -0.08], color=colours[letter], lw=4, solid_capstyle="butt")
        ax.set(ylim=(-0.14, 1.05), title=f"{name.capitalize()}, эпоха {stages[name]}", yticks=[0, 0.5, 1])
    axes[0].legend(ncols=5, loc="upper center", bbox_to_anchor=(0.55, 0.8))
    axes[-1].set(xlabel="секунды", xlim=(0, times[-1]))
    return fig


# %% [markdown]
# ## Пики и решётка {#peaks}
#
# Часто пишут, что обученная CTC [пикообразна](../tickets/10-audio-asr.md#peaky): $\varnothing$ почти всюду, буква на
# один-два кадра. Измерим: в какой доле кадров внутри звуков побеждает $\varnothing$ и сколько кадров подряд сеть
# держит букву.

# %%
silent, held_frames = [], []
for f, (_, _, borders) in zip(test_features, test_words, strict=True):
    symbols = outputs(states[-1], f).argmax(axis=1)
    moment = np.arange(len(symbols))[:, None] * 2 * HOP / RATE
    sounding = ((moment >= borders[:, 0]) & (moment < borders[:, 1])).any(axis=1)
    silent += list(symbols[sounding] == BLANK)
    starts = np.flatnonzero(np.diff(symbols, prepend=-1))
    runs = np.diff(starts, append=len(symbols))
    held_frames += list(runs[symbols[starts] != BLANK])
lasting = np.mean([end - start for *_, borders in test_words for start, end in borders]) * RATE / (2 * HOP)
print(f"внутри звуков ∅ побеждает в {100 * np.mean(silent):.0f} % кадров")
print(f"звук длится {lasting:.1f} кадра, буква держится {np.mean(held_frames):.1f}")
claim(np.mean(silent) > 0.15, "∅ – не тишина: он занимает и часть звука", trained=True)

# %% [markdown]
# Иголок нет, но и звука целиком сеть не держит: молчит больше чем в трети звучащих кадров. Почему именно столько?
# Потерям это почти безразлично. Составим два идеальных выхода с уверенностью $0{,}99$: в одном буква занимает весь
# свой звук, в другом – один кадр. Оба верны, и вероятность текста почти одна и та же; само значение потерь ширину не
# задаёт, её определяет ход спуска.


# %%
def ideal(width):
    """Log-probabilities that hold each letter of the sample for at most `width` frames."""
    symbols = np.zeros(len(times), dtype=int)
    for k, (start, end) in zip(y, spans, strict=True):
        place = np.flatnonzero((times >= start) & (times < end))
        symbols[place[len(place) // 2 :][:1] if width == 1 else place] = k
    return np.log(np.where(np.arange(K) == symbols[:, None], 0.99, 0.01 / (K - 1)))


wide, narrow = (np.exp(log_likelihood(ideal(width), y)) for width in (100, 1))
print(f"p(шасси): широкие {wide:.3f}, в один кадр {narrow:.3f}; 0,99^T = {0.99 ** len(times):.3f}")
claim(abs(wide - narrow) < 0.02, "широкие буквы и пики в один кадр для CTC почти равны")

# %% [markdown]
# Теперь решётка состояний: доля путей $\alpha_t(s)\beta_t(s)/p(y\mid x)$ – то, чего градиент требует от сети.

# %%
grids = {name: shares(said[name], y) for name in ("перелом", "конец")}
gate = 2 * SAMPLE.index("сс") + 2  # the blank between the two «с»
claim((grids["конец"][:, gate] > 0).any(), "состояние ∅ между двумя «с» посещают")
passed = grids["конец"][:, gate].max()
claim(passed > 0.9, f"в одном из кадров через ∅ между «с» идёт {100 * passed:.0f} % вероятности", trained=True)


@figure(
    "Доли путей «шасси» в решётке: строки – состояния $y'$ (сверху вниз), столбцы – кадры по $20$ мс. Размытая "
    "лестница стала чёткой: выравнивание нашлось само. Через $\\varnothing$ между двумя «с» идут все пути.",
    alt="Две решётки из одиннадцати строк. На верхней лестница вниз вправо размыта; на нижней она чёткая: ступени "
    "букв ш, а, с, с, и чередуются со ступенями пустого символа.",
)
def lattice(theme):
    from matplotlib import pyplot as plt

    fig, axes = plt.subplots(2, 1, figsize=(style.WIDTH, 1.2 * style.WIDTH), sharex=True)
    names = ["∅" if k == BLANK else LETTERS[k - 1] for k in extended(y)]
    for ax, (name, grid) in zip(axes, grids.items(), strict=True):
        ax.imshow(grid.T, aspect="auto", cmap=theme.sequential, vmin=0, vmax=1, interpolation="nearest")
        ax.set_yticks(range(len(names)), names)
        ax.set_title(f"{name.capitalize()}, эпоха {stages[name]}")
        ax.grid(False)
    axes[-1].set_xlabel("кадр сети")
    return fig


# %% [markdown]
# ## Жадный ответ и луч {#beam}
#
# Жадный ответ находит лучший *путь*, нужен же лучший *текст*. На двух кадрах из билета они расходятся: путь
# $\varnothing\varnothing$ весит $0{,}36$, а «а» – $0{,}64$. Поиск по префиксам хранит для каждого префикса две
# вероятности: путь кончился на $\varnothing$ и путь кончился на последней метке; вторую одинаковую букву можно
# начать только после $\varnothing$.


# %%
def beam_search(log_p, width, bonus=None):
    """Best first: (text, log p(text | x)); `bonus(prefix, k)` is added to the score of a longer prefix."""
    ends, extra = {(): (0.0, -np.inf)}, {(): 0.0}
    for frame in log_p:
        found = defaultdict(lambda: [-np.inf, -np.inf])
        for prefix, (blank, label) in ends.items():
            both = np.logaddexp(blank, label)
            own = found[prefix]
            own[0] = np.logaddexp(own[0], both + frame[BLANK])
            if prefix:  # the last label goes on
                own[1] = np.logaddexp(own[1], label + frame[prefix[-1]])
            for k in range(1, len(frame)):
                start = blank if prefix[-1:] == (k,) else both
                longer = (*prefix, k)
                if longer not in extra:
                    extra[longer] = extra[prefix] + (bonus(prefix, k) if bonus else 0.0)
                new = found[longer]
                new[1] = np.logaddexp(new[1], start + frame[k])
        total = {prefix: np.logaddexp(*pair) for prefix, pair in found.items()}
        kept = sorted(total, key=lambda prefix: total[prefix] + extra[prefix], reverse=True)[:width]
        ends = {prefix: tuple(found[prefix]) for prefix in kept}
    return [(prefix, total[prefix]) for prefix in kept]


best, value = beam_search(board, 2)[0]
claim(greedy(board) == () and best == (1,), f"два кадра: жадно пусто, луч – «а», p = {np.exp(value):.2f}")

# %% [markdown]
# Насколько часто это случается? Возьмём $300$ случайных матриц из пяти кадров и трёх символов, где лучший текст
# известен из перебора. Луч без отсечения обязан быть точным; узкий – нет.

# %%
trials = budget(300, 12)
wins, gap = defaultdict(int), 0.0
for _ in range(trials):
    log_q = random_outputs(5, 3, rng, sharp=1.5)
    truth = every_text(log_q)
    top = max(truth, key=lambda text: truth[text][0])
    wins["жадно"] += greedy(log_q) == top
    for width in (1, 2, 3, 5, 1000):
        found = beam_search(log_q, width)
        wins[width] += found[0][0] == top
    gap = max(gap, *(abs(np.exp(v) - truth[text][0]) for text, v in found))
print("лучший текст найден, % матриц:")
for name, count in wins.items():
    print(f"  {name if name == 'жадно' else f'луч {name}':8} {100 * count / trials:.0f}")
claim(wins[1000] == trials and gap < 1e-12, "луч без отсечения – это перебор, включая вероятности")
claim(wins["жадно"] < 0.9 * trials, "жадный ответ промахнулся больше чем в десятой части матриц")

# %% [markdown]
# Теперь на сети. Пока она не уверена, разница видна; обученной на чистых словах луч почти не нужен. Вероятность
# обоих ответов считаем нашим прямым проходом: там, где они разошлись, прав ли луч в своём собственном смысле?

# %%
texts_by = {}
for name in ("перелом", "конец"):
    answers = [outputs(states[stages[name]], f) for f in test_features]
    first = [greedy(q) for q in answers]
    second = [beam_search(q, 8)[0][0] for q in answers]
    differ = [i for i, (a, b) in enumerate(zip(first, second, strict=True)) if a != b]
    better = sum(log_likelihood(answers[i], second[i]) > log_likelihood(answers[i], first[i]) for i in differ)
    texts_by[name] = cer(first, test_texts), cer(second, test_texts), len(differ), better
    print(f"{name:8} CER жадно {texts_by[name][0]:.3f}, луч {texts_by[name][1]:.3f}")
    print(f"         разошлись на {len(differ)} словах из {len(first)}; у луча p больше: {better}")
half = texts_by["перелом"]
claim(half[3] >= 0.95 * half[2], "где ответы разошлись, текст луча вероятнее", trained=True)
claim(half[1] < half[0], "неуверенной сети луч убавил ошибок", trained=True)

# %% [markdown]
# ## Шум {#noise}
#
# Вторая сеть устроена так же, но каждую эпоху к словам заново подмешан белый шум от $0$ до $30$ дБ. Задача труднее,
# и эпох у неё двадцать вместо шестнадцати. Проверяем обе на белом шуме, какой был в обучении, и на розовом, которого
# не слышал никто. Шум контрольных слов у обеих сетей один и тот же.


# %%
def in_noise(x, rng):
    return features(add_noise(x, rng.standard_normal(len(x)), rng.uniform(0, 30)))


hardened = train(budget(20, 2), in_noise)[0][-1]


def spoiled(kind, snr):
    rng = np.random.default_rng(round(snr))
    made = {"белый": lambda size: rng.standard_normal(size), "розовый": lambda size: pink_noise(size, rng)}
    return [features(add_noise(x, made[kind](len(x)), snr)) for x, *_ in test_words]


# %%
SNRS = (20, 15, 10, 5, 0)
noisy_tests = {(kind, snr): spoiled(kind, snr) for kind in ("белый", "розовый") for snr in SNRS}
rates = {}
for name, net in (("чистая", states[-1]), ("с шумом", hardened)):
    for key, tests in noisy_tests.items():
        rates[name, *key] = cer([greedy(outputs(net, f)) for f in tests], test_texts)
    rates[name] = cer([greedy(outputs(net, f)) for f in test_features], test_texts)

print("шум      сеть     чисто  " + "  ".join(f"{snr:3d} дБ" for snr in SNRS))
for kind in ("белый", "розовый"):
    for name in ("чистая", "с шумом"):
        row = "   ".join(f"{rates[name, kind, snr]:.2f}" for snr in SNRS)
        print(f"{kind:8} {name:8} {rates[name]:.2f}    {row}")
ratio = rates["чистая", "белый", 5] / max(rates["с шумом", "белый", 5], 1e-3)
claim(ratio > 3, "белый шум 5 дБ: у закалённой сети ошибок втрое меньше", trained=True)
claim(rates["с шумом", "розовый", 5] < rates["чистая", "розовый", 5], "и на новом розовом 5 дБ меньше", trained=True)

# %% [markdown]
# Помогает ли в шуме луч? Сравним на двух сетях при $5$ и $0$ дБ белого шума.

# %%
beams = {}
print("сеть      SNR   жадно  луч 8")
for name, net in (("чистая", states[-1]), ("с шумом", hardened)):
    for snr in (5, 0):
        tests = noisy_tests["белый", snr]
        beams[name, snr] = cer([beam_search(outputs(net, f), 8)[0][0] for f in tests], test_texts)
        print(f"{name:8} {snr:2d} дБ   {rates[name, 'белый', snr]:.3f}  {beams[name, snr]:.3f}")
changes = [abs(beams[key] - rates[key[0], "белый", key[1]]) for key in beams]
claim(max(changes) < 0.1, "луч без языковой модели меняет мало: меньше 0,1", trained=True)


# %%
@figure(
    "Ошибка по буквам против отношения сигнал–шум, жадный ответ; слева чистые записи. Шум в обучении помог и там, "
    "где он был в обучении, и на розовом. Одно обучение каждой сети.",
    alt="Две панели, белый и розовый шум. Кривая обычной сети круто растёт к нулю децибел, кривая сети, учившейся с "
    "шумом, лежит намного ниже, на розовом шуме она тоже поднимается.",
)
def errors_in_noise(theme):
    from matplotlib import pyplot as plt

    fig, axes = plt.subplots(2, 1, figsize=(style.WIDTH, 1.05 * style.WIDTH), sharex=True, sharey=True)
    for ax, kind in zip(axes, ("белый", "розовый"), strict=True):
        for name, colour, mark in (("чистая", theme.bad, "s--"), ("с шумом", theme.good, "o-")):
            values = [rates[name], *(rates[name, kind, snr] for snr in SNRS)]
            label = "без шума в обучении" if name == "чистая" else "белый шум в обучении"
            ax.plot(range(len(values)), values, mark, color=colour, label=label)
        ax.set(title=f"{kind.capitalize()} шум", ylabel="CER", ylim=(-0.03, 1))
    axes[0].legend(loc="upper left")
    axes[1].set_xticks(range(len(SNRS) + 1), ["чисто", *(f"{snr} дБ" for snr in SNRS)])
    return fig


# %% [markdown]
# ## Что наблюдать {#observe}
#
# | Что сделали | Что видно | Почему |
# |---|---|---|
# | окно Ханна вместо прямоугольника | боковой лепесток ниже на $18$ дБ | у окна нет скачков на краях |
# | сложили все тексты | сумма вероятностей равна единице | каждый путь свёртывается в один текст |
# | прямой проход против перебора | совпали до $10^{-16}$ | сумма по путям – динамика по решётке |
# | три первые эпохи | ошибка $1$, сеть отвечает одними $\varnothing$ | пустой символ выгоден, пока буквы неизвестны |
# | конец обучения | звук $5{,}8$ кадра, буква держится $3{,}6$ | ширина буквы на потери почти не влияет |
# | жадный ответ на случайных матрицах | лучший текст в $70\,\%$, луч $5$ – в $98\,\%$ | лучший путь – не лучший текст |
# | сеть на переломе | жадно $0{,}61$, луч $0{,}18$ | буква размазана по путям, луч их сложил |
# | чистая сеть при $0$ дБ | жадно $0{,}49$, луч $0{,}52$ | вероятнее для сети – не значит вернее; при $5$ дБ поровну |
# | белый шум $5$ дБ | ошибка $0{,}35$, с шумом в обучении $0{,}01$ | сеть видела такие кадры |
#
# ## Упражнения {#exercises}
#
# ### Упражнение 1. Принудительное выравнивание {#exercise-1}
#
# Замените в прямом проходе сумму максимумом, запомните, откуда пришли, и пройдите назад: `align(log_p, y)` должна
# вернуть состояния лучшего пути ($T$ чисел от $0$ до $2U$). Проверьте на матрице из шести кадров, что вероятность
# этого пути – наибольшая среди всех путей, дающих $y=(1,1,3)$. Затем выровняйте контрольные слова обученной сетью:
# какую долю $p(y\mid x)$ несёт лучший путь, и в скольких случаях первый кадр буквы попадает внутрь её звука (границы
# хранятся в `test_words`, кадр сети – $20$ мс)?

# %% [markdown] tags=["solution"]
# Максимум вместо суммы – это алгоритм Витерби. Лучший путь несёт в среднем меньше половины вероятности текста:
# остальное – те же буквы, начатые кадром раньше или позже. Почти все буквы названы внутри своих звуков, считаные –
# на кадр раньше. Обещать этого CTC не может: двунаправленная GRU видит всё слово и могла бы назвать букву раньше или
# позже, потери не запрещают.

# %% tags=["solution"]


def align(log_p, y):
    """(T,) states of the most probable path that gives y."""
    states = extended(y)
    skip = (states != BLANK) & (states != np.roll(states, 2))
    skip[:2] = False
    score, came = np.full(len(states), -np.inf), []
    score[:2] = log_p[0, states[:2]]
    for row in log_p[1:]:
        jump = np.where(skip, shifted(score, 2), -np.inf)
        arrivals = np.stack([score, shifted(score, 1), jump])
        came.append(arrivals.argmax(axis=0))
        score = row[states] + arrivals.max(axis=0)
    path = [len(states) - 2 + score[-2:].argmax()]
    for back in reversed(came):
        path.append(path[-1] - back[path[-1]])
    return np.array(path[::-1])


def path_log_p(log_p, y):
    return log_p[np.arange(len(log_p)), extended(y)[align(log_p, y)]].sum()


small = random_outputs(6, 4, rng)
paths = [path for path in product(range(4), repeat=6) if collapse(path) == (1, 1, 3)]
best = max(small[range(6), path].sum() for path in paths)
claim(abs(path_log_p(small, (1, 1, 3)) - best) < 1e-12, "лучший путь – лучший и по перебору")

part, hits = [], []
for f, (_, text, borders) in zip(test_features, test_words, strict=True):
    log_q, target = outputs(states[-1], f), encode(text)
    part.append(np.exp(path_log_p(log_q, target) - log_likelihood(log_q, target)))
    path = align(log_q, target)
    for u, (start, end) in enumerate(borders):
        moment = np.flatnonzero(path == 2 * u + 1)[0] * 2 * HOP / RATE
        hits.append(start <= moment <= end)
print(f"лучший путь: в среднем {100 * np.mean(part):.0f} % вероятности текста")
print(f"начал букв внутри своего звука: {100 * np.mean(hits):.1f} % из {len(hits)}")
claim(np.mean(hits) > 0.8, "пики стоят при своих звуках", trained=True)

# %% [markdown]
# ### Упражнение 2. Языковая модель {#exercise-2}
#
# Текстов без звука сколько угодно: составьте `make_word` две тысячи слов и оцените по ним вероятности биграмм
# $p_\text{LM}(k\mid\text{предыдущая буква})$, прибавив к каждому счётчику единицу; начало слова считайте нулевой
# буквой. Подайте в `beam_search` добавку $a\log p_\text{LM}(k\mid\cdot)+b$. Подберите $a$ от $0{,}5$ до $2{,}5$ и
# $b$ от $0$ до $4{,}5$ по шестидесяти словам `corpus(60, seed=2)` с белым шумом $0$ дБ и проверьте на контрольных
# словах сеть, учившуюся с шумом.

# %% [markdown] tags=["solution"]
# Биграммы знают, что «с» и «ш» не соседи и что после согласной чаще всего гласная. Модель убирает часть ошибок, но
# не все: пропущенную гласную она подскажет, какую именно – нет. Премия $b$ нужна, потому что $\log p_\text{LM}<0$, и
# без неё каждый лишний символ штрафуется: луч стал бы писать короче.

# %% tags=["solution"]
counts = np.ones((K, K))
counts[:, BLANK] = 0
lm_rng = np.random.default_rng(7)
for _ in range(budget(2000, 200)):
    text = encode(make_word(lm_rng))
    for pair in zip((BLANK, *text), text, strict=False):
        counts[pair] += 1
counts[:, 1:] = np.log(counts[:, 1:] / counts.sum(axis=1, keepdims=True))
print(f"p(ш | с) = {np.exp(counts[6, 7]):.4f}, p(а | с) = {np.exp(counts[6, 1]):.2f}")


def with_model(tests, a, b):
    def bonus(prefix, k):
        return a * counts[prefix[-1] if prefix else BLANK, k] + b

    return [beam_search(outputs(hardened, f), 8, bonus)[0][0] for f in tests]


held = corpus(budget(60, 2), seed=2)
noise_rng = np.random.default_rng(3)
held_tests = [features(add_noise(x, noise_rng.standard_normal(len(x)), 0)) for x, *_ in held]
grid = [(a, b) for a in (0.5, 1.0, 1.5, 2.0, 2.5) for b in (0.0, 1.5, 3.0, 4.5)]
chosen = min(grid, key=lambda ab: cer(with_model(held_tests, *ab), [text for _, text, _ in held]))
with_lm = cer(with_model(noisy_tests["белый", 0], *chosen), test_texts)
print(f"a = {chosen[0]}, b = {chosen[1]}: CER {beams['с шумом', 0]:.3f} → {with_lm:.3f}")
claim(with_lm < beams["с шумом", 0], "языковая модель убавила ошибок при 0 дБ", trained=True)

# %% [markdown]
# ### Упражнение 3. Маски SpecAugment {#exercise-3}
#
# `spec_augment(S, rng, F=8, m_F=2, T_m=5, m_T=2)` ставит на признаки две маски по частоте и две по времени; ширина
# равномерна от нуля до $F=8$ полос и $T_m=5$ кадров. Выведите ожидаемую долю спрятанных клеток для слова в $65$
# кадров, считая места масок независимыми и пренебрегая тем, что края закрываются реже, и сверьте с розыгрышем.
# Признаки – таблица $(T,40)$. Затем обучите сеть двадцать эпох с масками вместо шума и проверьте её на чистых словах
# и при $5$ дБ. Помогли ли маски против шума?

# %% [markdown] tags=["solution"]
# Одна частотная маска прячет в среднем $4/40$, временная – $2{,}5/65$, поэтому ожидается
# $1-(1-0{,}1)^2(1-0{,}038)^2\approx0{,}25$. Против шума маски здесь не помогли: при $5$ дБ сеть с ними ошибается
# вдвое чаще, чем сеть без всего, и даже на чистых словах у неё есть ошибки. Ошибки на чистых словах понятны:
# спрятанное нечем угадать, буквы в словах почти случайны, а полоса частот, в которой живёт «с», одна. Это одно
# обучение на игрушечных словах, и вывод узкий: аугментация учит той неизменности, которую вносит, и маски шуму не
# учат. На настоящей речи с её избытком SpecAugment
# [работает](../theory-minimum/21-audio-augmentation.md#spec-augment).

# %% tags=["solution"]
expected = 1 - (1 - 4 / 40) ** 2 * (1 - 2.5 / 65) ** 2
plain = rng.standard_normal((65, BANDS))
hidden = np.mean([(spec_augment(plain, rng, 8, 2, 5, 2) != plain).mean() for _ in range(2000)])
claim(abs(hidden - expected) < 0.015, f"спрятано {hidden:.3f}, по формуле {expected:.3f}")


def masked(x, rng):
    return spec_augment(features(x), rng, 8, 2, 5, 2)


with_masks = train(budget(20, 2), masked)[0][-1]
masked_rates = {
    snr: cer([greedy(outputs(with_masks, f)) for f in tests], test_texts)
    for snr, tests in (("чисто", test_features), ("5 дБ", noisy_tests["белый", 5]))
}
print("сеть с масками:", ", ".join(f"{name} {value:.3f}" for name, value in masked_rates.items()))
claim(masked_rates["5 дБ"] > 3 * rates["с шумом", "белый", 5], "шум в обучении важнее масок", trained=True)

# %% [markdown]
# ### Упражнение 4. Сдвиг на полмиллисекунды {#exercise-4}
#
# Сдвиньте «шасси» на $8$ отсчётов и посчитайте корреляцию волны с её сдвинутой копией и лог-мел с лог-мел сдвинутой
# копии. Повторите для сдвига на целый шаг ($160$ отсчётов). Что из этого говорит в пользу лог-мел на входе сети?

# %% [markdown] tags=["solution"]
# Волна за полмиллисекунды уходит на заметную часть периода форманты, и корреляция падает; кадр в $25$ мс сдвига не
# замечает. Сеть на волне должна выучить эту неизменность из данных, лог-мел даёт её даром. Сдвиг на целый шаг
# сдвигает таблицу на одну строку; соседние кадры похожи, и корреляция остаётся высокой. У волны $0{,}56$ –
# случайность: $160$ отсчётов здесь почти два периода голоса.

# %% tags=["solution"]


def alike(a, b):
    return np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]


found = {}
for shift in (8, 160):
    moved = np.roll(x, shift)
    found[shift] = alike(x, moved), alike(S, log_mel(moved))
    print(f"сдвиг {shift:3d}: волна {found[shift][0]:.2f}, лог-мел {found[shift][1]:.4f}")
claim(found[8][1] > 0.99 and found[8][0] < 0.8, "сдвиг на 0,5 мс видит волна и не видит лог-мел")

# %% [markdown]
# ## Вопросы экзаменатора {#examiner}
#
# ??? question "Зачем в CTC пустой символ?"
#     Он разделяет одинаковые буквы, которые иначе слились бы («сс» в «шасси»), и даёт кадрам без буквы законный
#     ответ. Поэтому слову из $U$ букв с $r$ повторами подряд нужно не меньше $U+r$ кадров.
#
# ??? question "Чем вероятность текста отличается от вероятности лучшего пути?"
#     Вероятность текста – сумма по всем путям, которые в него свёртываются. В нашем примере из двух кадров самый
#     вероятный путь пустой, а самый вероятный текст – «а»: его путей три, и вместе они весят $0{,}64$.
#
# ??? question "Чему равен градиент потерь CTC по логитам?"
#     $p-\gamma$: предсказание минус апостериорная доля путей, проходящих в этом кадре через символ. Форма та же, что
#     у кросс-энтропии, только вместо метки – мягкое распределение, посчитанное прямым и обратным проходами.
#
# ??? question "Почему обучение начинается с одних пустых символов?"
#     При равномерном выходе на $\varnothing$ в среднем по кадрам приходится почти половина апостериорной доли
#     ($\gamma=0{,}49$ у нас), а сеть даёт ему $p=\frac18$; поэтому первый же шаг поднимает именно его. Пока признаки
#     букв не найдены, это лучшее, что можно ответить.
#
# ??? question "Что хранит поиск по префиксам и почему двух чисел на префикс достаточно?"
#     Вероятности путей, кончающихся на $\varnothing$ и на последнюю букву. Повтор буквы продолжает префикс только из
#     первых; из вторых он сольётся. Больше о прошлом знать не нужно.
#
# ??? question "Почему на вход подают лог-мел, а не волну?"
#     Волна зависит от фазы: сдвиг на полмиллисекунды роняет корреляцию до $0{,}2$, а лог-мел его не замечает. Шагов
#     времени в $160$ раз меньше, частоты идут по шкале слуха, логарифм превращает громкость в сдвиг.
#
# ??? question "Поможет ли луч без языковой модели?"
#     Уверенной сети – почти нет: на чистых словах ответы совпали все. Неуверенной помогает: посреди обучения ошибка
#     $0{,}61$ у жадного ответа и $0{,}18$ у луча. В шуме разница мала, там луч нужен, чтобы подключить языковую
#     модель.
#
# ??? question "Какую независимость предполагает CTC и чем это грозит?"
#     Выходы кадров при данном входе независимы, $p(\pi\mid x)=\prod_tp(\pi_t\mid x)$. Кадр знает весь вход, но не
#     знает, какой символ выбран в соседнем: если звук допускает два текста, кадры выбирают порознь и могут смешать
#     половины. Отсюда внешняя языковая модель. У [RNN-T](../tickets/10-audio-asr.md#rnn-t) и
#     [LAS](../tickets/10-audio-asr.md#las) выход зависит от уже написанных букв.

# %% [markdown]
# ## Источники {#sources}
#
# - Graves et al. [Connectionist Temporal Classification](https://www.cs.toronto.edu/~graves/icml_2006.pdf). ICML
#   2006.
# - Hannun et al.
#   [First-Pass Large Vocabulary Continuous Speech Recognition using Bi-Directional Recurrent DNNs](https://arxiv.org/abs/1408.2873),
#   2014 – поиск по префиксам с языковой моделью.
# - Park et al. [SpecAugment](https://arxiv.org/abs/1904.08779). Interspeech 2019.
# - Davis, Mermelstein. Comparison of Parametric Representations for Monosyllabic Word Recognition. IEEE TASSP 28(4),
#   1980 – мел-шкала в распознавании.
