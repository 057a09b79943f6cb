# ---
# lab: 10
# questions: [ticket-13, tm-27, tm-10, tm-25]
# minutes: 40
# description: "Крошечный CLIP: InfoNCE вручную, температура, новые сочетания, затем LoRA против полного дообучения."
# ---
#
# %% [markdown]
# # CLIP в миниатюре и LoRA на нём
#
# CLIP не учит классов: он учит узнавать свою подпись среди чужих. Из этого получаются и поиск, и классификация по
# словам, и вопрос, на который легко ответить слишком уверенно: поймёт ли сеть «красный круг слева сверху», если
# такого сочетания она не видела? Мир из цветных фигур мал, поэтому на каждый такой вопрос можно ответить измерением.
# А когда картинки изменятся, мы дообучим сеть добавкой малого ранга и посмотрим, что она при этом забудет.
#
# ## Что мы построим {#goal}
#
# Сначала [контрастивные потери](../theory-minimum/27-clip.md#loss) и их градиент на NumPy: проверим по PyTorch и
# конечными разностями. Затем две башни: картинку читает маленький
# [Vision Transformer](../tickets/13-vit-multimodal.md#vit) из [патчей](../theory-minimum/25-vit.md#formulas),
# подпись – мешок слов. Обучим, измерим поиск и [zero-shot](../theory-minimum/27-clip.md#zero-shot), покрутим
# [температуру](../theory-minimum/27-clip.md#temperature) и размер батча. Потом напишем
# [LoRA](../theory-minimum/10-transfer-learning-lora.md#lora) и приспособим башню картинок к контурам и негативам.
#
# Нужно помнить softmax с кросс-энтропией, самовнимание и то, что такое ранг матрицы.

# %%
from copy import deepcopy
from itertools import product

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from scripts.dl import contrastive, patches
from scripts.figures import style
from scripts.labs.kit import budget, claim, figure

torch.set_num_threads(1)
rng = np.random.default_rng(0)

# %% [markdown]
# ## Потери и их градиент {#loss}
#
# В батче $B$ пар, $u_i$ и $v_j$ – единичные векторы картинки и подписи, $s_{ij}=u_i^\top v_j$. По строке картинка
# выбирает свою подпись ($p$ – softmax строки $s/\tau$), по столбцу подпись выбирает картинку ($q$):
#
# $$
# \mathcal L=-\frac1{2B}\sum_i\bigl(\log p_{ii}+\log q_{ii}\bigr),\qquad
# \frac{\partial\mathcal L}{\partial s_{ij}}=\frac{p_{ij}+q_{ij}-2[i=j]}{2B\tau}.
# $$
#
# Температуру учат через $t=\log(1/\tau)$, и её производная – сумма $s_{ij}\,\partial\mathcal L/\partial s_{ij}$.


# %%
def log_softmax(z, axis):
    z = z - z.max(axis=axis, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=axis, keepdims=True))


def info_nce(U, V, t):
    """Symmetric loss of B pairs and its gradients by U, V (B, d) and t."""
    S, B = U @ V.T, len(U)
    rows, columns = (log_softmax(np.exp(t) * S, axis) for axis in (1, 0))
    loss = -(np.trace(rows) + np.trace(columns)) / (2 * B)
    bar_S = np.exp(t) * (np.exp(rows) + np.exp(columns) - 2 * np.eye(B)) / (2 * B)
    return loss, bar_S @ V, bar_S.T @ U, np.sum(bar_S * S)


def unit(X):
    return X / np.linalg.norm(X, axis=-1, keepdims=True)


U, V, t = unit(rng.standard_normal((6, 4))), unit(rng.standard_normal((6, 4))), 1.5
leaves = [torch.tensor(value, dtype=torch.double, requires_grad=True) for value in (U, V, t)]
logits = leaves[2].exp() * leaves[0] @ leaves[1].T
right = torch.arange(6)
by_torch = (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2
truth = torch.autograd.grad(by_torch, leaves)
loss, *slopes = info_nce(U, V, t)
gap = max(np.abs(mine - theirs.numpy()).max() for mine, theirs in zip(slopes, truth, strict=True))
claim(abs(loss - by_torch.item()) < 1e-12, "потери равны двум cross_entropy с метками 0…B−1")
claim(gap < 1e-12, f"градиенты по U, V, t совпали с autograd: {gap:.0e}")

# %% [markdown]
# Autograd мог бы ошибиться вместе с нами только в самой формуле потерь, поэтому второй судья – центральная разность.
# Затем числа, которые стоит помнить: пример из билета и потери угадывания $\log B$.

# %%
h, worst = 1e-5, 0.0
for which, place in ((0, (2, 1)), (0, (5, 3)), (1, (0, 0)), (1, (3, 2)), (2, ())):
    ends = []
    for sign in (1, -1):
        moved = [np.array(value, dtype=float) for value in (U, V, t)]
        moved[which][place] += sign * h
        ends.append(info_nce(*moved)[0])
    worst = max(worst, abs((ends[0] - ends[1]) / (2 * h) - np.asarray(slopes[which])[place]))
claim(worst < 1e-8, f"и с конечными разностями: {worst:.0e}")

S = np.array([[0.3, 0.1], [0.2, 0.25]])  # U = S, V = I gives these cosines
claim(abs(info_nce(S, np.eye(2), np.log(10))[0] - 0.279) < 1e-3, "пример: 0,279 при τ = 0,1")
claim(abs(info_nce(S, np.eye(2), 0.0)[0] - 0.633) < 1e-3, "пример: 0,633 при τ = 1")
same = np.tile(U[:1], (6, 1))
claim(abs(info_nce(same, same, 3.0)[0] - np.log(6)) < 1e-12, "все косинусы равны: потери log B")
claim(abs(loss - contrastive.clip_loss(U, V, t)[0]) < 1e-12, "совпало с contrastive.py")

# %% [markdown]
# ## Мир из фигур {#world}
#
# Картинка $24\times24$: фигура одной из четырёх форм, одного из четырёх цветов, в одной из четырёх четвертей тёмного
# поля. Место внутри четверти, размер и яркость случайны, сверху шум. Подпись – фраза по шаблону. Всего $64$
# сочетания. Шестнадцать спрячем от обучения, но так, чтобы любая *пара* признаков встречалась: красный круг сеть
# увидит, и круг слева сверху увидит, а красного круга слева сверху – нет.

# %%
COLOURS = ("красный", "зелёный", "синий", "жёлтый")
SHAPES = ("круг", "квадрат", "треугольник", "крест")
PLACES = ("слева сверху", "справа сверху", "слева снизу", "справа снизу")
TEMPLATES = ("{} {} {}", "на картинке {} {} {}", "вот {} {} {}", "нарисован {} {} {}")
RGB = np.array([[0.9, 0.15, 0.15], [0.1, 0.75, 0.2], [0.15, 0.3, 0.95], [0.9, 0.85, 0.1]])
KINDS = np.array(list(product(range(4), repeat=3)))  # colour, shape, place
HELD = np.flatnonzero(KINDS.sum(axis=1) % 4 == 0)
SEEN = np.setdiff1d(np.arange(64), HELD)
SIDE, FIELD = 24, 0.2


def silhouette(shape, place, rng):
    """Mask (24, 24) of one shape in its quarter."""
    half = rng.uniform(3.4, 4.8)
    centre = rng.uniform(half, 11 - half, 2) + 12 * np.array([place // 2, place % 2])
    y, x = np.mgrid[:SIDE, :SIDE] - centre[:, None, None]
    if shape == 0:
        return np.hypot(x, y) <= half
    if shape == 1:
        return np.maximum(abs(x), abs(y)) <= 0.85 * half
    if shape == 2:
        return (abs(x) <= (y + half) / 2) & (y <= half)
    return (np.minimum(abs(x), abs(y)) <= 0.32 * half) & (np.maximum(abs(x), abs(y)) <= half)


def outline(mask):
    """Pixels of the mask with a neighbour outside."""
    inner = mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    return mask & ~np.pad(inner, 1)


def draw(kind, rng, domain="фигуры"):
    """Picture (24, 24, 3) of domain «фигуры», «контуры» or «негатив»."""
    colour, shape, place = KINDS[kind]
    mask = silhouette(shape, place, rng)
    picture = np.full((SIDE, SIDE, 3), FIELD)
    picture[outline(mask) if domain == "контуры" else mask] = RGB[colour] * rng.uniform(0.75, 1.1)
    if domain == "негатив":
        picture = 1 - picture
    return picture + rng.normal(0, 0.06, picture.shape)


def draw_all(kinds, seed, domain="фигуры"):
    rng, found = np.random.default_rng(seed), np.empty((len(kinds), SIDE, SIDE, 3), np.float32)
    for number, kind in enumerate(kinds):
        found[number] = draw(kind, rng, domain) - 0.5
    return torch.from_numpy(found)


# %% [markdown]
# Подпись превращаем в мешок слов: доли слов словаря. Порядок потерян, но здесь он и не нужен – каждое слово само
# говорит, о чём оно.

# %%
WORDS = sorted({word for line in (*TEMPLATES, *COLOURS, *SHAPES, *PLACES) for word in line.split()} - {"{}"})


def caption(kind, template=0):
    colour, shape, place = KINDS[kind]
    return TEMPLATES[template].format(COLOURS[colour], SHAPES[shape], PLACES[place])


def bag(text):
    found = [WORDS.index(word) for word in text.split()]
    return torch.tensor(np.bincount(found, minlength=len(WORDS)) / len(found), dtype=torch.float32)


BAGS = torch.stack([torch.stack([bag(caption(k, i)) for k in range(64)]) for i in range(len(TEMPLATES))])
pairs_seen = all(
    any((KINDS[SEEN][:, axes] == KINDS[k][axes]).all(axis=1)) for k in HELD for axes in ([0, 1], [0, 2], [1, 2])
)
claim(len(HELD) == 16 and pairs_seen, "спрятано 16 троек, но каждая пара признаков встречается")
print(f"слов {len(WORDS)}, подписей {BAGS.shape[0] * 64}")
print("пример:", caption(HELD[3], 1))


# %%
@figure(
    "Верхний ряд – мир, в котором учимся; ниже два мира, к которым будем приспосабливать готовую сеть: те же фигуры "
    "контуром и в негативе.",
    alt="Три ряда по четыре картинки. Вверху на тёмном поле цветные круг, квадрат, треугольник и крест в разных "
    "четвертях; в середине контуры этих же фигур; внизу негативы на светлом поле с другими цветами.",
)
def three_domains(theme):
    from matplotlib import pyplot as plt

    fig, axes = plt.subplots(3, 4, figsize=(style.WIDTH, 0.86 * style.WIDTH))
    chosen = (0, 4 + 16 + 1, 32 + 8 + 2, 48 + 12 + 3)
    for row, domain in zip(axes, ("фигуры", "контуры", "негатив"), strict=True):
        for number, (ax, kind) in enumerate(zip(row, chosen, strict=True)):
            ax.imshow(draw(kind, np.random.default_rng(number), domain).clip(0, 1), interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
            if domain == "фигуры":
                ax.set_title("\n".join(caption(kind).split(" ", 2)), fontsize=style.FONT_SIZE - 2)
        row[0].set_ylabel(domain)
    return fig


# %% [markdown]
# ## Башни {#towers}
#
# Картинку режем на $16$ патчей $6\times6$, каждый – $108$ чисел. Перестановка осей в `patchify` – то же, что свёртка
# с ядром и шагом $6$; проверим и это. Дальше два Pre-LN блока, среднее по токенам вместо [CLS] и проекция на $32$
# числа.


# %%
D, OUT, PATCH = 48, 32, 6
GRID = SIDE // PATCH


def patchify(x):
    """(B, 24, 24, 3) -> (B, 16, 108)."""
    cut = x.reshape(len(x), GRID, PATCH, GRID, PATCH, 3)
    return cut.permute(0, 1, 3, 5, 2, 4).reshape(len(x), GRID * GRID, -1)


class Block(nn.Module):
    def __init__(self, heads=4):
        super().__init__()
        self.heads, self.norm1, self.norm2 = heads, nn.LayerNorm(D), nn.LayerNorm(D)
        self.qkv, self.out = nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.up, self.down = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)

    def forward(self, z):
        B, T, _ = z.shape
        q, k, v = self.qkv(self.norm1(z)).reshape(B, T, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v
        z = z + self.out(mixed.transpose(1, 2).reshape(B, T, D))
        return z + self.down(F.gelu(self.up(self.norm2(z))))


class ImageTower(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Linear(3 * PATCH**2, D)
        self.positions = nn.Parameter(0.02 * torch.randn(GRID * GRID, D))
        self.blocks = nn.Sequential(Block(), Block())
        self.norm, self.projection = nn.LayerNorm(D), nn.Linear(D, OUT, bias=False)

    def read(self, tokens):
        z = self.blocks(self.embedding(tokens) + self.positions)
        return F.normalize(self.projection(self.norm(z).mean(dim=1)), dim=1)

    def forward(self, x):
        """Unit vectors (B, 32) of pictures (B, 24, 24, 3)."""
        return self.read(patchify(x))


class TextTower(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(len(WORDS), 96), nn.ReLU(), nn.Linear(96, OUT, bias=False))

    def forward(self, bags):
        return F.normalize(self.body(bags), dim=-1)


# %%
torch.manual_seed(0)
tower, few = ImageTower(), draw_all(range(4), seed=3)
channels_first = few.permute(0, 3, 1, 2).numpy()
claim(np.array_equal(patchify(few).numpy(), patches.patchify(channels_first, PATCH)), "патчи равны patches.py")
kernels = tower.embedding.weight.reshape(D, 3, PATCH, PATCH)
as_convolution = F.conv2d(few.permute(0, 3, 1, 2), kernels, tower.embedding.bias, stride=PATCH)
gap = (as_convolution.flatten(2).mT - tower.embedding(patchify(few))).abs().max().item()
claim(gap < 1e-5, "эмбеддинг патчей – свёртка с ядром и шагом P")

order = torch.randperm(16)
with torch.no_grad():
    tokens = patchify(few)
    moved = (tower.read(tokens[:, order]) - tower.read(tokens)).abs().max().item()
    blind = deepcopy(tower)
    blind.positions.zero_()
    unmoved = (blind.read(tokens[:, order]) - blind.read(tokens)).abs().max().item()
claim(unmoved < 1e-5 < moved, "без позиций перестановка патчей не меняет вектора картинки")
print(f"параметров: картинки {sum(p.numel() for p in tower.parameters())}, "
      f"текст {sum(p.numel() for p in TextTower().parameters())}")  # fmt: skip

# %% [markdown]
# Последняя проверка важнее, чем кажется: без $E_\text{pos}$ слова «слева» и «справа» не выучить *ничем*, сколько ни
# учи: для внимания со средним по токенам картинка – мешок патчей, как подпись – мешок слов.
#
# ## Обучение {#training}
#
# Батч – $48$ *разных* сочетаний, по одной картинке каждого: повторов нет, чужая подпись всегда чужая. Температура
# начинает с $0{,}07$, $1/\tau$ ограничена сотней. Картинки нарисуем заранее, по $120$ на сочетание.

# %%
EACH, STEPS, BATCH = budget(120, 3), budget(800, 4), 48
pool = draw_all(np.repeat(np.arange(64), EACH), seed=1).reshape(64, EACH, SIDE, SIDE, 3)


def clip_loss(U, V, t):
    logits = t.exp() * U @ V.T
    right = torch.arange(len(U))
    return (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2


def sample(pool, kinds, rng):
    """One picture and one caption of each of `kinds`."""
    pictures = pool[kinds, rng.integers(pool.shape[1], size=len(kinds))]
    return pictures, BAGS[rng.integers(len(TEMPLATES), size=len(kinds)), kinds]


def train(steps, batch=BATCH, tau=None, kinds=SEEN, seed=0):
    """Both towers, t, and the losses; `tau` fixes the temperature."""
    torch.manual_seed(seed)
    rng, image, text = np.random.default_rng(seed), ImageTower(), TextTower()
    t = torch.tensor(float(np.log(1 / (tau or 0.07))), requires_grad=tau is None)
    parameters = [*image.parameters(), *text.parameters(), *([t] if tau is None else [])]
    optimizer = torch.optim.Adam(parameters)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    losses = []
    for _ in range(steps):
        pictures, bags = sample(pool, rng.choice(kinds, batch, replace=False), rng)
        loss = clip_loss(image(pictures), text(bags), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
        with torch.no_grad():
            t.clamp_(max=np.log(100))
        losses.append(loss.item())
    return image, text, t.detach(), losses


image, text, t, losses = train(STEPS)
for part in np.array_split(np.arange(STEPS), 4):
    print(f"шаги {part[0]:3d}–{part[-1]:3d}: потери {np.mean(np.array(losses)[part]):.2f}")
print(f"log 48 = {np.log(48):.2f}; 1/τ = {t.exp().item():.1f}")
claim(np.mean(losses[-50:]) < 0.1 * np.log(48), "потери меньше десятой доли log B", trained=True)

# %% [markdown]
# ## Поиск и zero-shot {#retrieval}
#
# Вектор сочетания – нормированное среднее векторов четырёх шаблонов; $64$ таких вектора и есть классификатор. Ни
# одного класса мы не учили: его веса породила башня текста. Для новых картинок спрашиваем, какая из $64$ подписей
# ближе всех (картинка → подпись, R@1), отдельно на знакомых и спрятанных сочетаниях.

# %%
TESTS = budget(20, 2)
test_kinds = np.repeat(np.arange(64), TESTS)
tests = {name: draw_all(test_kinds, 9, name) for name in ("фигуры", "контуры", "негатив")}


@torch.no_grad()
def class_vectors(text):
    return F.normalize(text(BAGS).mean(dim=0), dim=1)


@torch.no_grad()
def answers(image, W, x):
    return (image(x) @ W.T).argmax(dim=1).numpy()


def measure(image, W, domain="фигуры"):
    """Accuracy of 64 captions on seen and on held-out kinds, and of colour, shape, place on the latter."""
    found = answers(image, W, tests[domain])
    held = np.isin(test_kinds, HELD)
    right = (found == test_kinds)[~held].mean(), (found == test_kinds)[held].mean()
    return *right, *(KINDS[found] == KINDS[test_kinds])[held].mean(axis=0)


W = class_vectors(text)
seen, held, *parts = measure(image, W)
print(f"знакомые {seen:.2f}, спрятанные {held:.2f} (угадывание 0,016)")
print("на спрятанных: цвет {:.2f}, форма {:.2f}, место {:.2f}".format(*parts))
claim(seen > 0.8, "знакомые сочетания узнаны в 80 % и чаще", trained=True)
claim(held > 0.55, "спрятанные – больше чем в половине случаев", trained=True)

# %% [markdown]
# Обратный поиск – картинка по подписи: из каждого сочетания берём по одной картинке и ищем ближайшую к каждому из
# $64$ текстов. Заодно спросим по одному признаку: классы – четыре слова «красный», «зелёный», … или средние всех
# подписей с этим словом.

# %%
with torch.no_grad():
    vectors = image(tests["фигуры"]).reshape(64, TESTS, OUT).transpose(0, 1)
hits = (vectors @ W.T).argmax(dim=1).numpy() == np.arange(64)  # (draws, texts): the best picture
print(f"подпись → картинка: знакомые {hits[:, SEEN].mean():.2f}, спрятанные {hits[:, HELD].mean():.2f}")


@torch.no_grad()
def attribute(words, axis, ensemble):
    """Accuracy of one attribute on all tests: classes are single words, or means of all captions with the word."""
    if ensemble:
        vectors = F.normalize(torch.stack([W[KINDS[:, axis] == i].mean(dim=0) for i in range(4)]), dim=1)
    else:
        vectors = text(torch.stack([bag(word) for word in words]))
    return (answers(image, vectors, tests["фигуры"]) == KINDS[test_kinds, axis]).mean()


named = {}
print("           одно слово   среднее подписей")
for axis, (name, words) in enumerate((("цвет", COLOURS), ("форма", SHAPES), ("место", PLACES))):
    named[name] = attribute(words, axis, False), attribute(words, axis, True)
    print(f"{name:10} {named[name][0]:.2f}         {named[name][1]:.2f}")
claim(min(pair[1] for pair in named.values()) > 0.6, "каждый признак отдельно узнаётся по словам", trained=True)

# %% [markdown]
# Задача «какого цвета?» нигде в обучении не ставилась – подсказку мы просто написали. Отдельного слова «красный»
# башня текста тоже не видела, и в большой модели голое слово хуже фразы; здесь оно не хуже, потому что мешок слов
# почти складывается из слов. Ошибаются картинки почти только на форме. Обратный поиск легче прямого: сомнительная
# картинка просто уступает место более удачной, а в прямом от каждой ждут ответа.

# %%
with torch.no_grad():
    start = ImageTower(), TextTower()
    before = (start[0](tests["фигуры"]) @ class_vectors(start[1]).T).reshape(64, TESTS, 64).mean(dim=1).numpy()
    after = (image(tests["фигуры"]) @ W.T).reshape(64, TESTS, 64).mean(dim=1).numpy()
own = np.diag(after).mean()
others = after[~np.eye(64, dtype=bool)].mean()
print(f"косинус со своей подписью {own:.2f}, с чужими в среднем {others:.2f}")
claim(own > others + 0.4, "своя подпись заметно ближе чужих", trained=True)


# %%
@figure(
    "Средние косинусы картинок (строки) и подписей (столбцы) после обучения; порядок – цвет, внутри него форма, внутри "
    "неё место. Крупные блоки – общий цвет, полосы через четыре клетки – общее место; белые точки – спрятанные пары.",
    alt="Матрица 64 на 64: тёмно-красная диагональ, вокруг неё четыре блока по шестнадцать, в которых видны "
    "параллельные диагонали через каждые четыре клетки; точки лежат на диагонали.",
)
def cosine_matrix(theme):
    from matplotlib import pyplot as plt

    fig, ax = plt.subplots(figsize=(style.WIDTH, 0.88 * style.WIDTH))
    shown = ax.imshow(after, cmap=theme.diverging, vmin=-1, vmax=1, interpolation="nearest")
    ax.plot(HELD, HELD, ".", color="white", ms=2)
    ticks = 7.5 + 16 * np.arange(4)
    ax.set_xticks(ticks, COLOURS)
    ax.set_yticks(ticks, COLOURS, rotation=90, va="center")
    ax.set(xlabel="подпись", ylabel="картинка")
    ax.grid(False)
    fig.colorbar(shown, ax=ax, shrink=0.8)
    return fig


# %% [markdown]
# ## Температура и батч {#temperature}
#
# Косинусы не больше единицы, поэтому при $\tau=1$ потери не могут опуститься ниже
# $\log\bigl(1+(B-1)e^{-\frac{B}{(B-1)\tau}}\bigr)$: softmax из $48$ не бывает уверен. Проверим: три температуры и
# маленький батч, по $300$ шагов.

# %%
SHORT = budget(300, 4)
settings = {"учится": {}, "τ = 1": {"tau": 1.0}, "τ = 0,01": {"tau": 0.01}, "B = 8": {"batch": 8}}
runs, scores = {}, {}
print("            потери   знакомые  спрятанные")
for name, options in settings.items():
    first, second, _, curve = runs[name] = train(SHORT, **options)
    scores[name] = measure(first, class_vectors(second))
    print(f"{name:10}  {np.mean(curve[-30:]):5.2f}     {scores[name][0]:.2f}      {scores[name][1]:.2f}")

floor = np.log(1 + 47 * np.exp(-48 / 47))
lowest = min(runs["τ = 1"][3])
claim(lowest > floor, f"при τ = 1 потери {lowest:.2f} не ниже границы {floor:.2f}")
claim(scores["учится"][0] > scores["τ = 1"][0] + 0.1, "с обучаемой τ лучше, чем с τ = 1", trained=True)
claim(scores["учится"][0] > scores["B = 8"][0], "батч 48 лучше батча 8 за то же число шагов", trained=True)


# %%
@figure(
    "Потери при трёх температурах, батч $48$; среднее по $15$ шагам. Пунктир – граница для $\\tau=1$: ниже неё не "
    "опуститься никакими векторами.",
    alt="Три кривые потерь. При температуре один линия лежит около трёх и почти не падает, выше пунктира; две другие "
    "начинаются выше и опускаются почти до нуля.",
)
def temperature_curves(theme):
    from matplotlib import pyplot as plt

    fig, ax = plt.subplots()
    smooth = min(15, SHORT)
    for name, colour, line in (
        ("τ = 1", theme.bad, "-."), ("учится", theme.good, "-"), ("τ = 0,01", theme.forward, "--"),
    ):  # fmt: skip
        curve = np.convolve(runs[name][3], np.ones(smooth) / smooth, mode="valid")
        ax.plot(np.arange(len(curve)) + smooth, curve, line, color=colour, label=name)
    ax.axhline(floor, color=theme.muted, ls=":")
    ax.set(xlabel="шаг", ylabel="потери", ylim=(0, 5))
    ax.legend(loc="upper right")
    return fig


# %% [markdown]
# ## LoRA {#lora}
#
# Сеть готова, мир меняется. Добавка малого ранга: веса $W_0$ слоя заморожены, учатся $A$ ($r\times d_{in}$) и $B$
# ($d_{out}\times r$),
#
# $$
# y=xW_0^\top+b+s\,(xA^\top)B^\top,\qquad s=\frac\alpha r,\qquad\bar B=s\,GA^\top,\qquad\bar A=s\,B^\top G,
# $$
#
# где $G=\bar y^\top x$ – градиент, который получила бы сама $W$. В начале $B=0$.


# %%
class LoRA(nn.Module):
    """A frozen linear layer and a trained update of rank r."""

    def __init__(self, layer, rank, alpha=8.0):
        super().__init__()
        d_out, d_in = layer.weight.shape
        self.layer, self.scale = layer.requires_grad_(False), alpha / rank
        self.A = nn.Parameter(torch.randn(rank, d_in) / d_in**0.5)
        self.B = nn.Parameter(torch.zeros(d_out, rank))

    def forward(self, x):
        return self.layer(x) + self.scale * (x @ self.A.T) @ self.B.T

    def merged(self):
        """A plain layer of the same shape as before."""
        layer = deepcopy(self.layer)
        layer.weight.data += self.scale * self.B.data @ self.A.data
        return layer


layer = LoRA(nn.Linear(7, 5), rank=2).double()
x = torch.randn(9, 7, dtype=torch.double)
bar_y = torch.randn(9, 5, dtype=torch.double)
for state in ("B = 0", "B ≠ 0"):
    bar_A, bar_B = torch.autograd.grad((layer(x) * bar_y).sum(), (layer.A, layer.B))
    G = bar_y.T @ x
    gap_A = (bar_A - layer.scale * layer.B.T @ G).abs().max().item()
    gap_B = (bar_B - layer.scale * G @ layer.A.T).abs().max().item()
    claim(max(gap_A, gap_B) < 1e-12, f"{state}: градиенты A и B равны формулам")
    if state == "B = 0":
        claim(bar_A.abs().max() == 0 and bar_B.abs().max() > 0, "первый шаг меняет только B")
    nn.init.normal_(layer.B)

# %% [markdown]
# Теперь заменим все линейные слои башни картинок: эмбеддинг патчей, внимание, FFN, проекцию. Три свойства проверяем
# на ней самой: в начале ответ тот же *до последнего бита*, учится малая доля чисел, и добавку можно влить.


# %%
def with_lora(tower, rank):
    """A copy: all weights frozen, every linear layer with an update."""
    torch.manual_seed(rank)
    tower = deepcopy(tower).requires_grad_(False)
    for module in list(tower.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, LoRA(child, rank))
    return tower


def merged(tower):
    tower = deepcopy(tower)
    for module in list(tower.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, LoRA):
                setattr(module, name, child.merged())
    return tower


def trained_numbers(tower):
    return sum(p.numel() for p in tower.parameters() if p.requires_grad)


total = sum(p.numel() for p in image.parameters())
with torch.no_grad():
    equal = torch.equal(with_lora(image, 4)(few), image(few))
claim(equal, "B = 0: векторы картинок те же до бита")
for rank in (1, 4):
    sides = sum(sum(m.weight.shape) for m in image.modules() if isinstance(m, nn.Linear))
    count = trained_numbers(with_lora(image, rank))
    claim(count == rank * sides, f"r = {rank}: учится r·Σ(d_in + d_out) = {count} из {total}")

# %% [markdown]
# ## Новые миры {#adaptation}
#
# На каждый новый мир – по восемь картинок знакомых сочетаний, $384$ пары; подписи и башня текста прежние. Сравним
# четыре способа: только проекция (линейная проба), LoRA рангов $1$ и $4$, полное дообучение. Шаг у каждого свой,
# шагов всем по $200$. Смотрим на новый мир (спрятанные сочетания, каких не было ни в одном обучении) и на старый.

# %%
FEW, ADAPT = budget(8, 2), budget(200, 3)
new_pools = {
    name: draw_all(np.repeat(np.arange(64), FEW), 5, name).reshape(64, FEW, SIDE, SIDE, 3)
    for name in ("контуры", "негатив")
}
RATES = {"проекция": 1e-2, "r = 1": 1e-2, "r = 4": 1e-2, "все веса": 1e-3}


def prepared(method):
    if method.startswith("r = "):
        return with_lora(image, int(method[4:]))
    tower = deepcopy(image).requires_grad_(method == "все веса")
    tower.projection.requires_grad_(True)
    return tower


def adapt(method, pools, seed=0):
    """The image tower after learning from `pools` in turn; captions stay where they are."""
    rng, tower = np.random.default_rng(seed), prepared(method)
    optimizer = torch.optim.Adam([p for p in tower.parameters() if p.requires_grad])
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATES[method], total_steps=ADAPT)
    for step in range(ADAPT):
        pictures, bags = sample(pools[step % len(pools)], rng.permutation(SEEN), rng)
        with torch.no_grad():
            V = text(bags)
        loss = clip_loss(tower(pictures), V, t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
    return tower


towers, table = {}, {}
print("мир      способ     чисел   новый  старый")
for domain, fresh in new_pools.items():
    table[domain, "как есть"] = measure(image, W, domain)[1], held
    print(f"{domain:8} как есть       0    {table[domain, 'как есть'][0]:.2f}   {held:.2f}")
    for method in RATES:
        tower = towers[domain, method] = adapt(method, [fresh])
        table[domain, method] = measure(tower, W, domain)[1], measure(tower, W)[1]
        new, old = table[domain, method]
        print(f"{domain:8} {method:9} {trained_numbers(tower):6d}    {new:.2f}   {old:.2f}")

# %%
gains = {d: table[d, "r = 4"][0] - table[d, "как есть"][0] for d in new_pools}
claim(gains["негатив"] > 0.3 and gains["контуры"] > 0.05, "LoRA приспособила сеть к обоим мирам", trained=True)
near = table["негатив", "r = 4"][0] - table["негатив", "все веса"][0]
claim(near > -0.2, "негатив: LoRA не намного хуже всех весов", trained=True)
forgot = max(table["негатив", method][1] for method in RATES)
claim(forgot < 0.1, "негатив: старый мир забыт при ЛЮБОМ способе", trained=True)
seen_now = KINDS[answers(towers["негатив", "r = 4"], W, tests["фигуры"]), 0]
yellow = (seen_now == 3)[KINDS[test_kinds, 0] == 2].mean()
claim(yellow > 0.7, f"после негативов доля синих фигур, названных жёлтыми: {yellow:.2f}", trained=True)
kept = min(table["контуры", method][1] for method in RATES)
claim(kept > 0.3, "контуры: старый мир забыт лишь отчасти", trained=True)


# %%
@figure(
    "Доля верных из $64$ подписей на спрятанных сочетаниях: по горизонтали новый мир, по вертикали старый. Хорошо – "
    "справа вверху. Кружок – сеть до дообучения.",
    alt="Две панели с пятью точками. Контуры: точки сместились вправо и немного вниз. Негатив: исходная точка слева "
    "вверху, все остальные справа внизу, у самого нуля по вертикали.",
)
def new_against_old(theme):
    from matplotlib import pyplot as plt

    fig, axes = plt.subplots(2, 1, figsize=(style.WIDTH, 1.25 * style.WIDTH), sharex=True, sharey=True)
    marks = {
        "как есть": ("o", theme.ink), "проекция": ("v", theme.accent), "r = 1": ("s", theme.forward),
        "r = 4": ("D", theme.good), "все веса": ("^", theme.bad),
    }  # fmt: skip
    for ax, domain in zip(axes, new_pools, strict=True):
        for method, (mark, colour) in marks.items():
            label = f"LoRA, {method}" if method.startswith("r") else method
            ax.plot(*table[domain, method], mark, color=colour, ms=8, label=label)
        ax.set(title=domain.capitalize(), ylabel="старый мир", xlim=(-0.05, 1), ylim=(-0.05, 1))
    axes[0].legend(loc="lower left")
    axes[1].set_xlabel("новый мир")
    return fig


# %% [markdown]
# Разница в несколько сотых между способами – шум: картинок в проверке $320$, обучение одно. Но общий вид надёжен.
# Негатив с готовой сетью несовместим, и на нём забыли всё *все* способы, даже те, что учили $1536$ чисел: синие
# фигуры на старых картинках стали «жёлтыми». *Включённая* добавка меняет сеть так же, как дообучение. Её отличие в
# другом: её можно выключить – или влить.

# %%
tower = towers["негатив", "r = 4"]
plain = merged(tower)
with torch.no_grad():
    x = tests["негатив"]
    gap = (plain(x) - tower(x)).abs().max().item()
    agree = (answers(plain, W, x) == answers(tower, W, x)).mean()
    off = deepcopy(tower)
    for module in off.modules():
        if isinstance(module, LoRA):
            module.scale = 0.0
    restored = torch.equal(off(tests["фигуры"]), image(tests["фигуры"]))
claim(gap < 1e-4 and agree > 0.995, f"влитая сеть отвечает так же, векторы отличаются на {gap:.0e}")
claim(sum(p.numel() for p in plain.parameters()) == total, "и параметров в ней столько же, сколько в исходной")
claim(restored, "добавка выключена: старая сеть вернулась до бита")

# %% [markdown]
# ## Что наблюдать {#observe}
#
# | Что сделали | Что видно | Почему |
# |---|---|---|
# | градиент потерь тремя способами | отличие меньше $10^{-8}$ | по каждой клетке – «вероятности минус метка» |
# | переставили патчи без $E_\text{pos}$ | вектор тот же | внимание и среднее не знают порядка |
# | спрятали $16$ троек | знакомые $0{,}93$, спрятанные $0{,}86$ | каждая пара признаков в обучении была |
# | спрятали пары цвет – форма | спрятанные $0{,}3$, цвет и место верны | правило «красный – не круг» не опровергнуто |
# | $\tau=1$ | потери стоят на $3{,}1$ при границе $2{,}9$ | softmax из $48$ не может быть уверен |
# | батч $8$ вместо $48$ | знакомые $0{,}6$ вместо $0{,}8$ | задача легче, картинок за шаг вшестеро меньше |
# | LoRA при $B=0$ | те же векторы до бита | добавка равна нулю, первый шаг меняет $B$ |
# | контуры | $0{,}46\to0{,}6$, старый мир $0{,}86\to0{,}6$ | миры похожи, веса делят |
# | негатив | $0\to0{,}6$–$0{,}75$, старый мир $0{,}86\to0$ | ничто не держит старых ответов |
# | негатив и старые картинки по очереди | новый мир $0{,}7$, старый $0{,}86$ | забывает не ранг, а нехватка данных |
# | выключили добавку | старая сеть до бита | $W_0$ не тронута |
#
#
# ## Упражнения {#exercises}
#
# ### Упражнение 1. Повторы в батче {#exercise-1}
#
# Пусть батч из $B=48$ пар составляют, выбирая сочетание каждый раз случайно из $K=48$, с повторами. Если у пары в
# батче $n-1$ двойников, их логиты равны и $p_{ii}\le\frac1n$. Найдите наименьшие возможные средние потери
# $\mathbb E\log n$ по биномиальному распределению, сверьте с розыгрышем и с `contrastive.duplicate_floor(48, 48)`.
# Затем сравните потери нашей обученной сети на батчах без повторов и с повторами.

# %% [markdown] tags=["solution"]
# Остальные $47$ пар независимо попадают в тот же вид с вероятностью $\frac1{48}$, поэтому
# $n-1\sim \mathrm{Bin}(47,\frac1{48})$. Предел – около половины ната. Сеть не виновата: двойник признан чужим, хотя
# подпись у него та же. Поэтому мы и собирали батч без повторов; в большом наборе повторы редки, но похожие подписи
# есть всегда.

# %% tags=["solution"]
draws = rng.integers(48, size=(4000, 48))
sizes = (draws[:, :1] == draws).sum(axis=1)
floor = contrastive.duplicate_floor(48, 48)
claim(abs(np.log(sizes).mean() - floor) < 0.04, f"E log n: розыгрыш {np.log(sizes).mean():.2f}, формула {floor:.2f}")


@torch.no_grad()
def mean_loss(kinds):
    return np.mean([clip_loss(image(x), text(b), t).item() for x, b in (sample(pool, k, rng) for k in kinds)])


apart = mean_loss([rng.permutation(SEEN) for _ in range(budget(30, 2))])
mixed = mean_loss([rng.choice(SEEN, 48) for _ in range(budget(30, 2))])
print(f"потери без повторов {apart:.2f}, с повторами {mixed:.2f}")
claim(mixed > floor - 0.1, "с повторами ниже предела не опуститься", trained=True)

# %% [markdown]
# ### Упражнение 2. Большой батч по частям {#exercise-2}
#
# Накопление градиента не заменяет большого батча: в каждой части свой softmax. Но точный градиент полного батча
# частями посчитать можно. Посчитайте векторы всех $48$ пар без графа, по ним – $\bar U$ и $\bar V$ функцией
# `info_nce`, затем пройдите башни по частям из $12$ пар, распространяя назад готовые $\bar u_i$, $\bar v_i$.
# Сравните градиент проекции башни картинок с обычным и с накоплением четырёх независимых потерь.

# %% [markdown] tags=["solution"]
# Потери зависят от башен только через $U$ и $V$, а вектор пары $i$ – только от её входов. Поэтому
# $\frac{\partial\mathcal L}{\partial\theta}=\sum_i\bigl(\frac{\partial u_i}{\partial\theta}\bigr)^\top\bar u_i$
# раскладывается на части, как только $\bar u_i$ известны. Цена – второй прямой проход. Накопление же решает четыре
# задачи по $12$ вариантов: градиент у неё другой.

# %% tags=["solution"]
pictures, bags = sample(pool, rng.permutation(SEEN), rng)
weight = image.projection.weight


def slope(value, **options):
    return torch.autograd.grad(value, weight, **options)[0]


whole = slope(clip_loss(image(pictures), text(bags), t))
with torch.no_grad():
    U, V = image(pictures), text(bags)
_, bar_U, *_ = info_nce(U.double().numpy(), V.double().numpy(), t.item())
bar_U = torch.tensor(bar_U, dtype=torch.float32)
quarters = torch.arange(48).split(12)
by_parts = sum(slope(image(pictures[part]), grad_outputs=bar_U[part]) for part in quarters)
accumulated = sum(slope(clip_loss(image(pictures[part]), V[part], t)) for part in quarters) / 4
scale = whole.abs().max()
exact, rough = ((other - whole).abs().max() / scale for other in (by_parts, accumulated))
claim(exact < 1e-3, f"по частям – тот же градиент, отличие {exact:.0e}")
claim(rough > 0.05, f"накопление – другой, отличие {rough:.1f}")

# %% [markdown]
# ### Упражнение 3. Пара, которой не было {#exercise-3}
#
# Спрячьте сочетания иначе: все, где номер цвета равен номеру формы («красный круг», «зелёный квадрат», …) при любом
# месте. Спрятанных снова $16$, но теперь сама *пара* цвет – форма в обучении не встречается. Обучите башни за $400$
# шагов и измерьте спрятанные сочетания целиком и по признакам.

# %% [markdown] tags=["solution"]
# Знакомые сочетания узнаются как прежде, спрятанные – лишь в $0{,}28$ случаев: цвет и место названы верно, а форма
# почти не лучше угадывания из четырёх. Правило «красный – значит не круг» на обучении ни разу не ошиблось, и потери
# его не запрещают. Когда же каждая пара признаков встречалась, такого правила выучить было неоткуда. «Обобщает ли
# CLIP на новые сочетания» – вопрос о том, *чего именно* не было в данных. То же
# [на странице о CLIP](../theory-minimum/27-clip.md#follow-ups).

# %% tags=["solution"]
twins = np.flatnonzero(KINDS[:, 0] == KINDS[:, 1])
first, second, _, _ = train(budget(400, 4), kinds=np.setdiff1d(np.arange(64), twins))
found = answers(first, class_vectors(second), tests["фигуры"])
new = np.isin(test_kinds, twins)
right = found == test_kinds
shares = (KINDS[found] == KINDS[test_kinds])[new].mean(axis=0)
print(f"знакомые {right[~new].mean():.2f}, спрятанные {right[new].mean():.2f}")
print("на спрятанных: цвет {:.2f}, форма {:.2f}, место {:.2f}".format(*shares))
claim(right[new].mean() < held - 0.3, "без пары цвет – форма обобщения нет", trained=True)

# %% [markdown]
# ### Упражнение 4. Как не забыть {#exercise-4}
#
# `adapt(method, pools)` берёт батчи из списка по очереди. Приспособьте сеть к негативам, чередуя их со старыми
# картинками: LoRA ранга $4$ и все веса. Что стало со старым и с новым миром? Чем это лучше выключаемой добавки и чем
# хуже?

# %% [markdown] tags=["solution"]
# Повторение (rehearsal) возвращает старый мир при обоих способах: около $0{,}85$ вместо нуля. Новый учился вдвое
# меньшим числом батчей и почти не пострадал. Теперь одна сеть служит обоим мирам, и знать, из какого картинка, не
# нужно; зато нужны старые данные. Выключаемая добавка данных не требует, но кто-то должен её включать.

# %% tags=["solution"]
rehearsed = {}
for method in ("r = 4", "все веса"):
    tower = adapt(method, [new_pools["негатив"], pool])
    rehearsed[method] = measure(tower, W, "негатив")[1], measure(tower, W)[1]
    print(f"{method:9} новый {rehearsed[method][0]:.2f}, старый {rehearsed[method][1]:.2f}")
claim(min(old for _, old in rehearsed.values()) > 0.4, "с повторением старый мир цел", trained=True)

# %% [markdown]
# ### Упражнение 5. Ранг изменения {#exercise-5}
#
# LoRA предполагает, что при дообучении мал ранг *изменения* весов, а не самих весов. Возьмите сеть, полностью
# дообученную на негативах, и для матрицы `qkv` каждого блока посчитайте долю суммы квадратов сингулярных чисел,
# которую несут четыре наибольших: у изменения $\Delta W$ и у исходной $W_0$. Убедитесь, что у добавки LoRA ранга $4$
# эта доля равна единице.

# %% [markdown] tags=["solution"]
# У изменения четыре направления несут около $0{,}7$ суммы квадратов, у самих весов – $0{,}3$: изменение собрано в
# немногих направлениях, но рангу $4$ не равно. Предположение LoRA здесь верно приближённо. В матрице $144\times48$
# всего $48$ направлений; у большой модели четыре из четырёх тысяч – совсем другая доля, и переносить наши числа на
# неё нельзя.

# %% tags=["solution"]


def top_share(matrix, count=4):
    squares = np.linalg.svd(matrix.detach().double().numpy(), compute_uv=False) ** 2
    return squares[:count].sum() / squares.sum()


full, low = towers["негатив", "все веса"], towers["негатив", "r = 4"]
for number in range(2):
    old, new, part = (tower.blocks[number].qkv for tower in (image, full, low))
    shares = top_share(new.weight - old.weight), top_share(old.weight)
    print(f"блок {number + 1}: изменение {shares[0]:.2f}, веса {shares[1]:.2f}")
    claim(shares[0] > shares[1], "изменение собраннее весов", trained=True)
    claim(top_share(part.B @ part.A) > 1 - 1e-6, "у добавки LoRA – единица")

# %% [markdown]
# ## Вопросы экзаменатора {#examiner}
#
# ??? question "Откуда взялся классификатор, если классов при обучении не было?"
#     Его веса – векторы фраз. Строка матрицы весов обычного классификатора выучена для номера класса; здесь её
#     порождает башня текста из слов, поэтому список классов можно сменить, не трогая сети. Обучали только выбирать
#     свою подпись среди чужих того же батча.
#
# ??? question "Почему градиент по матрице косинусов не нулевой вне диагонали?"
#     $\frac{\partial\mathcal L}{\partial s_{ij}}=\frac{p_{ij}+q_{ij}}{2B\tau}>0$ при $i\ne j$: спуск раздвигает
#     каждую чужую пару, и тем сильнее, чем она похожее. На диагонали $p_{ii}+q_{ii}-2<0$ – притяжение. У потерь по
#     строкам притяжение и отталкивание в каждой строке уравновешены: $\sum_j(p_{ij}-[i=j])=0$.
#
# ??? question "Потери 0,15 при батче 8 и 0,25 при батче 48. Значит, с малым батчем обучилось лучше?"
#     Наоборот: верных из $64$ подписей $0{,}58$ против $0{,}82$. Это разные задачи: угадывание стоит
#     $\log8\approx2{,}1$ и $\log48\approx3{,}9$, и выбрать из восьми легче. Потери контрастивных моделей с разными
#     батчами напрямую не сравнивают.
#
# ??? question "Как доказать, что без позиций «слева» и «справа» не выучить?"
#     Самовнимание и поточечные слои эквивариантны перестановке токенов, среднее инвариантно. Значит, картинка и та
#     же картинка с переставленными патчами дают один вектор при любых весах. Фигура, сдвинутая на целое число
#     патчей, – почти такая перестановка: меняются местами патчи с фигурой и патчи поля.
#
# ??? question "Модель обобщила на спрятанные тройки, но не на пары. Что это говорит о CLIP вообще?"
#     Только то, что «умеет ли обобщать на новые сочетания» – вопрос к данным не меньше, чем к модели. Когда каждая
#     пара признаков встречалась, складывать было выгодно; когда пара отсутствовала, обучение не отличало
#     «складывать» от «красный – не круг». У больших моделей сочетаний много, и провал мягче, но привязка свойств к
#     предметам слаба.
#
# ??? question "Зачем A случайна, а B нулевая, а не обе нулевые или обе случайные?"
#     Если обе нули, $\bar A=sB^\top G=0$ и $\bar B=sGA^\top=0$: добавка не сдвинется никогда. Если обе случайны,
#     сеть испорчена до первого шага. С $B=0$ ответ прежний, а $\bar B\ne0$. Можно и наоборот, $A=0$; важно, что нуль
#     ровно одна.
#
# ??? question "Экономит ли LoRA память активаций и время вывода?"
#     Активаций не экономит: чтобы дойти до нижней добавки, градиент идёт через всю сеть. Экономит состояние
#     оптимизатора и градиенты: у нас $7088$ чисел вместо $64\,176$. Вывод с влитой добавкой стоит как у исходной
#     сети, с невлитой – чуть дороже, зато добавки можно менять на лету.
#
# ??? question "Статья говорит «LoRA learns less and forgets less», а у вас забыто всё. Кто прав?"
#     Противоречия нет. [Biderman et al.](https://arxiv.org/abs/2405.09673) дообучали языковую модель на коде и
#     математике, близких к тому, что она знала; там LoRA в среднем и выучила меньше, и забыла меньше. Наш негатив
#     требует обратных ответов на похожие признаки, и малый ранг от этого не спасает: забыла даже одна проекция.
#     Надёжно сохраняют старое выключение добавки и повторение старых данных.
#
# ??? question "Одна проекция дала на негативе почти столько же, сколько LoRA. Почему тогда не ограничиться ею?"
#     Значит, признаки замороженного тела различают и негативы, надо лишь назвать их заново: сдвиг в смысле, а не в
#     виде. Проба – первый, самый дешёвый опыт, её и делают первой. На контурах она отстаёт от остальных на
#     шесть–девять сотых; где признаков не хватает, отставание растёт.
#
# ## Источники {#sources}
#
# - Radford A. et al.
#   [Learning transferable visual models from natural language supervision](https://arxiv.org/abs/2103.00020), 2021.
# - van den Oord A., Li Y., Vinyals O.
#   [Representation learning with contrastive predictive coding](https://arxiv.org/abs/1807.03748), 2018 – InfoNCE.
# - Dosovitskiy A. et al. [An image is worth 16×16 words](https://arxiv.org/abs/2010.11929), 2020.
# - Hu E. et al. [LoRA: Low-rank adaptation of large language models](https://arxiv.org/abs/2106.09685), 2021.
# - Biderman D. et al. [LoRA learns less and forgets less](https://arxiv.org/abs/2405.09673), 2024.
# - Gao L. et al.
#   [Scaling deep contrastive learning batch size under memory limited setup](https://arxiv.org/abs/2101.06983), 2021
#   – большой батч по частям.
