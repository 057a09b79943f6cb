# ---
# lab: 6
# questions: [ticket-09, tm-16, tm-17, tm-18]
# minutes: 40
# description: "GPT из семи тысяч параметров: внимание и RoPE на NumPy, обучение на Толстом, генерация с кэшем и без."
# ---
#
# %% [markdown]
# # Крошечный GPT и KV-кэш
#
# Про большие языковые модели спрашивают, сколько операций стоит токен, сколько весит кэш и почему старые ключи не
# меняются. Ответы годятся и для модели из семи тысяч параметров, которая учится за секунды, – и на ней их можно
# проверить до единицы.
#
# ## Что мы построим {#goal}
#
# Сначала [внимание](../tickets/09-transformers.md#attention) с причинной маской и
# [RoPE](../theory-minimum/18-positional-encoding.md#rope) на NumPy и сверка с PyTorch. Потом декодер из двух
# [блоков Pre-LN](../tickets/09-transformers.md#block), который предсказывает следующую букву «Анны Карениной».
# Наконец, генерация: честная, с пересчётом всего текста, и с [KV-кэшем](../theory-minimum/17-kv-cache.md#idea).
# Сосчитаем операции, время и байты и сравним с формулами.
#
# Нужны [самовнимание](../theory-minimum/16-self-attention.md#formulas) и кросс-энтропия.

# %%
import time

import numpy as np
import torch
from torch.nn import functional

from scripts.dl import kv_cache
from scripts.dl.decoding import temperature
from scripts.dl.positional_encoding import frequencies, rotate
from scripts.experiments.texts import chapters
from scripts.figures import style
from scripts.labs.kit import budget, claim, figure

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
chance = np.random.default_rng(0)

# %% [markdown]
# ## Внимание {#attention}
#
# Строки $Q,K,V\in\mathbb R^{T\times d_k}$ – позиции; впереди стоит ещё ось голов. Маска пускает запрос $i$ к ключам
# $j\le i$. Если ключей больше, чем запросов, то последний запрос стоит на последнем ключе: в таком виде маска
# пригодится и с кэшем. Все умножения матриц пропустим через одну функцию, которая заодно считает операции: умножение
# со сложением – две.


# %%
count = {"operations": 0}


def mm(A, B):
    """A @ B, and 2 m n k operations for each of the leading indices."""
    C = A @ B
    count["operations"] += 2 * C.size * A.shape[-1]
    return C


def softmax(S):
    E = np.exp(S - S.max(-1, keepdims=True))
    return E / E.sum(-1, keepdims=True)


def attention(Q, K, V):
    """Causal; Q (..., T, d_k), K and V (..., past + T, d_k)."""
    S = mm(Q, K.swapaxes(-1, -2)) / np.sqrt(Q.shape[-1])
    T, keys = S.shape[-2:]
    S = np.where(np.tri(T, keys, keys - T, dtype=bool), S, -np.inf)
    return mm(softmax(S), V)


Q, K, V = chance.standard_normal((3, 4, 7, 8))  # 4 heads, 7 positions, d_k = 8
ours = attention(Q, K, V)
theirs = functional.scaled_dot_product_attention(*map(torch.tensor, (Q, K, V)), is_causal=True)
claim(np.abs(ours - theirs.numpy()).max() < 1e-12, "внимание – как scaled_dot_product_attention")
claim(np.allclose(ours[:, 0], V[:, 0]), "первая позиция видит только себя")
tail = attention(Q[:, -2:], K, V)
claim(np.allclose(tail, ours[:, -2:]), "двум последним запросам хватает своих строк Q")

# %% [markdown]
# Последняя проверка – зародыш KV-кэша: чтобы получить выходы двух последних позиций, нужны запросы только этих двух,
# а ключи и значения – всех.
#
# Порядка слов внимание не видит: без маски переставленные строки дают переставленный выход
# ([почему](../theory-minimum/16-self-attention.md#equivariance)). RoPE вносит порядок, поворачивая пары координат
# запросов и ключей на угол $\omega i$, где $i$ – позиция, а скорость $\omega$ у каждой пары своя, от быстрой к
# медленной. Скалярное произведение после этого зависит лишь от разности позиций.

# %%
order = chance.permutation(7)
free = softmax(Q @ K.swapaxes(-1, -2) / np.sqrt(8)) @ V
mixed = softmax(Q[:, order] @ K[:, order].swapaxes(-1, -2) / np.sqrt(8)) @ V[:, order]
claim(np.allclose(mixed, free[:, order]), "без маски и позиций: перестановка входа переставляет выход")

q, k = chance.standard_normal((2, 1, 8))
turned = [float((rotate(q, [i]) @ rotate(k, [j]).T)[0, 0]) for i, j in ((5, 2), (105, 102), (5, 3))]
print("⟨q₅, k₂⟩, ⟨q₁₀₅, k₁₀₂⟩, ⟨q₅, k₃⟩:", *(f"{value:.4f}" for value in turned))
claim(abs(turned[0] - turned[1]) < 1e-10, "RoPE: важна только разность позиций")
claim(abs(turned[0] - turned[2]) > 1e-3, "а при другой разности произведение другое")

# %% [markdown]
# ## Модель {#model}
#
# Два блока ширины $d=16$ по четыре головы, $d_{ff}=4d$. Ширина головы $d_k=4$, так что пар у RoPE всего две:
# $\omega=1$ и $\omega=0{,}01$ радиана на букву. Сдвигов нет, LayerNorm – без обучаемых масштаба и сдвига. Выходная
# матрица – те же эмбеддинги. Кэш слоя – пара массивов $K,V$; если его дали, новые ключи дописываются в конец, а
# номера позиций продолжаются.

# %%
D, HEADS, LAYERS = 16, 4, 2
D_K = D // HEADS


def norm(X):
    return (X - X.mean(-1, keepdims=True)) / np.sqrt(X.var(-1, keepdims=True) + 1e-5)


def heads(X):
    """(T, d) -> (h, T, d_k)."""
    return X.reshape(len(X), -1, D_K).swapaxes(0, 1)


def forward(p, tokens, cache=None, last=False):
    """Logits (T, |V|), or of the last token alone; `cache` is a list of LAYERS."""
    X = p["E"][tokens]
    for layer in range(LAYERS):
        Y = norm(X)
        Q, K, V = (heads(mm(Y, p[f"{name}{layer}"])) for name in "QKV")
        past = cache[layer].length if cache else 0
        places = np.arange(past, past + len(tokens))
        Q, K = rotate(Q, places), rotate(K, places)
        if cache:
            K, V = cache[layer].extend(K, V)  # keys are kept rotated
        A = attention(Q, K, V).swapaxes(0, 1).reshape(len(X), D)
        X = X + mm(A, p[f"O{layer}"])
        X = X + mm(np.maximum(mm(norm(X), p[f"up{layer}"]), 0), p[f"down{layer}"])
    return mm(norm(X[-1:] if last else X), p["E"].T)


def parameters(vocabulary, r):
    """Matrices used from the right, (inputs, outputs)."""
    shapes = dict.fromkeys("QKVO", (D, D)) | {"up": (D, 4 * D), "down": (4 * D, D)}
    p = {"E": 0.3 * r.standard_normal((vocabulary, D))}
    for layer in range(LAYERS):
        for name, shape in shapes.items():
            small = 0.5 if name in ("O", "down") else 1.0  # into the residual stream
            p[f"{name}{layer}"] = small * r.standard_normal(shape) / np.sqrt(shape[0])
    return p


# %% [markdown]
# Сам кэш прост: дописать новые строки к прежним и вернуть все.


# %%
class Cache:
    """Keys and values of one layer, (h, length, d_k) each."""

    def __init__(self):
        self.length = 0

    def extend(self, K, V):
        if self.length:
            K, V = (np.concatenate(pair, axis=-2) for pair in ((self.K, K), (self.V, V)))
        self.K, self.V, self.length = K, V, K.shape[-2]
        return K, V


def empty():
    return [Cache() for _ in range(LAYERS)]


# %% [markdown]
# Текст – две первые главы «Анны Карениной» строчными буквами; последнюю десятую часть отложим.

# %%
KEPT = set("абвгдежзийклмнопрстуфхцчшщъыьэюя ,.-–")
text = " ".join(chapters("tolstoy.ru")).lower().replace("ё", "е").replace("—", "–")
text = " ".join("".join(c if c in KEPT else " " for c in text).split())
letters = sorted(set(text))
number = {c: i for i, c in enumerate(letters)}
tokens = np.array([number[c] for c in text])
train, test = np.split(tokens, [len(tokens) * 9 // 10])

p = parameters(len(letters), np.random.default_rng(1))
size = sum(w.size for w in p.values())
print(f"знаков {len(tokens)}, разных {len(letters)}, параметров {size}")
claim(size == LAYERS * 12 * D**2 + len(letters) * D, "параметров: 12d² на блок и эмбеддинги")

# %% [markdown]
# ## Обучение {#training}
#
# Учить будем в PyTorch: тот же прямой проход в двадцать строк, градиент – у autograd. Сначала убедимся, что это
# действительно та же функция.

# %%
weights = {name: torch.tensor(w, requires_grad=True) for name, w in p.items()}


def torch_rotate(X):
    angles = torch.arange(X.shape[-2])[:, None] * torch.tensor(frequencies(D_K))
    a, b = X[..., 0::2], X[..., 1::2]
    turned = (a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos())
    return torch.stack(turned, -1).flatten(-2)


def torch_forward(tokens):
    """Logits (B, T, |V|) for (B, T)."""
    w, plain = weights, lambda X: functional.layer_norm(X, (D,))
    X = w["E"][tokens]
    for layer in range(LAYERS):
        Y = plain(X)
        Q, K, V = ((Y @ w[f"{n}{layer}"]).unflatten(-1, (HEADS, -1)).transpose(1, 2) for n in "QKV")
        A = functional.scaled_dot_product_attention(torch_rotate(Q), torch_rotate(K), V, is_causal=True)
        X = X + A.transpose(1, 2).flatten(-2) @ w[f"O{layer}"]
        X = X + torch.relu(plain(X) @ w[f"up{layer}"]) @ w[f"down{layer}"]
    return plain(X) @ w["E"].T


start = forward(p, tokens[:50])
twin = torch_forward(torch.tensor(tokens[None, :50]))[0].detach().numpy()
claim(np.abs(start - twin).max() < 1e-10, "логиты NumPy и PyTorch совпадают")

# %% [markdown]
# Цель – кросс-энтропия следующей буквы во всех позициях сразу: один проход по окну из $64$ букв – это $64$
# предсказания. Планка – биграммы: частоты пар букв обучающей части знают только предыдущую букву.

# %%
CONTEXT, BATCH, STEPS, LR = 64, 32, budget(900, 10), 0.01


def windows(data, starts):
    cut = torch.tensor(data[starts[:, None] + np.arange(CONTEXT + 1)])
    return cut[:, :-1], cut[:, 1:]


def loss_on(data, starts):
    inputs, targets = windows(data, starts)
    return functional.cross_entropy(torch_forward(inputs).flatten(0, 1), targets.flatten())


every = np.arange(0, len(test) - CONTEXT, 16)
adam = torch.optim.AdamW(weights.values(), LR, weight_decay=0.1)
r, history, checks = np.random.default_rng(2), [], []
for step in range(STEPS):
    adam.param_groups[0]["lr"] = LR * min((step + 1) / 100, 1 - step / STEPS)
    loss = loss_on(train, r.integers(len(train) - CONTEXT, size=BATCH))
    adam.zero_grad()
    loss.backward()
    adam.step()
    history.append(loss.item())
    if step % 50 == 49 or step == STEPS - 1:
        with torch.no_grad():
            checks.append((step + 1, loss_on(test, every).item()))
p = {name: w.detach().numpy() for name, w in weights.items()}

pairs = np.full((len(letters), len(letters)), 0.1)
np.add.at(pairs, (train[:-1], train[1:]), 1)
bigram = -np.log((pairs / pairs.sum(1, keepdims=True))[test[:-1], test[1:]]).mean()
print(f"ничего не зная {np.log(len(letters)):.2f}, биграммы {bigram:.2f}")
print(f"GPT: обучающая часть {np.mean(history[-50:]):.2f}, отложенная {checks[-1][1]:.2f}")
claim(checks[-1][1] < bigram - 0.03, "на новом тексте GPT лучше биграмм", trained=True)
claim(np.mean(history[-50:]) < checks[-1][1], "на обучающем – ещё лучше", trained=True)


@figure(
    "Потери при обучении в натах на букву. Модель обгоняет биграммы на отложенном тексте: ей помогает контекст длиннее "
    "одной буквы.",
    alt="Кривая потерь на обучении спускается от четырёх с лишним почти к двум; точки на отложенном тексте "
    "проходят под горизонталью биграмм и останавливаются чуть ниже неё.",
)
def learning(theme):
    from matplotlib import pyplot

    drawing, axes = pyplot.subplots(figsize=(style.WIDTH, style.WIDTH * 0.6))
    axes.plot(history, color=theme.forward, linewidth=0.8, label="обучающая часть, батч")
    axes.plot(*zip(*checks, strict=True), "o", color=theme.backward, markersize=4, label="отложенная")
    axes.axhline(bigram, color=theme.muted, linestyle="--", label="биграммы, отложенная")
    axes.set(xlabel="шаг", ylabel="нат на букву")
    axes.legend()
    return drawing


# %% [markdown]
# Причинная маска – не украшение. Изменим одну букву посреди текста: предсказания до неё не должны измениться ничуть.

# %%
changed = tokens[:40].copy()
changed[25] = number["щ"]
before, after = forward(p, tokens[:40]), forward(p, changed)
claim(np.array_equal(before[:25], after[:25]), "буква 25 не влияет на предсказания до неё")
claim(np.abs(before[25:] - after[25:]).max(1).min() > 0, "а на все следующие влияет")

# %% [markdown]
# ## Генерация {#generation}
#
# Без кэша на каждом шаге подаём весь текст и берём последнюю строку логитов. С кэшем сначала прогоняем начало
# (prefill), потом подаём по одной букве (decode). Букву выбираем при температуре $0{,}7$, и случайные числа у обоих
# одни: если логиты равны, совпадут и тексты.


# %%
def draw(logits, u):
    """The token at which the distribution function passes u."""
    probabilities = temperature(logits, 0.7)
    return min(int(np.searchsorted(probabilities.cumsum(), u)), len(letters) - 1)


def generate(prompt, length, cached, seed=3):
    """All tokens, their logits, and operations of every step."""
    u = np.random.default_rng(seed).random(length)
    out, seen, costs = list(prompt), [], []
    cache = empty() if cached else None
    fresh = out
    for step in range(length):
        count["operations"] = 0
        seen.append(forward(p, np.array(fresh if cached else out), cache, last=True)[0])
        costs.append(count["operations"])
        out.append(draw(seen[-1], u[step]))
        fresh = out[-1:]
    return out, np.array(seen), np.array(costs), cache


prompt = [number[c] for c in "степан аркадьич "]
LENGTH = budget(240, 40)
slow, slow_logits, slow_costs, _ = generate(prompt, LENGTH, cached=False)
fast, fast_logits, fast_costs, cache = generate(prompt, LENGTH, cached=True)
written = "".join(letters[i] for i in fast)
for place in range(0, min(len(written), 220), 55):
    print(written[place : place + 55])
print(f"логиты разошлись на {np.abs(slow_logits - fast_logits).max():.0e}")
claim(slow == fast, "с кэшем и без него – одна и та же последовательность")
claim(np.abs(slow_logits - fast_logits).max() < 1e-10, "и одни и те же логиты")

# %% [markdown]
# Русский язык здесь – на уровне слогов; большего от семи тысяч параметров и девяти тысяч букв ждать не стоит. Важно
# другое: кэш – не приближение. Логиты различаются лишь округлением: слагаемые сложены в другом порядке.
#
# ## Сколько стоит буква {#cost}
#
# По [формулам](../theory-minimum/17-kv-cache.md#cost) блок на шаге $t$ стоит $24d^2+4td$ операций с кэшем и в $t$
# раз больше без него. К этому прибавим логиты последней буквы, $2d\lvert\mathcal V\rvert$, где
# $\lvert\mathcal V\rvert=37$ – размер алфавита. Сверим со счётчиком. Считаем только умножения матриц: softmax,
# LayerNorm и повороты в формулу не входят.

# %%
t = len(prompt) + np.arange(LENGTH)
head = 2 * D * len(letters)
with_cache = LAYERS * kv_cache.step_with_cache(t, D) + head
without = LAYERS * kv_cache.step_without_cache(t, D) + head
claim(np.array_equal(slow_costs, without), "без кэша – в точности t(24d² + 4td) на блок")
claim(np.array_equal(fast_costs[1:], with_cache[1:]), "с кэшем – в точности 24d² + 4td")
claim(fast_costs[0] == without[0], "первый шаг – prefill: всё начало разом")
print(f"на последнем шаге {slow_costs[-1]} против {fast_costs[-1]}")
print(f"за всю генерацию меньше в {slow_costs.sum() / fast_costs.sum():.0f} раз")


def timed(t, cached, repeats=7):
    """Median wall-clock time of step t, seconds."""
    text, cache = np.resize(tokens, t), empty()
    forward(p, text[:-1], cache)
    kept = [(layer.K, layer.V) for layer in cache]
    spent = []
    for _ in range(repeats):
        for layer, (K, V) in zip(cache, kept, strict=True):
            layer.K, layer.V, layer.length = K, V, t - 1
        begin = time.perf_counter()
        forward(p, text[-1:], cache) if cached else forward(p, text, last=True)
        spent.append(time.perf_counter() - begin)
    return float(np.median(spent))


lengths = [16, 32, 64, 128, 256, 512][: budget(6, 2)]
times = {name: [timed(t, cached) for t in lengths] for name, cached in (("без кэша", False), ("с кэшем", True))}
ratio = times["без кэша"][-1] / times["с кэшем"][-1]
STEPS_OF = {"без кэша": kv_cache.step_without_cache, "с кэшем": kv_cache.step_with_cache}
operations = {name: [LAYERS * step(t, D) + head for t in lengths] for name, step in STEPS_OF.items()}
fewer = operations["без кэша"][-1] / operations["с кэшем"][-1]
print(f"на шаге {lengths[-1]}: операций меньше в {fewer:.0f}, времени – в {ratio:.0f} раз")
claim(ratio > 4, "на 512-м шаге кэш хотя бы вчетверо быстрее", trained=True)


@figure(
    "Сверху операции на букву вместе с логитами, снизу измеренное время (медиана семи запусков на одной машине). В "
    "блоках операций меньше ровно в $t$ раз, времени – не во столько: вызовы NumPy стоят времени и сами по себе.",
    alt="Два графика в двойной логарифмической шкале. Операции: линия без кэша круто растёт до десятков миллионов, с "
    "кэшем – впятеро, до восьмидесяти тысяч. Время: с кэшем почти не растёт, без него – стократно.",
)
def cost_of_a_letter(theme):
    from matplotlib import pyplot

    drawing, axes = pyplot.subplots(2, 1, sharex=True, figsize=(style.WIDTH, style.WIDTH))
    for name, colour, mark in (("без кэша", theme.bad, "o"), ("с кэшем", theme.good, "s")):
        axes[0].loglog(lengths, operations[name], mark, ls="-", color=colour, label=name)
        axes[1].loglog(lengths, 1e3 * np.array(times[name]), mark, ls="-", color=colour, label=name)
    axes[0].set_ylabel("операций")
    axes[1].set(xlabel="номер буквы $t$", ylabel="время, мс")
    axes[1].set_xticks(lengths, lengths)
    axes[1].minorticks_off()
    axes[0].legend()
    return drawing


# %% [markdown]
# ## Сколько весит память {#memory}
#
# В каждом слое лежат $K$ и $V$: $2\,n_\ell\,n_{kv}\,d_k\,T\,s$ байт. Здесь $n_\ell=2$ – число слоёв, $n_{kv}=4$ –
# голов ключей (столько же, сколько голов запросов), $T$ – букв в кэше, $s=8$ – байт на число двойной точности.

# %%
held = sum(layer.K.nbytes + layer.V.nbytes for layer in cache)
formula = kv_cache.cache_bytes(LAYERS, HEADS, D_K, tokens=cache[0].length, each=8)
print(f"в кэше {cache[0].length} букв, {held} байт; веса модели {8 * size} байт")
claim(held == formula, "кэш занимает 2·n_ℓ·n_kv·d_k·T·s байт")
even = 8 * size / kv_cache.cache_bytes(LAYERS, HEADS, D_K, each=8)
print(f"кэш перевесит веса на {int(even) + 1}-й букве")

# %% [markdown]
# Букв в тексте $16+240=256$, а в кэше $255$: последнюю написанную модель ещё не читала.

# %% [markdown]
# ## Что наблюдать {#observe}
#
# | Что сделали | Что видно | Почему |
# |---|---|---|
# | внимание на NumPy | как в PyTorch до $10^{-12}$ | softmax по ключам, маска до softmax |
# | RoPE на местах $5,2$ и $105,102$ | произведение одно и то же | поворот на разность позиций |
# | изменили букву $25$ | логиты $0$–$24$ те же до бита | причинная маска |
# | обучение | лучше биграмм на новом тексте | контекст длиннее одной буквы |
# | генерация с кэшем и без | тот же текст | старые ключи и значения не меняются |
# | счётчик операций | на блок ровно $24d^2+4td$, без кэша в $t$ раз больше | одна строка вместо $t$ |
# | время | выигрыш меньше, чем в операциях | вызовы NumPy тоже стоят времени |
# | кэш | $512$ байт на букву | $2\cdot2\cdot4\cdot4\cdot8$ |
#
# ## Упражнения {#exercises}
#
# ### Упражнение 1. Забытая позиция {#exercise-1}
#
# Частая ошибка в кэше: новую букву подают одну – и нумеруют нулём. Сделайте это: напишите `lost(tokens)`, которая
# прогоняет первые $39$ букв `tokens[:40]` с кэшем, а сороковую – так, будто она стоит на месте $0$, и возвращает её
# логиты. Подсказка: место `forward` узнаёт по `length`, и нужен наследник `Cache`, у которого снаружи `length`
# всегда ноль. Но по той же `length` метод `extend` решает, есть ли прошлое: настоящую длину держите отдельно, иначе
# пропадут и сами ключи. Каково наибольшее отличие логитов от верных? Заметит ли ошибку программа?

# %% [markdown] tags=["solution"]
# Формы прежние, и никакой ошибки нет: модель молча отвечает неверно. Заметить можно только сравнением с полным
# проходом. Поэтому такой тест пишут первым.


# %% tags=["solution"]
class Forgetful(Cache):
    """Says that nothing has been kept, though it has."""

    def extend(self, K, V):
        self.length = getattr(self, "kept", 0)
        K, V = super().extend(K, V)
        self.kept, self.length = self.length, 0
        return K, V


def lost(tokens):
    cache = [Forgetful() for _ in range(LAYERS)]
    forward(p, tokens[:39], cache)
    return forward(p, tokens[39:40], cache)[0]


difference = np.abs(lost(tokens) - before[39]).max()
print(f"логиты отличаются до {difference:.2f}")
claim(difference > 0.01, "с неверной позицией ответ другой, а ошибки нет")

# %% [markdown]
# ### Упражнение 2. Почему у BERT нет кэша {#exercise-2}
#
# Уберите причинную маску: замените `attention` функцией, где каждый видит всех, и найдите ключи обоих слоёв для
# `tokens[:30]` и для `tokens[:31]` (их хранит кэш, если прогнать весь текст разом). Ключи какого слоя у первых
# тридцати букв изменились? Повторите с маской и верните прежнюю `attention`.

# %% [markdown] tags=["solution"]
# Ключи первого слоя – проекции эмбеддингов, от соседей они не зависят. Вход второго слоя без маски зависит уже от
# всех букв, в том числе от новой, и его ключи пришлось бы пересчитать. С маской не меняется ничего. BERT как раз
# двусторонний: новая буква изменила бы представления всех старых, и хранить ему нечего. Да и не пишет он по одному
# токену.


# %% tags=["solution"]
def keys(tokens):
    cache = empty()
    forward(p, tokens, cache)
    return [layer.K[:, :30] for layer in cache]


def change():
    return [float(np.abs(a - b).max()) for a, b in zip(keys(tokens[:30]), keys(tokens[:31]), strict=True)]


def two_sided(Q, K, V):
    return softmax(Q @ K.swapaxes(-1, -2) / np.sqrt(D_K)) @ V


causal, masked = attention, change()
attention = two_sided
unmasked = change()
attention = causal
print(f"с маской {masked}, без неё {[round(x, 4) for x in unmasked]}")
claim(max(masked) < 1e-12, "с маской старые ключи не меняются")
claim(unmasked[0] < 1e-12 < unmasked[1], "без маски второй слой изменился")

# %% [markdown]
# ### Упражнение 3. Prefill кусками {#exercise-3}
#
# Длинное начало читают не разом, а кусками по $c$ букв, вперемежку с чужими запросами. Прогоните `tokens[:40]` через
# кэш кусками по $7$ и сравните логиты всех сорока букв (без `last`) со сплошным проходом. Сколько операций ушло на
# одно и на другое? Почему не поровну?

# %% [markdown] tags=["solution"]
# Логиты те же: маска `np.tri(T, keys, keys - T)` пускает кусок ко всему прошлому. А операций меньше: сплошной проход
# считает полный квадрат $T\times T$ и верхний треугольник выбрасывает, кусок же умножается только на те ключи, что
# уже есть. Пар «запрос – ключ» у кусков $7(7+14+21+28+35)+5\cdot40=935$ вместо $40^2=1600$, и разница –
# $n_\ell\cdot4d\,(1600-935)$ операций.

# %% tags=["solution"]
cache, parts, count["operations"] = empty(), [], 0
for begin in range(0, 40, 7):
    parts.append(forward(p, tokens[begin : min(begin + 7, 40)], cache))
in_parts, count["operations"] = count["operations"], 0
whole = forward(p, tokens[:40])
print(f"кусками {in_parts}, разом {count['operations']}")
claim(np.allclose(np.concatenate(parts), whole, atol=1e-10), "prefill кусками – те же логиты")
claim(count["operations"] - in_parts == LAYERS * 4 * D * (1600 - 935), "операций меньше ровно на 4d за лишнюю пару")

# %% [markdown]
# ### Упражнение 4. Одна голова ключей на всех {#exercise-4}
#
# Сделайте из обученной модели MQA: замените матрицы $W^K$ и $W^V$ каждого слоя средним по головам (столбцы
# `4j … 4j+3` – голова $j$). Чтобы не переписывать `forward`, поставьте это среднее на место каждой из четырёх голов.
# Во сколько раз меньше стал бы настоящий кэш? Что стало с потерями на отложенном тексте, если подавать его окнами по
# $64$ буквы? Что с этим делать?

# %% [markdown] tags=["solution"]
# Кэш вчетверо меньше, $n_{kv}=1$. Но потери стали больше, чем у биграмм: головы выучили разные ключи и разные
# значения, и одно среднее их не заменит. Поэтому после усреднения модель
# [недолго доучивают](../theory-minimum/17-kv-cache.md#reduction) – или учат с общей головой сразу.

# %% tags=["solution"]
shared = dict(p)
for layer in range(LAYERS):
    for name in "KV":
        mean = p[f"{name}{layer}"].reshape(D, HEADS, D_K).mean(1)
        shared[f"{name}{layer}"] = np.tile(mean, HEADS)


def per_letter(p, tokens):
    """-log p of every letter but the first."""
    logits = forward(p, tokens[:-1])
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return -log_p[np.arange(len(tokens) - 1), tokens[1:]]


def held_out(p):
    return np.mean([per_letter(p, test[i : i + 65]) for i in range(0, len(test) - 65, 64)])


smaller = kv_cache.cache_bytes(LAYERS, HEADS, D_K) / kv_cache.cache_bytes(LAYERS, 1, D_K)
print(f"кэш меньше в {smaller:.0f} раза, потери {held_out(p):.2f} → {held_out(shared):.2f}")
claim(held_out(shared) > bigram, "без доучивания MQA хуже биграмм", trained=True)

# %% [markdown]
# ### Упражнение 5. Дальше обучающей длины {#exercise-5}
#
# Училась модель на окнах из $64$ букв, а RoPE позволяет подать сколько угодно. Прогоните `test[:601]` разом – это
# $600$ предсказаний – и найдите средние потери на первых $64$ и на последних $300$. Затем предскажите каждую из этих
# последних букв, подав лишь $64$ буквы перед ней, и сравните. Что портится: буквы или позиции? Какой из двух пар
# RoPE модель не узнаёт?

# %% [markdown] tags=["solution"]
# Позиции: те же буквы в коротких окнах предсказываются лучше. Разностей больше $63$ модель при обучении не видела.
# Быстрая пара ($\omega=1$) за $64$ буквы обошла круг десять раз, а медленная повернулась лишь на $0{,}63$ радиана;
# на шестисотой букве – почти на $6$, и такие углы ей незнакомы. Проверим, что дело в ней: ограничим её разности
# числом $63$, оставив все ключи. Потери почти возвращаются, так что лишние ключи сами по себе стоят мало. Лечат
# [растяжением позиций](../theory-minimum/18-positional-encoding.md#extrapolation) и дообучением – или окном
# внимания.

# %% tags=["solution"]
long = per_letter(p, test[:601])
short = np.mean([per_letter(p, test[i - 64 : i + 1])[-1] for i in range(301, 601)])
print(f"первые 64: {long[:64].mean():.2f}; последние 300: {long[300:].mean():.2f}")
print(f"они же в окнах по 64: {short:.2f}")
claim(short < long[300:].mean() - 0.1, "в окне длины 64 те же буквы понятнее", trained=True)


def held_back(Q, K, V):
    """Causal attention over Q and K not yet rotated; the slow pair sees no difference above 63."""
    apart = np.subtract.outer(np.arange(len(Q[0])), np.arange(len(K[0])))
    angles = np.stack([apart, np.minimum(apart, 63)], -1) * frequencies(D_K)
    q, k = (X[..., 0::2] + 1j * X[..., 1::2] for X in (Q, K))
    S = np.einsum("hip,hjp,ijp->hij", q, k.conj(), np.exp(1j * angles)).real / np.sqrt(D_K)
    return softmax(np.where(apart >= 0, S, -np.inf)) @ V


turning = rotate
attention, rotate = held_back, lambda X, places: X
near = per_letter(p, test[:65])
slowed = per_letter(p, test[:601])[300:].mean()
attention, rotate = causal, turning
print(f"медленная пара не дальше 63: {slowed:.2f}")
claim(np.allclose(near, per_letter(p, test[:65])), "на 64 буквах ограничение ничего не меняет")
claim(
    long[300:].mean() - slowed > 0.7 * (long[300:].mean() - short), "почти весь ущерб – от медленной пары", trained=True
)

# %% [markdown]
# ## Вопросы экзаменатора {#examiner}
#
# ??? question "Почему при появлении новой буквы старые ключи и значения не меняются?"
#     Индукция по слоям. Вход первого слоя – эмбеддинг самой буквы. Если вход слоя в позиции $i$ зависит только от
#     букв не правее $i$, то и выход тоже: внимание под причинной маской берёт ключи $j\le i$, остальное действует на
#     каждую позицию отдельно. Номер позиции тоже прежний, так что и поворот RoPE тот же. Значит, ключи и значения
#     всех слоёв в старых позициях прежние.
#
# ??? question "Почему хранят K и V, но не Q?"
#     Запрос позиции нужен один раз, чтобы получить её же выход. Ключи и значения нужны всем будущим запросам.
#
# ??? question "Становится ли генерация с кэшем линейной?"
#     Нет. Шаг стоит $24d^2+4td$ на блок: слагаемое $4td$ растёт с длиной, и сумма по $T$ шагам – $O(Td^2+T^2d)$. Без
#     кэша было бы $O(T^2d^2+T^3d)$: исчез множитель порядка $T$, а квадрат во внимании остался.
#
# ??? question "Операций стало меньше в сотни раз, а время сократилось куда слабее. Почему?"
#     У каждого вызова NumPy есть постоянная цена, и для одной строки она больше самого умножения. На видеокарте
#     причина другая, а следствие то же: decode упирается в чтение весов и кэша из памяти, а не в арифметику.
#
# ??? question "Почему ключи кладут в кэш уже повёрнутыми?"
#     Позиция буквы не изменится, а произведение повёрнутых запроса и ключа зависит только от разности позиций.
#     Поворачивать заново на каждом шаге незачем. Если же позиции потом меняются, хранят неповёрнутые: например,
#     оставив в кэше [стоки и последние токены](../theory-minimum/17-kv-cache.md#reduction), их нумеруют заново.
#
# ??? question "Помогает ли кэш при обучении?"
#     Нет. Там известен весь текст, и все $T$ позиций получаются одним проходом; каждый ключ считается однажды и тут
#     же используется. Между шагами веса меняются, и старые ключи негодны.
#
# ??? question "Чем плох пересчёт без маски, если в конце всё равно взять последнюю строку?"
#     Обучена модель с маской: входы второго слоя у старых букв без неё будут другими, и предсказание тоже. А если
#     учить без маски, модель на обучении просто спишет ответ со входа.
#
# ??? question "Сколько байт на токен занимает кэш LLaMA-2-7B: $32$ слоя, $32$ головы ширины $128$, float16?"
#     $2\cdot32\cdot32\cdot128\cdot2=524\,288$ байт, то есть $512$ КиБ: два массива, $32$ слоя, $32$ головы ширины
#     $128$, два байта. Те же множители, что в нашей модели, только другие числа.
#
# ## Источники {#sources}
#
# - Vaswani et al. [Attention Is All You Need](https://arxiv.org/abs/1706.03762). 2017.
# - Su et al. [RoFormer: Enhanced Transformer with Rotary Position Embedding](https://arxiv.org/abs/2104.09864).
#   2021.
# - Shazeer. [Fast Transformer Decoding: One Write-Head is All You Need](https://arxiv.org/abs/1911.02150). 2019:
#   MQA.
# - Ainslie et al. [GQA](https://arxiv.org/abs/2305.13245). 2023: усреднение голов и доучивание.
# - Л. Н. Толстой. «Анна Каренина», часть первая, главы I и II. Общественное достояние; источник текста – в первых
#   строках `data/texts/tolstoy.ru.txt`.
