# ---
# lab: 4
# questions: [ticket-05, ticket-06, tm-11, tm-12]
# minutes: 40
# description: "Свёртка вручную вперёд и назад, затем детектор цифр целиком: клетки, рамки, потери, NMS и mAP."
# ---
#
# %% [markdown]
# # Свёртка и детектор: от рамок до AP
#
# Детектор кажется большой машиной, а состоит из коротких правил: кто за какой предмет отвечает, как сравнить две
# рамки, что выбросить и как посчитать итог. Почти каждое правило умещается в десяток строк, и ошибиться в нём на
# экзамене легко именно потому, что руками его никто не писал. Мы напишем все – начиная со свёртки, на которой стоит
# сеть.
#
# ## Что мы построим {#goal}
#
# Сначала [свёрточный слой](../tickets/05-cnn-transfer-learning.md#convolution) на NumPy: циклами, как в формуле, и
# через матричное умножение, с шагом, дополнением и
# [прореженностью](../theory-minimum/12-dilated-convolution.md#formulas), вперёд и назад. Потом
# [детектор](../tickets/06-detection-segmentation.md#detection): холсты $48\times48$ с цифрами разного размера,
# маленькая одностадийная сеть на PyTorch, сопоставление целей с клетками, потери, подавление дублей и
# [метрика](../theory-minimum/11-detection-vs-segmentation.md#average-precision). Всё проверяем: свёртку – по
# PyTorch, NMS – полным перебором, AP – вторым счётом.
#
# Понадобятся формула размера выхода, [IoU](../tickets/06-detection-segmentation.md#boxes) и обычный цикл обучения.

# %%
from itertools import product

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from scripts.dl import average_precision as reference
from scripts.dl import boxes as box
from scripts.dl.dilated import zero_stuffed
from scripts.figures import style
from scripts.figures.digits import digits
from scripts.labs.kit import budget, claim, figure

torch.set_num_threads(1)
rng = np.random.default_rng(0)

# %% [markdown]
# ## Свёртка циклами {#loops}
#
# Формула слоя из билета –
#
# $$
# y_{o,i,j}=b_o+\sum_{c,u,v}w_{o,c,u,v}\;x_{c,\,si+du-P,\,sj+dv-P},
# $$
#
# и код её повторяет: место $(i,j)$ выхода, вес $(u,v)$ ядра, а сумма по каналам – умножение на матрицу
# $w_{\cdot,\cdot,u,v}$. Чтобы не возиться с отрицательными индексами, нули дописываем заранее. Размер выхода: ядро
# занимает $d(k-1)+1$ позиций, свободного хода остаётся $n+2P-d(k-1)-1$, шагаем по $s$.


# %%
def out_size(n, k, s=1, P=0, d=1):
    return (n + 2 * P - d * (k - 1) - 1) // s + 1


def pad(x, P):
    return np.pad(x, ((0, 0), (0, 0), (P, P), (P, P)))


def conv_loops(x, w, b, s=1, P=0, d=1):
    """x (B, C_in, H, W), w (C_out, C_in, k, k), b (C_out,)."""
    k = w.shape[2]
    rows, cols = (out_size(n, k, s, P, d) for n in x.shape[2:])
    x = pad(x, P)
    y = np.zeros((len(x), len(w), rows, cols)) + b[:, None, None]
    for i, j, u, v in product(range(rows), range(cols), range(k), range(k)):
        y[:, :, i, j] += x[:, :, s * i + d * u, s * j + d * v] @ w[:, :, u, v].T
    return y


# %% [markdown]
# Сверим с `torch.nn.functional.conv2d` на всех сочетаниях ядра, шага, дополнения и прореженности. Картинка нарочно
# не квадратная, а стороны таковы, что при $s>1$ деление нацело получается не всегда.

# %%
x = rng.standard_normal((2, 3, 11, 12))
settings = list(product((1, 2, 3), (1, 2, 3), (0, 1, 2), (1, 2, 3)))  # k, s, P, d


def layer(k):
    local = np.random.default_rng(k)
    return local.standard_normal((4, 3, k, k)), local.standard_normal(4)


def by_torch(x, w, b, s, P, d):
    x, w, b = map(torch.from_numpy, (x, w, b))
    return F.conv2d(x, w, b, stride=s, padding=P, dilation=d).numpy()


sizes, worst = True, 0.0
for k, s, P, d in settings:
    truth, mine = by_torch(x, *layer(k), s, P, d), conv_loops(x, *layer(k), s, P, d)
    sizes &= truth.shape[2:] == (out_size(11, k, s, P, d), out_size(12, k, s, P, d))
    worst = max(worst, np.abs(truth - mine).max())
claim(sizes, f"формула размера верна, сочетаний: {len(settings)}")
claim(worst < 1e-12, "свёртка циклами равна conv2d")
print("первый слой AlexNet: 224 →", out_size(224, 11, s=4, P=2))

# %% [markdown]
# ## im2col: свёртка как одно умножение {#im2col}
#
# Цикл по местам выхода не нужен. Выпишем окна столбцами, ядра – строками, и слой станет
# [произведением матриц](../tickets/05-cnn-transfer-learning.md#matrix). Окна NumPy умеет показать без копирования:
# вид со всеми сдвигами, из которого шаг берёт каждое $s$-е окно, а прореженность – каждый $d$-й пиксель окна.


# %%
def im2col(x, k, s=1, P=0, d=1):
    """Columns (B, C k k, rows cols) and (rows, cols)."""
    reach = d * (k - 1) + 1
    windows = np.lib.stride_tricks.sliding_window_view(pad(x, P), (reach, reach), axis=(2, 3))
    windows = windows[:, :, ::s, ::s, ::d, ::d]
    B, C, rows, cols = windows.shape[:4]
    columns = windows.transpose(0, 1, 4, 5, 2, 3)
    return columns.reshape(B, C * k * k, rows * cols), (rows, cols)


def conv(x, w, b, s=1, P=0, d=1):
    columns, size = im2col(x, w.shape[2], s, P, d)
    y = w.reshape(len(w), -1) @ columns
    return y.reshape(len(x), len(w), *size) + b[:, None, None]


worst = max(
    np.abs(conv(x, *layer(k), s, P, d) - conv_loops(x, *layer(k), s, P, d)).max()
    for k, s, P, d in settings
)  # fmt: skip
claim(worst < 1e-12, "im2col считает то же, что циклы")

big = rng.standard_normal((1, 8, 64, 64))
copies = im2col(big, 3, P=1)[0].size / big.size
claim(copies == 9, "при 3×3 и s=1 каждый пиксель выписан девять раз")

# %% [markdown]
# Плата видна в последней строке: память. Поэтому библиотеки выписывают окна по кускам, а для $1\times1$ не
# выписывают вовсе. Число $9$ здесь точное, потому что и дополненные нули тоже выписываются.
#
# Прореженность ядра можно понимать двояко: либо берём каждый $d$-й пиксель окна, либо вставляем между весами по
# $d-1$ нулю и считаем обычную свёртку. Второе равенство полезно для доски и невыгодно для счёта.

# %%
w, b = layer(3)
stretched = np.array([[zero_stuffed(kernel, 2) for kernel in out] for out in w])
same = np.abs(conv(x, w, b, d=2) - conv(x, stretched, b)).max()
claim(stretched.shape[2:] == (5, 5) and same < 1e-12, "d=2 – это ядро 5×5 с нулями между весами")
print(f"весов: {w.size}, мест в растянутом ядре: {stretched.size}")

# %% [markdown]
# ## Обратный проход {#backward}
#
# Запись $y=Wp$ ($W$ – ядра строками, $p$ – окна столбцами) сразу даёт сопряжённые: $\bar W=\bar y\,p^\top$,
# $\bar p=W^\top\bar y$, $\bar b$ – сумма $\bar y$ по картинкам и местам. Остаётся вернуть $\bar p$ на картинку:
# пиксель, который попал в несколько окон, получает *сумму* их вкладов. Это действие (col2im) сопряжено к выписыванию
# окон.


# %%
def conv_backward(x, w, bar_y, s=1, P=0, d=1):
    """Adjoints of x, w, b."""
    k = w.shape[2]
    columns, (rows, cols) = im2col(x, k, s, P, d)
    bar = bar_y.reshape(*bar_y.shape[:2], -1)
    bar_w = np.einsum("bop,bqp->oq", bar, columns).reshape(w.shape)
    parts = (w.reshape(len(w), -1).T @ bar).reshape(len(x), -1, k, k, rows, cols)
    bar_x = np.zeros_like(pad(x, P))
    for u, v in product(range(k), range(k)):
        down = slice(d * u, d * u + s * (rows - 1) + 1, s)
        right = slice(d * v, d * v + s * (cols - 1) + 1, s)
        bar_x[:, :, down, right] += parts[:, :, u, v]
    H, W = x.shape[2:]
    return bar_x[:, :, P : P + H, P : P + W], bar_w, bar_y.sum(axis=(0, 2, 3))


def by_autograd(x, w, b, bar_y, s, P, d):
    leaves = [torch.tensor(value, requires_grad=True) for value in (x, w, b)]
    y = F.conv2d(*leaves, stride=s, padding=P, dilation=d)
    return torch.autograd.grad(y, leaves, torch.from_numpy(bar_y))


worst = 0.0
for k, s, P, d in settings:
    w, b = layer(k)
    bar_y = rng.standard_normal(conv(x, w, b, s, P, d).shape)
    mine = conv_backward(x, w, bar_y, s, P, d)
    truth = by_autograd(x, w, b, bar_y, s, P, d)
    worst = max(worst, *(np.abs(m - t.numpy()).max() for m, t in zip(mine, truth, strict=True)))
claim(worst < 1e-11, f"обратный проход совпал с autograd: {worst:.0e}")

# %% [markdown]
# Раз слой без сдвига линеен, $y=Tx$, обратный проход умножает на $T^\top$. Проверка, которая не требует ни PyTorch,
# ни конечных разностей: $\langle Tx,\bar y\rangle=\langle x,T^\top\bar y\rangle$ для любых $x$ и $\bar y$. А
# [транспонированная свёртка](../tickets/06-detection-segmentation.md#upsampling) – это тот же $\bar x$, но в роли
# прямого прохода. Из-за округления в формуле размера ей приходится подсказывать, сколько строк дописать.

# %%
k, s, P, d = 3, 2, 1, 1
w, b = layer(k)
y = conv(x, w, 0 * b, s, P, d)
bar_y = rng.standard_normal(y.shape)
bar_x = conv_backward(x, w, bar_y, s, P, d)[0]
gap = abs(np.sum(y * bar_y) - np.sum(x * bar_x))
claim(gap < 1e-10, "⟨Tx, ȳ⟩ = ⟨x, Tᵀȳ⟩")

lost = tuple((n + 2 * P - d * (k - 1) - 1) % s for n in x.shape[2:])
up = F.conv_transpose2d(torch.from_numpy(bar_y), torch.from_numpy(w), stride=s, padding=P, output_padding=lost)
claim(np.abs(up.numpy() - bar_x).max() < 1e-12, f"conv_transpose2d – это x̄, output_padding = {lost}")

# %% [markdown]
# Со слоем всё ясно, дальше пусть считает PyTorch.
#
# ## Холсты с цифрами {#canvases}
#
# Холст $48\times48$, на нём от одной до трёх цифр из scikit-learn. Цифру обрезаем по чернилам, растягиваем до высоты
# от $12$ до $22$ пикселей (и чуть-чуть по ширине) и кладём в случайное место; поэтому рамки разные, и их приходится
# предсказывать. Соседям разрешаем касаться, но IoU рамок не больше $0{,}2$. Сверху – гауссов шум. Контрольные холсты
# собраны из цифр, которых в обучающих нет.

# %%
SIDE, NOISE = 48, 0.15


def glyph(row, height, stretch):
    """One digit, cut to its ink and resized."""
    ink = row.reshape(8, 8)
    rows, cols = (np.flatnonzero(ink.max(axis=axis) > 0.2) for axis in (1, 0))
    ink = ink[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    width = max(4, round(height * stretch * ink.shape[1] / ink.shape[0]))
    picture = torch.tensor(ink)[None, None]
    return F.interpolate(picture, (height, width), mode="bilinear")[0, 0].numpy()


def canvases(images, labels, count, seed):
    """Pictures (count, 48, 48); boxes (m, 4) and classes (m,) of each."""
    rng = np.random.default_rng(seed)
    pictures, truths, classes = np.zeros((count, SIDE, SIDE), dtype=np.float32), [], []
    for picture in pictures:
        placed, named = np.zeros((0, 4)), []
        wanted = rng.integers(1, 4)
        while len(placed) < wanted:
            number = rng.integers(len(images))
            drawn = glyph(images[number], int(rng.integers(12, 23)), rng.uniform(0.8, 1.2))
            h, w = drawn.shape
            y, x = rng.integers(0, SIDE - h + 1), rng.integers(0, SIDE - w + 1)
            new = np.array([[x, y, x + w, y + h]], dtype=float)
            if len(placed) and box.iou(new, placed).max() > 0.2:
                continue
            part = picture[y : y + h, x : x + w]
            np.maximum(part, drawn, out=part)
            placed, named = np.concatenate([placed, new]), [*named, labels[number]]
        truths.append(placed)
        classes.append(np.array(named))
    pictures += NOISE * rng.standard_normal(pictures.shape, dtype=np.float32)
    return pictures, truths, classes


# %%
data = digits()
pictures, truths, classes = canvases(data.X_train, data.y_train, budget(4000, 60), seed=0)
test_pictures, test_truths, test_classes = canvases(data.X_test, data.y_test, budget(400, 20), seed=1)

widths = np.concatenate([true[:, 2] - true[:, 0] for true in truths])
heights = np.concatenate([true[:, 3] - true[:, 1] for true in truths])
print(f"обучающих холстов {len(pictures)}, цифр {len(widths)}")
print(f"контрольных холстов {len(test_pictures)}, цифр {sum(map(len, test_truths))}")
print(f"ширина от {widths.min():.0f} до {widths.max():.0f}, высота от {heights.min():.0f} до {heights.max():.0f}")

# %% [markdown]
# ## Рамки: IoU и GIoU {#boxes}
#
# Для потерь нужны пары «предсказание – истина», то есть IoU не таблицей, а построчно, и на тензорах, чтобы шёл
# градиент. Тензорная версия короче обычной: `clamp` делает площадь пустого пересечения нулём, `prod` перемножает
# стороны.


# %%
def area(boxes):
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)


def iou_giou(a, b):
    """IoU and GIoU of the boxes of one row, (…, 4)."""
    corner = torch.maximum(a[..., :2], b[..., :2])
    opposite = torch.minimum(a[..., 2:], b[..., 2:])
    both = (opposite - corner).clamp(min=0).prod(-1)
    union = area(a) + area(b) - both
    around = torch.cat([torch.minimum(a, b)[..., :2], torch.maximum(a, b)[..., 2:]], -1)
    iou = both / union
    return iou, iou - (area(around) - union) / area(around)


corners = rng.uniform(0, 20, (200, 2, 2))
boxes = np.concatenate([corners.min(1), corners.max(1) + 1], axis=1)
a, b = boxes[:100], boxes[100:]
mine = [value.numpy() for value in iou_giou(torch.tensor(a), torch.tensor(b))]
table = [np.diag(measure(a, b)) for measure in (box.iou, box.giou)]
claim(np.allclose(mine, table), "IoU и GIoU совпали со вторым счётом на 100 парах")

pair = iou_giou(torch.tensor([0.0, 0, 10, 10]), torch.tensor([5.0, 5, 15, 15]))
claim(abs(pair[0] - 1 / 7) < 1e-6 and abs(pair[1] + 0.0794) < 1e-4, "пример билета: 1/7 и −0,0794")

# %% [markdown]
# Зачем GIoU, если судить будут по IoU? Поставим рамку мимо цели и пустим спуск по её центру и логарифмам сторон:
# один раз на $1-\mathrm{IoU}$, другой – на $1-\mathrm{GIoU}$.

# %%
goal = torch.tensor([24.0, 10.0, 36.0, 30.0])


def from_centre(centre, logs):
    return torch.cat([centre - logs.exp() / 2, centre + logs.exp() / 2], -1)


def slide(number, steps=400):
    """Descent of 1 - IoU (0) or 1 - GIoU (1); final IoU and first gradient."""
    centre = torch.tensor([8.0, 8.0], requires_grad=True)
    logs = torch.tensor([2.3, 2.3], requires_grad=True)
    optimizer = torch.optim.Adam([centre, logs], 0.1)
    first = None
    for _ in range(steps):
        optimizer.zero_grad()
        (1 - iou_giou(from_centre(centre, logs), goal)[number]).backward()
        first = centre.grad.norm().item() if first is None else first
        optimizer.step()
    return iou_giou(from_centre(centre, logs), goal)[0].item(), first


by_iou, by_giou = slide(0), slide(1)
print(f"спуск по IoU:  первый градиент {by_iou[1]:.4f}, в конце IoU {by_iou[0]:.2f}")
print(f"спуск по GIoU: первый градиент {by_giou[1]:.4f}, в конце IoU {by_giou[0]:.2f}")
claim(by_iou == (0, 0) and by_giou[0] > 0.9, "градиент IoU нулевой, GIoU довёл до цели")

# %% [markdown]
# ## Кто отвечает за цифру {#matching}
#
# Сеть уменьшит холст вчетверо, и карта $12\times12$ станет сеткой клеток. В центре каждой клетки стоит один якорь
# $16\times16$; клетка предсказывает, есть ли здесь предмет, четыре
# [поправки](../tickets/06-detection-segmentation.md#boxes) к якорю и класс. Какой клетке какую цифру поручить?
# YOLOv1 поручает одной – той, куда попал центр. Возьмём щедрее: отвечают все клетки, чьи центры лежат в средней
# части рамки (не дальше $0{,}3$ её стороны от центра), и непременно клетка центра. Примеров у сети будет больше, но
# и ответов на один предмет – тоже: отсюда позже вырастут дубли.

# %%
STRIDE, ANCHOR = 4, 16
CELLS = SIDE // STRIDE
ANCHORS = box.anchor_grid(CELLS, CELLS, STRIDE, (ANCHOR,), (1,))
CENTRES = (ANCHORS[:, :2] + ANCHORS[:, 2:]) / 2


def owners(true):
    """Which box each cell answers for, (144,); -1 is background."""
    size, centre = true[:, 2:] - true[:, :2], (true[:, :2] + true[:, 2:]) / 2
    distance = (np.abs(CENTRES[:, None] - centre) / size).max(axis=2)
    owner = np.where(distance.min(axis=1) < 0.3, distance.argmin(axis=1), -1)
    column, row = (centre // STRIDE).astype(int).T
    owner[row * CELLS + column] = np.arange(len(true))
    return owner


owner = np.array([owners(true) for true in truths])
positive = owner >= 0
goals = np.array([true[own] for true, own in zip(truths, owner, strict=True)])
labels = np.array([name[own] for name, own in zip(classes, owner, strict=True)])
served = [len(np.unique(own[own >= 0])) for own in owner]
claim(served == [len(true) for true in truths], "каждой цифре досталась хотя бы одна клетка")
back = box.decode(box.encode(goals[positive], ANCHORS[np.nonzero(positive)[1]]), ANCHORS[np.nonzero(positive)[1]])
claim(np.allclose(back, goals[positive]), "поправки к якорю обратимы: decode(encode) – тождество")
print(f"клеток на цифру в среднем {positive.sum() / sum(served):.1f}, их доля {100 * positive.mean():.0f} %")

# %% [markdown]
# У клеток фона `owner` равен $-1$, и в `goals` и `labels` у них что попало; в потери эти места не войдут. Посмотрим,
# что вышло.


# %%
def draw_box(ax, corners, colour, dashed=False):
    x1, y1, x2, y2 = corners - 0.5
    ax.plot([x1, x2, x2, x1, x1], [y1, y1, y2, y2, y1], color=colour, lw=1.5, ls="--" if dashed else "-")


def blank(ax, picture, theme):
    ax.imshow(picture, cmap="gray", vmin=-0.3, vmax=1.4, interpolation="nearest")
    ax.set(xticks=[], yticks=[], xlim=(-0.7, SIDE - 0.3), ylim=(SIDE - 0.3, -0.7))
    ax.grid(False)
    ax.spines[:].set_visible(False)


@figure(
    "Четыре обучающих холста. Точки – центры клеток сетки $12\\times12$, крупные – клетки, которым поручена "
    "цифра: её класс и рамку учат только они, остальные учатся отвечать «здесь ничего нет».",
    alt="Четыре серых шумных холста с цифрами в рамках; по холсту мелкие точки сеткой, в середине каждой "
    "рамки несколько крупных точек того же цвета, что и рамка.",
)
def assigned_cells(theme):
    from matplotlib import pyplot as plt

    fig, axes = plt.subplots(2, 2, figsize=(style.WIDTH, style.WIDTH))
    for number, ax in enumerate(axes.flat):
        blank(ax, pictures[number], theme)
        ax.plot(*CENTRES.T - 0.5, ".", color="#a09b90", ms=2)
        for index, true in enumerate(truths[number]):
            colour = style.DARK.forward, style.DARK.accent, style.DARK.good
            draw_box(ax, true, colour[index])
            mine = CENTRES[owner[number] == index] - 0.5
            ax.plot(*mine.T, "os^"[index], color=colour[index], ms=5)
    return fig


# %% [markdown]
# ## Сеть и потери {#network}
#
# Четыре свёртки $3\times3$ (две с шагом $2$) и $1\times1$, из которой выходит $1+4+10$ чисел на клетку. Сдвиг логита
# предмета начинаем с $-\log\frac{1-\pi}\pi$ при $\pi=0{,}02$, как
# [RetinaNet](../tickets/06-detection-segmentation.md#focal-loss): почти все клетки – фон, и незачем тратить первые
# шаги на то, чтобы это узнать. Поправки превращаем в рамку так же, как в билете: $x=x_a+t_xw_a$, $w=w_ae^{t_w}$.

# %%
PRIOR = 0.02


def detector(dilation=1, seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(32, 48, 3, padding=1), nn.ReLU(),
        nn.Conv2d(48, 48, 3, padding=dilation, dilation=dilation), nn.ReLU(),
        nn.Conv2d(48, 15, 1),
    )  # fmt: skip
    nn.init.zeros_(net[-1].bias)
    net[-1].bias.data[0] = -np.log((1 - PRIOR) / PRIOR)
    return net


def answers(net, x):
    """Logits of presence (B, 144), offsets (B, 144, 4), logits of classes (B, 144, 10)."""
    out = net(x[:, None]).flatten(2).transpose(1, 2)
    return out[..., 0], out[..., 1:5], out[..., 5:]


CENTRES_T = torch.tensor(CENTRES, dtype=torch.float32)


def to_boxes(offsets):
    centre = CENTRES_T + ANCHOR * offsets[..., :2]
    return from_centre(centre, np.log(ANCHOR) + offsets[..., 2:].clamp(-3, 3))


offsets = 0.5 * torch.randn(len(ANCHORS), 4, generator=torch.Generator().manual_seed(0))
gap = np.abs(to_boxes(offsets).numpy() - box.decode(offsets.numpy(), ANCHORS)).max()
claim(gap < 1e-3, "to_boxes – это decode из билета, только на тензорах")
print(f"параметров {sum(p.numel() for p in detector().parameters())}")

# %% [markdown]
# Потери – три слагаемых. Наличие предмета учат все клетки (двоичная кросс-энтропия), рамку и класс – только
# назначенные. Сумму по клеткам делим на число *назначенных*, а не всех: иначе вклад предмета зависел бы от того,
# сколько вокруг фона.


# %%
def losses(net, x, positive, goals, labels):
    presence, offsets, names = answers(net, x)
    count = positive.sum()
    found = F.binary_cross_entropy_with_logits(presence, positive.float(), reduction="sum") / count
    place = (1 - iou_giou(to_boxes(offsets)[positive], goals[positive])[1]).mean()
    name = F.cross_entropy(names[positive], labels[positive])
    return found, place, name


# %% [markdown]
# ## Обучение {#training}
#
# Adam, батч $32$, скорость по расписанию one-cycle. Печатаем три слагаемых: первым падает «есть – нет», рамка и
# класс подтягиваются.

# %%
STEPS = budget(1200, 3)
tensors = [
    torch.from_numpy(pictures), torch.from_numpy(positive),
    torch.tensor(goals, dtype=torch.float32), torch.from_numpy(labels),
]  # fmt: skip


def fit(net, steps):
    optimizer = torch.optim.Adam(net.parameters())
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(0)
    history = []
    for _ in range(steps):
        batch = torch.randint(len(pictures), (32,), generator=generator)
        parts = losses(net, *(tensor[batch] for tensor in tensors))
        optimizer.zero_grad()
        sum(parts).backward()
        optimizer.step()
        rate.step()
        history.append([part.item() for part in parts])
    return np.array(history)


net = detector()
history = fit(net, STEPS)
print("шаги         предмет  рамка  класс")
for part in np.array_split(np.arange(STEPS), min(4, STEPS)):
    print(f"{part[0]:4d}–{part[-1]:<4d}   " + "  ".join(f"{value:6.2f}" for value in history[part].mean(axis=0)))
claim((history[-100:].mean(0) < 0.5 * history[:20].mean(0)).all(), "все три слагаемых упали вдвое", trained=True)

# %% [markdown]
# ## Подавление немаксимумов {#nms}
#
# Ответ сети – $144$ рамки на холст. Оценка рамки – вероятность предмета, умноженная на вероятность лучшего класса;
# почти нулевые отбросим сразу.

# %%
CUT = 0.02


@torch.no_grad()
def detect(net, pictures, cut=CUT):
    """(boxes, scores, classes) of each picture, before suppression."""
    presence, offsets, names = answers(net, torch.from_numpy(pictures))
    chance, name = names.softmax(-1).max(-1)
    scores = (presence.sigmoid() * chance).double().numpy()
    boxes, name = to_boxes(offsets).double().numpy(), name.numpy()
    return [(b[s > cut], s[s > cut], c[s > cut]) for b, s, c in zip(boxes, scores, name, strict=True)]


raw = detect(net, test_pictures)
confident = sum((scores > 0.3).sum() for _, scores, _ in raw)
total = sum(map(len, test_truths))
print(f"цифр {total}, рамок с оценкой выше 0,3: {confident}")

# %% [markdown]
# Дубли – не недоученность: мы сами назначили положительными несколько клеток на цифру. Жадное правило: лучшая рамка
# остаётся, все, кто перекрыт с ней сильнее порога, удаляются, затем лучшая из уцелевших – и так до конца.


# %%
def nms(boxes, scores, threshold):
    """Numbers of the boxes that stay, best first."""
    alive = np.argsort(-scores, kind="stable")
    kept = []
    while len(alive):
        best, alive = alive[0], alive[1:]
        kept.append(best)
        alive = alive[box.iou(boxes[[best]], boxes[alive])[0] <= threshold]
    return np.array(kept, dtype=int)


# %% [markdown]
# Что именно находит жадный перебор? У задачи есть описание без слова «жадно»: множество оставленных рамок, в котором
# никто никому не мешает, а всякая удалённая перекрыта сильнее порога с какой-то *оставленной и более уверенной*.
# Переберём все подмножества восьми случайных рамок и посмотрим, сколько таких множеств и совпадает ли единственное с
# нашим.


# %%
def by_force(boxes, scores, threshold):
    """All sets without conflicts in which every deleted box has a better kept rival."""
    clash = (box.iou(boxes, boxes) > threshold) & ~np.eye(len(boxes), dtype=bool)
    better = clash & (scores[None, :] > scores[:, None])
    sets = np.array(list(product((False, True), repeat=len(boxes))))
    peaceful = ~np.einsum("si,ij,sj->s", sets, clash, sets)
    beaten = (sets[:, None, :] & better).any(axis=2)
    return sets[peaceful & (beaten == ~sets).all(axis=1)]


agree, deleted = True, 0
for _ in range(60):
    corners = rng.uniform(0, 10, (8, 2))
    boxes, scores = np.concatenate([corners, corners + rng.uniform(4, 10, (8, 2))], 1), rng.random(8)
    sets, kept = by_force(boxes, scores, 0.4), nms(boxes, scores, 0.4)
    agree &= len(sets) == 1 and set(np.flatnonzero(sets[0])) == set(kept)
    deleted += 8 - len(kept)
claim(agree, "жадное NMS находит единственное такое множество")
print(f"в 60 опытах удалено {deleted} рамок из 480")

# %% [markdown]
# Подавляем по классам: уверенная тройка не должна стирать соседнюю восьмёрку.


# %%
def suppressed(raw, threshold, by_class=True):
    """NMS of every picture, class by class or all classes together."""
    kept = [[], [], []]
    for boxes, scores, names in raw:
        stay = np.zeros(len(scores), dtype=bool)
        groups = names if by_class else np.zeros_like(names)
        for group in np.unique(groups):
            mine = np.flatnonzero(groups == group)
            stay[mine[nms(boxes[mine], scores[mine], threshold)]] = True
        for values, part in zip(kept, (boxes, scores, names), strict=True):
            values.append(part[stay])
    return list(zip(*kept, strict=True))


final = suppressed(raw, 0.4)
left = sum((scores > 0.3).sum() for _, scores, _ in final)
print(f"рамок с оценкой выше 0,3 на цифру: до {confident / total:.2f}, после {left / total:.2f}")
claim(left < 0.5 * confident, "подавление убрало больше половины уверенных рамок", trained=True)


# %%
@figure(
    "Три контрольных холста. Слева все рамки с оценкой выше $0{,}3$, справа они же после подавления с "
    "порогом $0{,}4$: зелёные верны (класс тот же, IoU от $0{,}5$), красные пунктирные нет; серые точечные "
    "линии – истина.",
    alt="Три пары шумных холстов с цифрами. Слева на каждой цифре пачка почти совпадающих рамок, справа их "
    "мало: зелёные верные и красные пунктирные ложные, с номерами классов.",
)
def before_and_after(theme):
    from matplotlib import pyplot as plt

    fig, axes = plt.subplots(3, 2, figsize=(style.WIDTH, 1.5 * style.WIDTH))
    for number, pair in enumerate(axes):
        true, name = test_truths[number], test_classes[number]
        for ax, found in zip(pair, (raw, final), strict=True):
            blank(ax, test_pictures[number], theme)
            for corners, score, guess in zip(*found[number], strict=True):
                if score < 0.3:
                    continue
                if found is raw:
                    draw_box(ax, corners, style.DARK.forward)
                    continue
                right = (box.iou(corners[None], true[name == guess]) >= 0.5).any()
                colour = style.DARK.good if right else style.DARK.bad
                draw_box(ax, corners, colour, dashed=not right)
                x, y = corners[0] if right else corners[2] - 3, max(corners[1] - 1, 3.5)
                ax.text(x, y, f"{guess}", color=colour, weight="bold", clip_on=True)
            for x1, y1, x2, y2 in true - 0.5:
                ax.plot([x1, x2, x2, x1, x1], [y1, y1, y2, y2, y1], ":", color="#a09b90", lw=1)
    axes[0, 0].set_title("до NMS")
    axes[0, 1].set_title("после NMS")
    return fig


# %% [markdown]
# ## Точность, полнота, AP {#ap}
#
# Теперь оценка. Для каждого класса собираем детекции *всех* холстов в одну очередь по убыванию оценки. Очередная
# верна (TP), если на её холсте есть незанятая цифра этого класса с IoU не ниже порога; тогда цифра занята. Иначе она
# ложна (FP) – и второй правильный ответ на ту же цифру тоже.


# %%
def hits_of(found, truths, threshold):
    """TP or FP of all detections in order of falling score; the number of true boxes."""
    queue = [(s, n, b) for n, (boxes, scores) in enumerate(found) for b, s in zip(boxes, scores, strict=True)]
    queue.sort(key=lambda item: -item[0])
    free = [np.ones(len(true), dtype=bool) for true in truths]
    hits = np.zeros(len(queue), dtype=bool)
    for place, (_, number, corners) in enumerate(queue):
        overlaps = box.iou(corners[None], truths[number])[0] * free[number]
        if len(overlaps) and overlaps.max() >= threshold:
            free[number][overlaps.argmax()] = False
            hits[place] = True
    return hits, sum(map(len, truths))


def curve(hits, positives):
    """Precision, its envelope, recall after each detection."""
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return precision, envelope, np.cumsum(hits) / positives


def ap(hits, positives):
    """All-point interpolation: every hit adds 1 / positives of recall."""
    _, envelope, _ = curve(hits, positives)
    return envelope[hits].sum() / positives


example = np.array([1, 1, 0, 1, 0, 0, 1, 0], dtype=bool)
claim(abs(ap(example, 5) - (1 + 1 + 3 / 4 + 4 / 7) / 5) < 1e-12, f"пример билета: AP = {ap(example, 5):.4f}")

# %% [markdown]
# Площадь под ступенчатой огибающей сложилась из попаданий: каждое расширяет кривую на $1/n$, где $n$ – число цифр, а
# ложные лишь опускают её высоту. Сверим оба шага – сопоставление и площадь – со вторым счётом, по всем десяти
# классам.


# %%
def of_class(found, name):
    return [(boxes[names == name], scores[names == name]) for boxes, scores, names in found]


def true_of_class(name):
    return [true[names == name] for true, names in zip(test_truths, test_classes, strict=True)]


mine, second = [], []
for name in range(10):
    found, true = of_class(final, name), true_of_class(name)
    hits, positives = hits_of(found, true, 0.5)
    mine.append(ap(hits, positives))
    again = reference.match_images(found, true, 0.5)
    claim_hits = np.array_equal(hits, again[0]) and positives == again[1]
    second.append(reference.average_precision(*again) if claim_hits else np.nan)
claim(np.allclose(mine, second), "сопоставление и AP совпали со вторым счётом")
print("AP50 классов:", " ".join(f"{value:.2f}" for value in mine))
claim(np.mean(mine) > 0.8, f"mAP при IoU 0,5 равен {np.mean(mine):.3f}", trained=True)


# %%
def mean_ap(found, threshold=0.5):
    """Mean over classes, by the checked module."""
    return np.mean([
        reference.average_precision(*reference.match_images(of_class(found, c), true_of_class(c), threshold))
        for c in range(10)
    ])  # fmt: skip


strict = mean_ap(final, 0.75)
print(f"mAP при IoU 0,5: {mean_ap(final):.3f}, при 0,75: {strict:.3f}")
claim(strict < mean_ap(final) - 0.1, "рамки грубы: при 0,75 mAP ниже больше чем на 0,1", trained=True)

weakest = int(np.argmin(mine))
squared = [(boxes, scores**2, names) for boxes, scores, names in final]
claim(np.isclose(mean_ap(squared), mean_ap(final)), "оценки в квадрате: AP то же, важен лишь порядок")


# %%
@figure(
    "Худший по AP класс на контрольных холстах. Тонкая линия – точность после каждой детекции, толстая – "
    "огибающая, закрашена площадь под ней, то есть AP. Внизу тот же класс без NMS: дубли считаются ложными.",
    alt="Две кривые точность – полнота. Сверху зубчатая линия и ступенчатая огибающая держатся высоко и "
    "обрываются до полноты один; снизу без подавления точность уже к полноте 0,2 падает до половины.",
)
def precision_recall(theme):
    from matplotlib import pyplot as plt

    fig, axes = plt.subplots(2, 1, figsize=(style.WIDTH, 1.1 * style.WIDTH), sharex=True)
    for ax, found, title in zip(axes, (final, raw), ("с подавлением, порог 0,4", "без подавления"), strict=True):
        hits, positives = hits_of(of_class(found, weakest), true_of_class(weakest), 0.5)
        precision, envelope, recall = curve(hits, positives)
        start = precision[:1] if len(hits) else [0]  # the curve begins at recall 0
        recall, envelope, precision = np.r_[0, recall], np.r_[start, envelope], np.r_[start, precision]
        ax.plot(recall, precision, color=theme.forward, lw=1, label="точность")
        ax.step(recall, envelope, where="pre", color=theme.backward, lw=2.2, label="огибающая")
        ax.fill_between(recall, envelope, step="pre", color=theme.backward, alpha=0.15, lw=0)
        value = f"{ap(hits, positives):.2f}".replace(".", ",")
        ax.set(ylim=(0, 1.05), xlim=(0, 1), ylabel="точность", title=f"Класс {weakest}, {title}: AP {value}")
    axes[0].legend(loc="lower left")
    axes[1].set_xlabel("полнота")
    return fig


# %% [markdown]
# ## Два порога {#thresholds}
#
# У готового детектора две ручки: порог IoU в NMS и порог оценки. Сеть от них не меняется, меняется ответ.

# %%
thresholds = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
by_nms = np.array([[mean_ap(kept, iou) for iou in (0.5, 0.75)] for kept in (suppressed(raw, t) for t in thresholds)])
print("порог NMS   mAP50   mAP75")
for threshold, (half, tight) in zip(thresholds, by_nms, strict=True):
    print(f"   {threshold:.1f}      {half:.3f}   {tight:.3f}")
best = by_nms[:, 0].max()
claim(np.ptp(by_nms[1:6, 0]) < 0.03, "от 0,1 до 0,5 порог почти безразличен", trained=True)
claim(by_nms[-1, 0] < best - 0.2, "без подавления mAP50 ниже больше чем на 0,2", trained=True)

# %% [markdown]
# Плато широкое, потому что толпы на наших холстах нет: истинные рамки перекрыты не сильнее $0{,}2$. Левого края –
# «гибнут соседи» – мы поэтому почти не видим, зато правый обрывается. Теперь порог оценки. Считаем по всем классам
# вместе, сколько показанных рамок верны (точность) и сколько цифр найдено (полнота).


# %%
def working_points(found, cuts):
    """Precision and recall of the boxes with scores from each cut, all classes together."""
    hits = [reference.match_images(of_class(found, c), true_of_class(c), 0.5)[0] for c in range(10)]
    scores = [np.sort(np.concatenate([s for _, s in of_class(found, c)]))[::-1] for c in range(10)]
    hits, scores = np.concatenate(hits), np.concatenate(scores)
    shown = [hits[scores >= cut] for cut in cuts]
    return [(part.mean() if len(part) else 1.0, part.sum() / total) for part in shown]


def cut_at(found, cut):
    return [(b[s >= cut], s[s >= cut], c[s >= cut]) for b, s, c in found]


cuts = np.array([CUT, 0.1, 0.3, 0.5, 0.7, 0.9])
by_cut = [(*point, mean_ap(cut_at(final, c))) for point, c in zip(working_points(final, cuts), cuts, strict=True)]
print("порог оценки  точность  полнота  mAP50")
for cut, row in zip(cuts, by_cut, strict=True):
    print(f"    {cut:.2f}         " + "     ".join(f"{value:.2f}" for value in row))
falls = np.diff([row[2] for row in by_cut])
claim((falls <= 1e-12).all(), "чем выше порог оценки, тем AP не больше")
claim(by_cut[-1][0] > by_cut[0][0] + 0.2, "точность выросла больше чем на 0,2", trained=True)
claim(by_cut[-1][1] < by_cut[0][1] - 0.1, "полнота упала больше чем на 0,1", trained=True)

# %% [markdown]
# Точность при умеренном пороге скромная. Кто же ложный? На рисунке с холстами видно: часто это второе мнение о той
# же самой цифре, другой класс в почти той же рамке. Клетки одной цифры разошлись в ответе, а подавление по классам
# такие пары не трогает. Если знать, что два предмета в одном месте стоять не могут, подавлять можно всех вместе.

# %%
together = suppressed(raw, 0.4, by_class=False)
apart_point, together_point = (working_points(found, [0.5])[0] for found in (final, together))
print("порог оценки 0,5   точность  полнота  mAP50")
for name, point, found in (("по классам", apart_point, final), ("все вместе", together_point, together)):
    print(f"  {name}         {point[0]:.2f}      {point[1]:.2f}     {mean_ap(found):.3f}")
claim(together_point[0] > apart_point[0] + 0.05, "общее подавление подняло точность", trained=True)

# %%
fine = np.linspace(CUT, 0.95, 32)
precision, recall = np.array(working_points(final, fine)).T
precision_together, recall_together = np.array(working_points(together, fine)).T


# %%
@figure(
    "Сверху mAP против порога NMS: круги – при IoU от $0{,}5$, квадраты – от $0{,}75$. Снизу точность и "
    "полнота против порога оценки, тонкие линии – когда NMS общее для всех классов. Общего лучшего места у "
    "двух кривых нет.",
    alt="Сверху две кривые mAP почти ровные при пороге подавления от 0,1 до 0,6 и обрываются вниз к "
    "единице. Снизу точность растёт, полнота убывает с порогом оценки, линии пересекаются.",
)
def two_thresholds(theme):
    from matplotlib import pyplot as plt

    fig, (top, bottom) = plt.subplots(2, 1, figsize=(style.WIDTH, 1.15 * style.WIDTH))
    top.plot(thresholds, by_nms[:, 0], "o-", color=theme.forward, label="IoU от 0,5")
    top.plot(thresholds, by_nms[:, 1], "s--", color=theme.backward, label="IoU от 0,75")
    top.set(ylim=(0, 1), xlabel="порог NMS", ylabel="mAP")
    top.legend(loc="lower left")
    bottom.plot(fine, precision, "-", color=theme.good, label="точность")
    bottom.plot(fine, recall, "--", color=theme.extra, label="полнота")
    bottom.plot(fine, precision_together, "-", color=theme.good, lw=1, label="они же, общее NMS")
    bottom.plot(fine, recall_together, "--", color=theme.extra, lw=1)
    bottom.set(ylim=(0, 1.05), xlabel="порог оценки", ylabel="доля")
    bottom.legend(loc="lower center")
    return fig


# %% [markdown]
# ## Что наблюдать {#observe}
#
# | Что сделали | Что видно | Почему |
# |---|---|---|
# | свёртка циклами и im2col | обе равны `conv2d` | один линейный оператор; при $3\times3$ девять копий |
# | назад через col2im | совпало с autograd | выписать окна и сложить их – сопряжённые действия |
# | спуск по IoU и GIoU | IoU $0$ и $0{,}94$ | вне пересечения IoU постоянен, градиент нулевой |
# | $4{,}4$ клетки на цифру | $4{,}6$ уверенных рамки на цифру | дубли заложены в сопоставлении |
# | порог NMS: $0$; $0{,}4$; $1$ | mAP $0{,}88$; $0{,}89$; $0{,}53$ | дубль – ложная детекция; толпы нет |
# | IoU от $0{,}75$, а не от $0{,}5$ | mAP $0{,}70$ вместо $0{,}89$ | цифра названа верно, рамка груба |
# | порог оценки $0{,}02\to0{,}9$ | точность $0{,}53\to0{,}97$, полнота $0{,}93\to0{,}72$ | хвост списка отрезан |
# | он же | mAP $0{,}89\to0{,}71$ | AP читает всю кривую |
# | NMS общее для классов | точность $0{,}79\to0{,}89$, mAP $0{,}89\to0{,}85$ | второе мнение иногда верно |
#
# Последняя строка стоит того, чтобы её пересказать на экзамене: одно и то же изменение улучшило рабочую точку и
# ухудшило mAP. Метрика ранжирования и качество на выбранном пороге – разные вещи.
#
# ## Упражнения {#exercises}
#
# ### Упражнение 1. Группы и раздельная свёртка {#exercise-1}
#
# Напишите `conv_groups(x, w, b, groups, s=1, P=0, d=1)`: каналы входа и выхода делятся на `groups` равных частей, и
# каждая часть выхода видит только свою часть входа; `w` имеет форму `(C_out, C_in // groups, k, k)`. Сверьте с
# `F.conv2d(..., groups=groups)` при $C_{in}=C_{out}=4$ и `groups` из $1,2,4$. Затем посчитайте, во сколько раз
# раздельная свёртка (поканальная $3\times3$ и за ней $1\times1$) легче обычной при $256$ каналах, и сравните с
# $\frac1{C_{out}}+\frac1{k^2}$.

# %% [markdown] tags=["solution"]
# Каждая группа – самостоятельная свёртка, ответы склеиваются по каналам. Веса раздельной свёртки без сдвигов:
# $C_{in}k^2$ в поканальной части и $C_{in}C_{out}$ в точечной против $C_{in}C_{out}k^2$; отношение и есть сумма двух
# дробей.

# %% tags=["solution"]


def conv_groups(x, w, b, groups, s=1, P=0, d=1):
    parts = zip(np.split(x, groups, axis=1), np.split(w, groups), np.split(b, groups), strict=True)
    return np.concatenate([conv(*part, s, P, d) for part in parts], axis=1)


x4, b4 = rng.standard_normal((2, 4, 9, 9)), rng.standard_normal(4)
worst = 0.0
for groups in (1, 2, 4):
    w4 = rng.standard_normal((4, 4 // groups, 3, 3))
    truth = F.conv2d(*map(torch.from_numpy, (x4, w4, b4)), stride=2, padding=1, groups=groups)
    worst = max(worst, np.abs(conv_groups(x4, w4, b4, groups, 2, 1) - truth.numpy()).max())
claim(worst < 1e-12, "групповая свёртка совпала с conv2d")
share = (256 * 9 + 256 * 256) / (256 * 256 * 9)
claim(np.isclose(share, 1 / 256 + 1 / 9), f"раздельная свёртка – {share:.3f} весов обычной")

# %% [markdown]
# ### Упражнение 2. Рецептивное поле и прореженность {#exercise-2}
#
# Посчитайте по формуле $r_l=r_{l-1}+d_l(k_l-1)j_{l-1}$, $j_l=s_lj_{l-1}$, сколько пикселей видит одна клетка
# детектора, если у четвёртой свёртки $d=1$ и если $d=2$ (`detector(dilation=2)`). Проверьте градиентом: замените
# веса свёрток их модулями, уберите ReLU и посмотрите, на скольких пикселях вдоль оси ненулевая производная ответа
# клетки $(5,5)$. Потом обучите вариант с $d=2$ теми же `fit(net, STEPS)`. Поле стало шире, стал ли детектор лучше?

# %% [markdown] tags=["solution"]
# Поля $3$, $7$, $15$ и на четвёртой свёртке $15+4d\cdot2$: $23$ или $31$ пиксель (прыжок $j=4$). Модули нужны, чтобы
# вклады не сократились случайно; ReLU убран, чтобы не обнулил пути.
#
# Детектор лучше *не стал*, хотя весов столько же: mAP $0{,}86$ против $0{,}89$. Цифры не выше $22$ пикселей, и поля
# $23$ клетке у середины цифры почти хватает, а соседние отсчёты, которые перестали смешиваться в последней свёртке,
# видимо, были полезны. [Прореженность](../theory-minimum/12-dilated-convolution.md#why) окупается, когда для ответа
# не хватает *контекста*; сама по себе она качества не прибавляет. Опыт мал: одна сеть, один набор холстов.

# %% tags=["solution"]


def seen_pixels(net):
    linear = nn.Sequential(*(part for part in net if isinstance(part, nn.Conv2d)))
    for weight in linear.parameters():
        weight.data = weight.data.abs()
    x = torch.zeros(1, 1, SIDE, SIDE, requires_grad=True)
    linear(x)[0, :, 5, 5].sum().backward()
    return int((x.grad[0, 0].abs().sum(dim=0) > 0).sum())


def receptive_field(layers):
    r, j = 1, 1
    for k, s, d in layers:
        r, j = r + d * (k - 1) * j, s * j
    return r


for d in (1, 2):
    formula = receptive_field([(3, 2, 1), (3, 2, 1), (3, 1, 1), (3, 1, d), (1, 1, 1)])
    claim(seen_pixels(detector(d)) == formula, f"d = {d}: поле {formula}, градиент согласен")

wide = detector(dilation=2)
fit(wide, STEPS)
wide_found = suppressed(detect(wide, test_pictures), 0.4)
print(f"mAP50: d = 1 – {mean_ap(final):.2f}, d = 2 – {mean_ap(wide_found):.2f}")
claim(mean_ap(wide_found) < mean_ap(final) + 0.01, "более широкое поле mAP не подняло", trained=True)

# %% [markdown]
# ### Упражнение 3. Soft-NMS {#exercise-3}
#
# Напишите `soft_nms(boxes, scores, width=0.5)`: рамки не удаляются, а каждая следующая теряет оценку,
# $s\leftarrow s\,e^{-\mathrm{IoU}^2/0{,}5}$, из-за каждой выбранной раньше. Сверьте с `box.soft_nms`, примените к
# `raw` по классам и сравните mAP при IoU $0{,}5$ и $0{,}75$ с жёстким порогом $0{,}4$. Почему строгая метрика
# выигрывает?

# %% [markdown] tags=["solution"]
# При $0{,}5$ почти ничего не меняется: толпы нет, спасать некого. При $0{,}75$ mAP растёт на три сотых. Самая
# уверенная рамка – не обязательно самая точная. Жёсткое подавление стирает её более точного дублёра навсегда, мягкое
# оставляет его в хвосте списка, и если первая рамка порога $0{,}75$ не прошла, дублёр ещё может попасть в цель.

# %% tags=["solution"]


def soft_nms(boxes, scores, width=0.5):
    scores, waiting = scores.copy(), np.ones(len(scores), dtype=bool)
    for _ in range(len(scores)):
        best = np.flatnonzero(waiting)[scores[waiting].argmax()]
        waiting[best] = False
        decay = np.exp(-(box.iou(boxes[[best]], boxes)[0] ** 2) / width)
        scores[waiting] *= decay[waiting]
    return scores


softened, equal = [], True
for boxes, scores, names in raw:
    lowered = scores.copy()
    for name in np.unique(names):
        mine = names == name
        lowered[mine] = soft_nms(boxes[mine], scores[mine])
        equal &= np.allclose(lowered[mine], box.soft_nms(boxes[mine], scores[mine]))
    softened.append((boxes, lowered, names))
claim(equal, "soft_nms совпал со вторым счётом")
half, tight = mean_ap(softened), mean_ap(softened, 0.75)
print(f"Soft-NMS: mAP50 {half:.3f}, mAP75 {tight:.3f}")
claim(abs(half - mean_ap(final)) < 0.03, "при IoU 0,5 разницы почти нет", trained=True)
claim(tight > strict + 0.01, "при IoU 0,75 мягкое подавление лучше", trained=True)

# %% [markdown]
# ### Упражнение 4. mAP как в COCO {#exercise-4}
#
# Посчитайте mAP детекций `final` при порогах IoU $0{,}50,0{,}55,\dots,0{,}95$ и их среднее. Прежде чем считать,
# докажите, что с ростом порога AP класса не может возрасти. Осторожно: назначение жадное, и детекция, которая при
# высоком пороге осталась ни с чем, освобождает цифру для следующей.

# %% [markdown] tags=["solution"]
# Сравним два прохода по одной очереди, с низким порогом и с высоким. По индукции: цифры, занятые после $k$ детекций
# при высоком пороге, заняты и при низком. Пусть при высоком пороге очередная берёт цифру $x$, свободную с наибольшим
# IoU. Если при низком пороге $x$ уже занята, доказывать нечего. Если свободна, то она и там лучшая: свободных при
# низком пороге не больше, – и её же берут. Значит, верных среди первых $k$ при высоком пороге не больше, точность и
# полнота после каждой детекции не выше, огибающая и площадь тоже.
#
# У нас ряд убывает круто: к $0{,}9$ почти ничего не остаётся, и среднее $0{,}58$ много ниже mAP при $0{,}5$.

# %% tags=["solution"]
series = np.array([mean_ap(final, threshold) for threshold in reference.COCO_THRESHOLDS])
print("IoU  " + " ".join(f".{round(100 * t)}" for t in reference.COCO_THRESHOLDS))
print("mAP  " + " ".join(f"{value:.2f}"[1:] for value in series))
print(f"среднее {series.mean():.2f}")
claim((np.diff(series) <= 1e-12).all(), "ряд не возрастает")
claim(series[0] > 1.3 * series.mean(), "mAP50 намного больше среднего по порогам", trained=True)

# %% [markdown]
# ### Упражнение 5. Сколько стоит фон в начале {#exercise-5}
#
# Пусть доля назначенных клеток $q$, а сеть всем клеткам отвечает «предмет с вероятностью $\pi$». Выведите первое
# слагаемое потерь (сумма кросс-энтропий на одну *назначенную* клетку) как функцию $\pi$ и $q$, сравните $\pi=0{,}5$
# и $\pi=0{,}02$ и найдите наилучшее $\pi$. Проверьте на `losses` с нулевыми весами последнего слоя.

# %% [markdown] tags=["solution"]
# На назначенную клетку приходится $\frac{1-q}q$ клеток фона, поэтому
#
# $$
# \ell(\pi)=-\log\pi-\frac{1-q}q\log(1-\pi).
# $$
#
# Производная $-\frac1\pi+\frac{1-q}{q(1-\pi)}$ обращается в нуль при $\pi=q$. У нас $q\approx0{,}06$: при
# $\pi=0{,}5$ потери около $11{,}5$, из них почти всё – фон; при $\pi=0{,}02$ около $4{,}2$, наименьшее возможное –
# чуть меньше $3{,}8$. RetinaNet берёт $0{,}01$ при куда более редких предметах.

# %% tags=["solution"]


def constant_loss(prior, q):
    return -np.log(prior) - (1 - q) / q * np.log(1 - prior)


q = positive.mean()
silent = detector()
nn.init.zeros_(silent[-1].weight)
with torch.no_grad():
    batch = [tensor[:32] for tensor in tensors]
    measured = losses(silent, *batch)[0].item()
q32 = positive[:32].mean()
claim(abs(measured - constant_loss(PRIOR, q32)) < 1e-3, "формула совпала с losses")
print(" ".join(f"π={prior:.2f}: {constant_loss(prior, q):.2f}" for prior in (0.5, PRIOR, q)))
grid = np.linspace(0.005, 0.5, 991)
claim(abs(grid[constant_loss(grid, q).argmin()] - q) < 1e-3, "наилучшее π равно доле назначенных клеток")

# %% [markdown]
# ## Вопросы экзаменатора {#examiner}
#
# ??? question "Почему свёртку считают через im2col, если он переписывает пиксели девять раз?"
#     Умножение больших матриц – самая отлаженная операция процессора и видеокарты: блоки, кэш, векторные команды.
#     Цикл по окнам делает столько же умножений, но обращается к памяти кусками по несколько чисел. Память при этом
#     экономят: выписывают окна частями или строят их на лету внутри ядра умножения (implicit GEMM). Для $1\times1$
#     выписывать нечего, для больших ядер выгоднее БПФ.
#
# ??? question "Как по прямому проходу im2col догадаться, каким будет обратный?"
#     Выписывание окон – линейное действие, матрица из нулей и единиц: в каждой строке одна единица, в столбце
#     пикселя их столько, в сколько окон он попал. Сопряжённое действие – транспонированная матрица: каждый пиксель
#     получает сумму по всем своим окнам. Дополненные нули тоже получают градиент, но его выбрасывают: это не вход.
#
# ??? question "Что изменится, если за цифру отвечает одна клетка – клетка её центра, как в YOLOv1?"
#     Положительных примеров станет в четыре с лишним раза меньше, дублей тоже поубавится: соседние клетки теперь
#     учат отвечать «нет». Но соседняя клетка видит почти то же самое, и граница между «да» и «нет» проходит по
#     половине клетки – различать их труднее. Без NMS всё равно не обойтись. Совсем от него избавляет взаимно
#     однозначное назначение *по предсказаниям*, как в DETR.
#
# ??? question "Почему слагаемое предмета делят на число назначенных клеток, а не на все?"
#     Чтобы вес предмета не зависел от размера карты. Деление на все $144$ клетки уменьшило бы это слагаемое примерно
#     в шестнадцать раз рядом с рамкой и классом, а на карте вдвое большей стороны – ещё вчетверо. Нормировка на
#     число положительных – обычная для RetinaNet и её потомков.
#
# ??? question "AP не изменился, когда оценки возвели в квадрат. А если сложить оценки разных классов в одну очередь?"
#     AP каждого класса зависит только от порядка внутри класса, и любое возрастающее преобразование его сохранит.
#     Общая очередь – другое дело: порядок между классами начинает значить, и если оценки одного класса
#     систематически выше, микросреднее изменится. Поэтому порог для показа, общий на все классы, требует калибровки,
#     а mAP – нет.
#
# ??? question "Почему порог оценки может только уменьшить AP?"
#     Порог отрезает конец очереди. Кривая до места разреза прежняя, а огибающая – максимум точности *справа*, –
#     теряет часть точек и может только опуститься; за последней полнотой она нуль. Площадь не растёт. NMS этого не
#     портит: слабая рамка не может удалить более уверенную.
#
# ??? question "mAP упал, а точность на рабочем пороге выросла. Какой детектор лучше?"
#     Зависит от того, кто читает ответ. Если рамки показывают человеку или передают дальше с порогом $0{,}5$, важна
#     точка: у общего NMS меньше ложных при почти той же полноте. Если сравнивают модели до выбора порога, важна
#     кривая: второе мнение о классе стоит в хвосте, иногда верно и прибавляет полноту. Сообщать надо оба числа.
#
# ??? question "Чем наш детектор отличается от Faster R-CNN?"
#     Нет второй стадии: предложений никто не отбирает, класс и рамку каждая клетка называет сразу, по признакам
#     своего места, а не выровненным по рамке. Якорь один, масштабов нет, пирамида не нужна: размеры цифр отличаются
#     меньше чем вдвое по высоте. Рамку учит GIoU, а не smooth L1 поправок.
#
# ??? question "Что меняется, если вместо рамок нужна карта классов пикселей?"
#     Исчезает сопоставление: ответ и разметка лежат на одной сетке. Исчезают NMS и AP, вместо них $\arg\max$ и mIoU.
#     Зато нужна карта полного разрешения, то есть декодер или прореженные свёртки вместо шагов, и две касающиеся
#     одинаковые цифры станут одной областью.
#
# ## Источники {#sources}
#
# - Dumoulin V., Visin F. [A guide to convolution arithmetic for deep learning](https://arxiv.org/abs/1603.07285),
#   2016 – размеры и транспонированная свёртка.
# - Chellapilla K., Puri S., Simard P. High performance convolutional neural networks for document processing, 2006 –
#   im2col.
# - Yu F., Koltun V. [Multi-scale context aggregation by dilated convolutions](https://arxiv.org/abs/1511.07122),
#   2015.
# - Redmon J. et al. [You only look once](https://arxiv.org/abs/1506.02640), 2015 – одна стадия и клетки.
# - Tian Z. et al. [FCOS](https://arxiv.org/abs/1904.01355), 2019 – положительны все точки внутри рамки.
# - Lin T.-Y. et al. [Focal loss for dense object detection](https://arxiv.org/abs/1708.02002), 2017 – начальный
#   сдвиг.
# - Rezatofighi H. et al. [Generalized intersection over union](https://arxiv.org/abs/1902.09630), 2019.
# - Bodla N. et al. [Soft-NMS](https://arxiv.org/abs/1704.04503), 2017.
# - Everingham M. et al. [The PASCAL visual object classes challenge](https://doi.org/10.1007/s11263-009-0275-4),
#   2010; Lin T.-Y. et al. [Microsoft COCO](https://arxiv.org/abs/1405.0312), 2014 – AP.
