# ---
# lab: 5
# questions: [ticket-07, tm-13]
# minutes: 35
# description: "BPE с нуля на двух главах «Анны Карениной», затем skip-gram: что он выучивает и что раскладывает."
# ---
#
# %% [markdown]
# # Токенизаторы и skip-gram
#
# Между текстом и матрицей эмбеддингов стоят два решения: на что резать и чему учить векторы. Оба обычно показывают
# на корпусах в миллиарды слов, где ничего не пересчитаешь. Возьмём две первые главы «Анны Карениной»: BPE на них
# обучается за доли секунды, а у skip-gram можно проверить теорему до восьмого знака.
#
# ## Что мы построим {#goal}
#
# [BPE](../tickets/07-word-embeddings-tokenization.md#bpe): обучение слияниями, кодирование, декодирование, байтовый
# вариант – и сравнение с WordPiece и Unigram на чужой главе. Потом
# [skip-gram с negative sampling](../tickets/07-word-embeddings-tokenization.md#negative-sampling) на NumPy: пары,
# шум, градиент, обучение. Наконец,
# [теорема Леви – Голдберга](../tickets/07-word-embeddings-tokenization.md#pmi-theorem): что именно эти векторы
# раскладывают и [чем здесь отличается GloVe](../theory-minimum/13-glove-vs-word2vec.md#sameness).
#
# Слов в двух главах слишком мало, чтобы учить их векторы: большинство встречается один раз. Поэтому «словами» для
# skip-gram будут буквы – их тысячи, и каждый вывод можно проверить. Об этой замене надо помнить: смысл из букв не
# возникнет, возникнет их сочетаемость.

# %%
from collections import Counter
from itertools import pairwise

import numpy as np
import torch

from scripts.dl import bpe as reference
from scripts.dl import skip_gram, unigram_lm, wordpiece
from scripts.experiments.texts import chapters
from scripts.figures import style
from scripts.labs.kit import budget, claim, figure

torch.set_num_threads(1)
first, second = chapters("tolstoy.ru")
train, test = (Counter(reference.words(text)) for text in (second, first))
once = sum(n == 1 for n in train.values()) / len(train)
print(f"обучающая глава: {sum(train.values())} слов, разных {len(train)}")
print(f"встретились один раз: {once:.0%} разных слов")
claim(once > 0.6, "больше шестидесяти процентов слов встретились однажды")

# %% [markdown]
# Текст – Л. Н. Толстой, «Анна Каренина», часть первая, главы I и II (общественное достояние; откуда он взят, сказано
# в первых строках `data/texts/tolstoy.ru.txt`). Токенизаторы учим на второй главе и проверяем на первой; для
# skip-gram возьмём обе.
#
# ## BPE: обучение {#learn}
#
# Слово – последовательность символов, вначале букв. На каждом шаге считаем соседние пары по всему корпусу, самую
# частую склеиваем в новый символ и записываем слияние. Между словами ничего не склеивается, поэтому достаточно
# хранить каждое слово однажды со счётчиком.


# %%
def merge(word, pair):
    """Every occurrence of the pair in a tuple of symbols, joined."""
    out, i = [], 0
    while i < len(word):
        if word[i : i + 2] == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return tuple(out)


def learn(words, count):
    """`count` merges, in order, from {word: how often}."""
    split, merges = {tuple(word): n for word, n in words.items()}, []
    for _ in range(count):
        pairs = Counter()
        for word, n in split.items():
            for pair in pairwise(word):
                pairs[pair] += n
        best = max(pairs, key=pairs.get)  # a tie: the first one seen
        merges.append(best)
        split = {merge(word, best): n for word, n in split.items()}
    return merges


merges = learn(train, budget(600, 30))
print("первые слияния:", " ".join("".join(pair) for pair in merges[:12]))
theirs = reference.learn_merges({tuple(w): n for w, n in train.items()}, len(merges))
claim(merges == theirs, f"все {len(merges)} слияний – как в scripts/dl/bpe.py")

# %% [markdown]
# ## Кодирование {#encode}
#
# Новое слово режут не «самыми длинными токенами», а *теми же слияниями в том же порядке*: из пар, что есть в слове,
# берут выученную раньше всех, и так до конца. Декодирование – простая склейка.


# %%
def encode(word, ranks):
    symbols = tuple(word)
    while len(symbols) > 1:
        pair = min(pairwise(symbols), key=lambda p: ranks.get(p, np.inf))
        if pair not in ranks:
            break
        symbols = merge(symbols, pair)
    return symbols


ranks = {pair: number for number, pair in enumerate(merges)}
for word in ("облонский", "несчастлива", "гувернантка", "трансформер"):
    print(f"{word:12} → {' '.join(encode(word, ranks))}")
claim(all("".join(encode(w, ranks)) == w for w in test), "декодирование возвращает слово")
same = all(encode(w, ranks) == reference.encode_word(tuple(w), ranks) for w in test)
claim(same, "разбиение – как в scripts/dl/bpe.py")

# %% [markdown]
# Сколько токенов приходится на слово чужой главы? Чем больше слияний, тем короче запись, но отдача падает: поздние
# слияния собирают редкие слова обучающей главы и их куски, которых в другой главе нет.


# %%
def fertility(words, ranks):
    """Tokens per word, every occurrence counted."""
    total = sum(n * len(encode(word, ranks)) for word, n in words.items())
    return total / sum(words.values())


COUNTS = [0, 10, 30, 100, 200, 400, 600][: budget(7, 3)]
lengths = {}
for name, words in (("своя", train), ("чужая", test)):
    cut = [{p: r for p, r in ranks.items() if r < count} for count in COUNTS]
    lengths[name] = [fertility(words, part) for part in cut]
    print(f"{name:6}", " ".join(f"{value:.2f}" for value in lengths[name]))
claim(all(np.diff(lengths["чужая"]) < 0), "от точки к точке запись чужой главы короче")
claim(lengths["чужая"][-1] > 1.4 * lengths["своя"][-1], "но на чужой главе – слабее", trained=True)


@figure(
    "Токенов на слово при разном числе слияний. Вначале линия своей главы выше, потому что слова в ней длиннее; меньше "
    "чем через сотню слияний она уходит вниз: поздние слияния запоминают её собственные слова.",
    alt="Две убывающие кривые: при нуле слияний около пяти токенов на слово, при шестистах на своей главе меньше двух, "
    "на чужой около двух с половиной.",
)
def tokens_per_word(theme):
    from matplotlib import pyplot

    drawing, axes = pyplot.subplots()
    for (name, values), colour, mark in zip(lengths.items(), (theme.forward, theme.backward), "os", strict=True):
        axes.plot(COUNTS, values, mark, ls="-", color=colour, label=f"{name} глава", markersize=4)
    axes.set(xlabel="слияний", ylabel="токенов на слово", ylim=(0, None))
    axes.legend()
    return drawing


# %% [markdown]
# ## Байты вместо букв {#bytes}
#
# У буквенного BPE есть неизвестные символы – всё, чего не было в обучающей главе: эмодзи, большинство латинских букв
# и даже ъ (в первой главе есть «объявила»). Байтовый BPE начинает с $256$ байтов, и закодировать можно любую строку.
# Цена – кириллица в UTF-8 занимает по два байта на букву, и первые слияния уходят на то, чтобы собрать из байтов
# буквы.

# %%
byte_bpe = reference.ByteBPE.train(second, budget(400, 30))
letters = len(first)
print(f"байтов на знак: {len(first.encode()) / letters:.2f}")
print(f"токенов на знак после слияний: {len(byte_bpe.encode(first)) / letters:.2f}")
merged = [(a + b).decode(errors="replace") for a, b in byte_bpe.merges[:8]]
print("первые слияния:", " ".join(repr(piece) for piece in merged))
strange = "Attention – это 🙂 ﬁ"
claim(byte_bpe.decode(byte_bpe.encode(strange)) == strange, "любая строка кодируется обратимо")
claim(1.7 < len(first.encode()) / letters < 1.9, "русский текст: около 1,8 байта на знак")
claim(not set("🙂ﬁъ") & {c for w in train for c in w}, "а буквенному BPE 🙂, ﬁ и ъ неизвестны")

# %% [markdown]
# Первое слияние – пробел, который здесь принадлежит следующему слову, и первый из двух байтов русской буквы; сам по
# себе этот байт не знак, вместо него напечатано �. Затем одна за другой собираются частые буквы.

# %% [markdown]
# ## WordPiece и Unigram {#others}
#
# Оба готовы в `scripts/dl`. WordPiece сливает пару с наибольшим отношением частоты пары к произведению частот
# частей, а режет жадно, самым длинным куском. Unigram начинает с большого словаря, находит вероятности токенов по
# EM, выбрасывает те, без которых правдоподобие падает меньше всего, и режет алгоритмом Витерби. Дадим всем троим
# словари одного размера, около $300$ токенов, и посмотрим на одно и то же слово; `##` помечает кусок не в начале
# слова.

# %%
SIZE = 300
alphabet = {letter for word in train for letter in word}
ours = {p: r for p, r in ranks.items() if r < SIZE - len(alphabet)}
pieces = {piece for word in (*train, *test) for piece in wordpiece.pieces(word)}
_, added = wordpiece.learn(train, budget(SIZE - len(pieces), 10))
vocabulary = {*pieces, *added}
p = unigram_lm.train(train, budget(SIZE, 2000))
p |= dict.fromkeys(sorted({c for w in test for c in w} - set(p)), 1e-12)

WAYS = {
    "BPE": lambda word: encode(word, ours),
    "WordPiece": lambda word: wordpiece.encode_word(word, vocabulary),
    "Unigram": lambda word: unigram_lm.viterbi(word, p)[0],
}
for name, way in WAYS.items():
    per_word = sum(n * len(way(w)) for w, n in test.items()) / sum(test.values())
    print(f"{name:10} {per_word:.2f} токена на слово; {' '.join(way('несчастлива'))}")
print("первое в словаре WordPiece после букв:", " ".join(added[:23]))

# %% [markdown]
# WordPiece в таком малом словаре проигрывает, и видно почему. Отношение частот предпочитает куски редкие, но
# неразлучные: первой склеена целиком m-lle Roland, скоро и хвост «графинчиков», а такие находки в чужом тексте почти
# не встречаются. К тому же букв у него почти вдвое больше: каждая есть с `##` и без.
#
# Витерби нетрудно проверить: у короткого слова все разбиения можно перебрать.


# %%
def every_split(word):
    if not word:
        yield []
    for end in range(1, len(word) + 1):
        if word[:end] in p:
            yield from ([word[:end], *rest] for rest in every_split(word[end:]))


words = [w for w in test if len(w) <= 8][:60]
best = [max(every_split(w), key=lambda s: sum(np.log(p[t]) for t in s)) for w in words]
found = [list(unigram_lm.viterbi(w, p)[0]) for w in words]
value = [sum(np.log(p[t]) for t in s) for s in best]
reached = [sum(np.log(p[t]) for t in s) for s in found]
claim(np.allclose(value, reached), "на 60 коротких словах Витерби находит лучшее из всех разбиений")

# %% [markdown]
# ## Skip-gram: пары и шум {#pairs}
#
# Теперь векторы. Наш «словарь» – буквы (ё считаем за е, редкие ф, щ, ъ заменяем пробелом, слово на них рвётся),
# контекст – буквы на расстоянии до двух внутри слова. Шум возьмём по рецепту статьи, $P_n\propto\#(w)^{3/4}$, где
# $\#(w)$ – сколько раз буква встретилась контекстом: степень поднимает редкие.

# %%
ALPHABET = "абвгдежзийклмнопрстухцчшыьэюя"
number = {letter: i for i, letter in enumerate(ALPHABET)}
text = (first + " " + second).lower().replace("ё", "е")
runs = "".join(c if c in number else " " for c in text).split()
pairs = np.concatenate([skip_gram.pairs([number[c] for c in run], 2) for run in runs])
counts = np.bincount(pairs[:, 1], minlength=len(ALPHABET)).astype(float)
noise = counts**0.75 / (counts**0.75).sum()
print(f"пар: {len(pairs)}, букв: {len(ALPHABET)}")
common, rare = counts.argmax(), counts.argmin()
share = counts / counts.sum()
for letter in (common, rare):
    print(f"«{ALPHABET[letter]}»: доля {share[letter]:.4f}, в шуме {noise[letter]:.4f}")
claim(noise[common] < share[common] and noise[rare] > share[rare], "степень 3/4 поднимает редкие")

# %% [markdown]
# ## Потери и градиент {#loss}
#
# Для пары $(c,o)$ и $k$ шумовых слов $\ell=-\log\sigma(u_o^\top v_c)-\sum_i\log\sigma(-u_{w_i}^\top v_c)$. Здесь
# $v_c$ – строка матрицы $V$ (буква в центре), $u_o$ – строка $U$ (буква в контексте), обе длины $d$;
# $\sigma(x)=1/(1+e^{-x})$, $w_i\sim P_n$. Градиент
#
# $$
# \frac{\partial\ell}{\partial v_c}=\bigl(\sigma(u_o^\top v_c)-1\bigr)u_o+\sum_i\sigma(u_{w_i}^\top v_c)\,u_{w_i}
# $$
#
# читается так: к соседу тянем, от шума толкаем. Сверим его с autograd.


# %%
def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def loss_and_gradient(v, u, negatives):
    """One pair: v, u (d,), negatives (k, d)."""
    real, fake = u @ v, negatives @ v
    loss = np.log1p(np.exp(-real)) + np.log1p(np.exp(fake)).sum()
    pull, push = sigmoid(real) - 1, sigmoid(fake)
    return loss, pull * u + push @ negatives, pull * v, np.outer(push, v)


rng = np.random.default_rng(0)
v, u, negatives = rng.standard_normal(6), rng.standard_normal(6), rng.standard_normal((4, 6))
tensors = [torch.tensor(x, requires_grad=True) for x in (v, u, negatives)]
log_sigmoid = torch.nn.functional.logsigmoid
total = -log_sigmoid(tensors[1] @ tensors[0]) - log_sigmoid(-(tensors[2] @ tensors[0])).sum()
total.backward()
mine = loss_and_gradient(v, u, negatives)
worst = max(np.abs(g - t.grad.numpy()).max() for g, t in zip(mine[1:], tensors, strict=True))
claim(abs(mine[0] - total.item()) < 1e-12 and worst < 1e-12, "потери и градиент – как у autograd")

# %% [markdown]
# ## Обучение {#train}
#
# SGD по случайным порциям пар; $V$ – малые случайные числа, $U$ – нули, как в программе word2vec. Если векторы не
# знают ничего ($U=0$), потери равны $(k+1)\log2$. Модель, знающая только частоты букв, но не их соседство, –
# следующая планка: её лучшая оценка от $c$ не зависит, $x_o=\log\frac{P(o)}{kP_n(o)}$. Опуститься ниже обеих можно,
# только заметив, кто с кем стоит.

# %%
D, K, BATCH, STEPS = 8, 5, 256, budget(6000, 100)
V = (rng.random((len(ALPHABET), D)) - 0.5) / D
U = np.zeros((len(ALPHABET), D))
history = []
for step in range(STEPS):
    rate = 8.0 * (1 - step / STEPS)
    centre, context = pairs[rng.integers(len(pairs), size=BATCH)].T
    drawn = rng.choice(len(ALPHABET), size=(BATCH, K), p=noise)
    targets = np.concatenate([context[:, None], drawn], axis=1)  # the real one first
    scores = np.einsum("bd,bkd->bk", V[centre], U[targets])
    signs = np.array([1.0] + [-1.0] * K)
    history.append(np.log1p(np.exp(-signs * scores)).sum(1).mean())
    bar = -signs * sigmoid(-signs * scores) / BATCH  # adjoint of the scores
    v_bar = np.einsum("bk,bkd->bd", bar, U[targets])
    u_bar = bar[:, :, None] * V[centre][:, None]
    np.add.at(V, centre, -rate * v_bar)
    np.add.at(U, targets, -rate * u_bar)

nothing = (K + 1) * np.log(2)
x = np.log(share / (K * noise))
frequencies = (share * np.log1p(np.exp(-x))).sum() + K * (noise * np.log1p(np.exp(x))).sum()
final = np.mean(history[-500:])
print(f"ничего {nothing:.3f}, только частоты {frequencies:.3f}, обучено {final:.3f}")
claim(abs(history[0] - nothing) < 1e-9, "в начале (k + 1) log 2")
claim(final < frequencies - 0.05, "обученные векторы знают больше частот", trained=True)

# %% [markdown]
# Что выучили векторы? Гласные стоят рядом с согласными, и наоборот; значит, у двух гласных похожие контексты.
# Посмотрим на ближайших соседей по косинусу и на первые две главные компоненты. Считать будем буквы чаще $1\,\%$,
# без ь и й.

# %%
VOWELS = "аеиоуыэюя"
is_vowel = np.array([c in VOWELS for c in ALPHABET])
frequent = np.array([i for i in range(len(ALPHABET)) if share[i] > 0.01 and ALPHABET[i] not in "ьй"])
unit = V / np.linalg.norm(V, axis=1, keepdims=True)
cosine = unit @ unit.T - 2 * np.eye(len(ALPHABET))
for letter in "аеотн":
    order = np.argsort(-cosine[number[letter]])[:4]
    print(f"к «{letter}» ближе всего:", " ".join(ALPHABET[i] for i in order))
nearest = frequent[np.argmax(cosine[np.ix_(frequent, frequent)], axis=1)]
right = (is_vowel[nearest] == is_vowel[frequent]).mean()
print(f"ближайшая буква того же рода: {right:.0%} из {len(frequent)} частых")
claim(right > 0.85, "гласные ближе к гласным, согласные к согласным", trained=True)

centred = unit[frequent] - unit[frequent].mean(0)
plane = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
vowel = is_vowel[frequent]
axis = plane[vowel].mean(0) - plane[~vowel].mean(0)
along = plane @ axis
middle = (along[vowel].mean() + along[~vowel].mean()) / 2
sides = (along > middle) == vowel
print(f"прямая посередине верно делит {sides.sum()}, не делит:", " ".join(ALPHABET[i] for i in frequent[~sides]))
claim(sides.mean() > 0.9, "на плоскости гласные отделены от согласных почти без ошибок", trained=True)


@figure(
    "Векторы $v$ частых букв, длина приведена к единице, две главные компоненты. О гласных и согласных модели никто не "
    "говорил: она знает только, какие буквы стоят рядом.",
    alt="Буквы на плоскости: гласные, выделенные жирным, собраны по одну сторону, согласные по другую.",
)
def letters_on_a_plane(theme):
    from matplotlib import pyplot

    drawing, axes = pyplot.subplots(figsize=(style.WIDTH, style.WIDTH * 0.75))
    axes.scatter(*plane.T, s=4, color=theme.grid)
    for (x, y), i in zip(plane, frequent, strict=True):
        colour, weight = (theme.backward, "bold") if is_vowel[i] else (theme.forward, "normal")
        style_of = {"color": colour, "fontweight": weight, "fontsize": 12}
        axes.text(x, y, ALPHABET[i], ha="center", va="center", **style_of)
    axes.set(xlabel="первая компонента", ylabel="вторая компонента")
    return drawing


# %% [markdown]
# ## Что раскладывает skip-gram {#pmi}
#
# Если размерности хватает, а шум – частоты в первой степени, оптимум потерь для каждой пары известен:
# $u_o^\top v_c=\operatorname{PMI}(c,o)-\log k$, где $\operatorname{PMI}(c,o)=\log\frac{\#(c,o)\,|D|}{\#(c)\,\#(o)}$,
# $\#$ – счётчики, $|D|$ – число всех пар. Проверим численно: минимизируем *ожидаемые* потери по самим произведениям
# $x_{co}$, каждое – отдельное число. Пары, не встретившиеся ни разу, тянули бы $x$ к минус бесконечности, поэтому
# добавим ко всем счётчикам единицу.

# %%
N = skip_gram.count_matrix(pairs, len(ALPHABET)) + 1
by_centre, by_context = N.sum(1, keepdims=True), N.sum(0, keepdims=True)
expected_noise = K * by_centre * by_context / N.sum()
x = np.zeros_like(N)
for _ in range(200):  # Newton's method, each cell on its own
    gradient = expected_noise * sigmoid(x) - N * sigmoid(-x)
    curvature = (expected_noise + N) * sigmoid(x) * sigmoid(-x)
    x -= np.clip(gradient / curvature, -1, 1)
pmi = np.log(N * N.sum() / (by_centre * by_context))
claim(np.abs(x - (pmi - np.log(K))).max() < 1e-8, "оптимум – PMI − log k")

# %% [markdown]
# Наши векторы короче ($d=8$ вместо $29$), и шум у них в степени $\frac34$, так что сравнивать надо с поправкой:
# $\log\frac{\#(c,o)}{k\,\#(c)\,P_n(o)}$. Совпадения до знака не будет – разложение малого ранга, обучение конечное,
# – но связь видна. Корреляцию взвесим счётчиками самих пар, без добавленной единицы: невстретившиеся пары в неё не
# войдут. Рядом поставим её же для модели, которая знает только частоты.

# %%
seen = skip_gram.count_matrix(pairs, len(ALPHABET))
target = np.log(np.maximum(seen, 1) / (K * seen.sum(1, keepdims=True) * noise))
weighted = seen / seen.sum()


def correlation(a, b):
    """Pearson's, every pair of letters as often as it was seen."""
    a, b = a - (weighted * a).sum(), b - (weighted * b).sum()
    return (weighted * a * b).sum() / np.sqrt((weighted * a * a).sum() * (weighted * b * b).sum())


agreement = correlation(V @ U.T, target)
blind = correlation(np.broadcast_to(np.log(share / (K * noise)), target.shape), target)
print(f"корреляция с поправленным PMI: произведения {agreement:.2f}, одни частоты {blind:.2f}")
claim(agreement > 0.8 and blind < 0.4, "векторы раскладывают сдвинутый PMI", trained=True)

# %% [markdown]
# ## Что наблюдать {#observe}
#
# | Что сделали | Что видно | Почему |
# |---|---|---|
# | $600$ слияний на одной главе | на чужой токенов почти в полтора раза больше | поздние слияния – свои редкие слова |
# | байтовый BPE | до слияний $1{,}8$ токена на знак, после $0{,}54$ | буква кириллицы – два байта |
# | WordPiece при $300$ токенах | $4{,}4$ токена на слово, у BPE $2{,}7$ | слияния ушли на редкие слова |
# | Витерби | лучшее из всех разбиений | динамическое программирование по концу куска |
# | skip-gram на буквах | потери ниже планки частот | выучено соседство |
# | главные компоненты | гласные почти отделены от согласных | похожие контексты – близкие векторы |
# | оптимум по каждой клетке | $\operatorname{PMI}-\log k$ | теорема Леви – Голдберга |

# %% [markdown]
# ## Упражнения {#exercises}
#
# ### Упражнение 1. Самый длинный токен {#exercise-1}
#
# Напишите жадное разбиение BPE-словаря: слева направо самый длинный токен из словаря (буквы и результаты слияний).
# Найдите в тестовой главе слово, где оно отличается от `encode`, и посчитайте долю таких среди разных слов. Словарь
# – все $600$ слияний, незнакомая буква – отдельный токен.

# %% [markdown] tags=["solution"]
# Слияния применяются в порядке обучения: «ив» выучено раньше, чем «ли», забирает букву, и «ли» собрать уже не из
# чего, хотя такой токен в словаре есть.

# %% tags=["solution"]
tokens = alphabet | {a + b for a, b in merges}


def greedy(word):
    out = []
    while word:
        size = max((n for n in range(1, len(word) + 1) if word[:n] in tokens), default=1)
        out.append(word[:size])
        word = word[size:]
    return tuple(out)


different = [w for w in test if greedy(w) != encode(w, ranks)]
print(f"иначе: {len(different) / len(test):.0%} слов")
if different:
    example = different[0]
    print(" ".join(encode(example, ranks)), "|", " ".join(greedy(example)))
claim(all("".join(greedy(w)) == w for w in test), "жадное разбиение тоже обратимо")
claim(0.02 < len(different) / len(test) < 0.6, "но разбивает часть слов иначе", trained=True)
if {("и", "в"), ("л", "и")} <= set(ranks):
    claim(ranks["и", "в"] < ranks["л", "и"], "«ив» выучено раньше, чем «ли»")

# %% [markdown]
# ### Упражнение 2. Прореживание {#exercise-2}
#
# Вхождение буквы, доля которой среди всех букв `runs` равна $f$, оставляют с вероятностью $\min(1,\sqrt{t/f})$.
# Какая доля букв останется при $t=0{,}01$? Посчитайте по формуле и проверьте, разыграв каждое вхождение.

# %% [markdown] tags=["solution"]
# Ожидаемая доля – $\sum_wf(w)\min(1,\sqrt{t/f(w)})$. Частые буквы прореживаются сильнее, и распределение становится
# ровнее.

# %% tags=["solution"]
stream = np.array([number[c] for run in runs for c in run])
f = np.bincount(stream, minlength=len(ALPHABET)) / len(stream)
keep = np.minimum(1, np.sqrt(0.01 / f))
left = (rng.random(len(stream)) < keep[stream]).mean()
print(f"по формуле {(f * keep).sum():.3f}, разыграно {left:.3f}")
claim(abs(left - (f * keep).sum()) < 0.02, "доля оставшихся – по формуле")

# %% [markdown]
# ### Упражнение 3. Softmax или отрицательные примеры {#exercise-3}
#
# Полный softmax стоит $O(|\mathcal V|d)$ на пару. Покажите, что его градиент по $v_c$ – тоже «тянем и толкаем»:
# $-u_o+\sum_wp(w\mid c)\,u_w$, и проверьте по autograd. Сколько векторов затрагивает один шаг в каждом случае?

# %% [markdown] tags=["solution"]
# $\ell=-u_o^\top v+\log\sum_we^{u_w^\top v}$, производная логарифма суммы – среднее векторов $u_w$ с весами softmax.
# Затронуты $v_c$ и все $|\mathcal V|$ векторов $u$; у negative sampling – не больше $k+2$.

# %% tags=["solution"]
table, o = rng.standard_normal((29, 6)), 4
probability = np.exp(table @ v) / np.exp(table @ v).sum()
by_hand = -table[o] + probability @ table
t = torch.tensor(v, requires_grad=True)
torch.nn.functional.cross_entropy((torch.tensor(table) @ t)[None], torch.tensor([o])).backward()
claim(np.abs(by_hand - t.grad.numpy()).max() < 1e-12, "градиент softmax: тянем и толкаем")

# %% [markdown]
# ### Упражнение 4. Та же матрица глазами GloVe {#exercise-4}
#
# GloVe приближает $\log X_{co}$ суммой $u_o^\top v_c+b_c+\tilde b_o$. Здесь $X_{co}$ – элементы `N`, $\#(c)$ и
# $\#(o)$ – суммы её строк и столбцов, $|D|$ – сумма всех элементов. Покажите, что при сдвигах $b_c=\log\#(c)$ и
# $\tilde b_o=\log\#(o)-\log|D|$ скалярным произведениям остаётся разложить PMI, и проверьте тождество на числах.

# %% [markdown] tags=["solution"]
# $\operatorname{PMI}=\log\#(c,o)-\log\#(c)-\log\#(o)+\log|D|$. Перенесём маргиналы налево – они и есть сдвиги, а
# раскладывается та же PMI, только без $-\log k$. Но GloVe учит сдвиги сам, и совпасть с маргиналами они не обязаны;
# другие у него и потери, и [веса ошибки](../theory-minimum/13-glove-vs-word2vec.md#weights).

# %% tags=["solution"]
b_centre = np.log(by_centre)
b_context = np.log(by_context) - np.log(N.sum())
claim(np.allclose(np.log(N), pmi + b_centre + b_context), "log X = PMI + сдвиги")

# %% [markdown]
# ## Вопросы экзаменатора {#examiner}
#
# ??? question "В каком порядке BPE применяет слияния к новому слову?"
#     В порядке обучения: из пар, стоящих рядом в слове, берётся выученная раньше всех. Жадный выбор самого длинного
#     токена даёт на части слов другое разбиение.
#
# ??? question "Зачем хранить слова со счётчиками, а не текст?"
#     Слияния не пересекают границ слов, поэтому каждое различное слово достаточно резать однажды, умножая на его
#     частоту. В большом корпусе различных слов много меньше, чем вхождений.
#
# ??? question "Чем платят за отсутствие неизвестных символов у байтового BPE?"
#     Длиной: буква кириллицы – два байта, и часть слияний уходит на сборку букв. Разрезанная посередине буква при
#     декодировании по кускам даёт неверный UTF-8.
#
# ??? question "Чем Unigram отличается от BPE?"
#     Идёт от большого словаря к малому, у токенов есть вероятности, разбиение – самое вероятное (Витерби), и его
#     можно разыгрывать, а не только брать лучшее, – это
#     [регуляризация подсловами](../tickets/07-word-embeddings-tokenization.md#unigram).
#
# ??? question "Что выучивает skip-gram с negative sampling?"
#     При достаточной размерности и шуме по частотам $u_o^\top v_c=\operatorname{PMI}(c,o)-\log k$: скрытое
#     разложение матрицы сдвинутого PMI. При любом шуме оптимум – $\log\frac{\#(c,o)}{k\,\#(c)\,P_n(o)}$, а при малой
#     размерности он достигается лишь приближённо.
#
# ??? question "Почему $U$ можно начать с нулей?"
#     На первом шаге градиент по $v_c$ нулевой, но по $u_o$ он равен $-\frac12v_c$, по шумовым $u_{w_i}$ –
#     $+\frac12v_c$, а $v$ случайны: $U$ сдвинется, и дальше учатся обе. Обнулить и $V$ нельзя: нулями были бы все
#     градиенты.
#
# ??? question "Почему мы учили буквы, а не слова?"
#     В двух главах $1618$ слов, и три четверти разных встретились однажды, их контексты случайны. Для слов нужны
#     миллионы вхождений; буквы дают ту же математику на данных, которых хватает.

# %% [markdown]
# ## Источники {#sources}
#
# - Sennrich, Haddow, Birch.
#   [Neural Machine Translation of Rare Words with Subword Units](https://arxiv.org/abs/1508.07909). ACL 2016 – BPE.
# - Kudo. [Subword Regularization](https://arxiv.org/abs/1804.10959). ACL 2018 – Unigram.
# - Mikolov et al.
#   [Distributed Representations of Words and Phrases and their Compositionality](https://arxiv.org/abs/1310.4546).
#   NeurIPS 2013.
# - Levy, Goldberg.
#   [Neural Word Embedding as Implicit Matrix Factorization](https://papers.nips.cc/paper/5477-neural-word-embedding-as-implicit-matrix-factorization).
#   NeurIPS 2014.
# - Pennington, Socher, Manning. [GloVe](https://aclanthology.org/D14-1162/). EMNLP 2014.
