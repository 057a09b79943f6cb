# ---
# lab: 2
# questions: [tm-02, tm-04, tm-06, tm-09]
# minutes: 35
# description: "Сигнал и градиент сквозь пятьдесят слоёв: что меняют инициализация, BN, LN и остаточные связи."
# ---
#
# %% [markdown]
# # Пятьдесят слоёв: инициализация и нормализация
#
# «Градиенты затухают», «BatchNorm помогает», «связи пропускают градиент» – всё это утверждения о числах, и числа
# можно измерить, ещё ничему сеть не научив. Пропустим батч через пятьдесят слоёв вперёд и назад, сравним нормы с
# формулами, а под конец обучим сети тридцатислойные и посмотрим, предсказали ли нормы исход.
#
# ## Что мы построим {#goal}
#
# Прямой и обратный проход глубокой сети на NumPy; проверим его по PyTorch. С его помощью измерим, во сколько раз
# слой меняет сигнал и градиент, и сличим с
# [формулами для дисперсии](../theory-minimum/02-vanishing-exploding-gradients.md#variance). Затем напишем
# [batch normalization](../theory-minimum/04-batch-normalization.md#formulas) с обратным проходом и её
# [альтернативу](../theory-minimum/06-batchnorm-alternatives.md#axes), layer normalization, поставим их в те же
# пятьдесят слоёв, а потом добавим [остаточные связи](../theory-minimum/09-resnet.md#gradients).
#
# Понадобятся цепное правило для слоя $z=Wa$ и дисперсия суммы независимых слагаемых.

# %%
import numpy as np
import torch
from torch import nn

from scripts.figures import style
from scripts.figures.digits import digits
from scripts.labs.kit import budget, claim, figure

torch.set_num_threads(1)
WIDTH, LAYERS, BATCH = 128, 50, 128
data = digits(600)
pixels = data.X_train[:BATCH] - data.X_train.mean(0)

# %% [markdown]
# ## Сеть без прикрас {#plain}
#
# Слой – $z^l=W^la^{l-1}$, $a^l=\varphi(z^l)$, сдвигов нет, объекты стоят строками. Вход растянем случайной матрицей
# до ширины $128$ и приведём к единичному среднему квадрату, чтобы дальше смотреть только на слои. Назад пустим
# гауссов вектор с единичным средним квадратом – такую сопряжённую последней активации – и запишем, во что она
# превратится у каждого слоя.

# %%
chance = np.random.default_rng(0)
x0 = pixels @ chance.standard_normal((64, WIDTH))
x0 /= np.sqrt((x0**2).mean())
top = chance.standard_normal((BATCH, WIDTH))

ACTIVATIONS = {  # value, and derivative from the pre-activation
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float)),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
}


def rms(x):
    return np.sqrt((x**2).mean())


def weights(std, seed=1):
    local = np.random.default_rng(seed)
    return std * local.standard_normal((LAYERS, WIDTH, WIDTH))


def plain(W, activation):
    """RMS of the activations and of their adjoints, from the input up."""
    f, df = ACTIVATIONS[activation]
    a, kept = x0, []
    for w in W:
        z = a @ w.T
        kept.append((a, z))
        a = f(z)
    bar, back = top, [rms(top)]
    for w, (_, z) in zip(W[::-1], kept[::-1], strict=True):
        bar = (bar * df(z)) @ w
        back.append(rms(bar))
    return np.array([rms(a) for a, _ in kept] + [rms(a)]), np.array(back[::-1])


# %% [markdown]
# Прежде чем верить измерениям, сверим обратный проход с autograd: то же число слоёв, те же веса, та же сопряжённая.

# %%
W = weights(np.sqrt(2 / WIDTH))
a = torch.tensor(x0, requires_grad=True)
h = a
for w in W:
    h = torch.relu(h @ torch.tensor(w).T)
h.backward(torch.tensor(top))
mine = plain(W, "relu")[1][0]
claim(abs(mine / rms(a.grad.numpy()) - 1) < 1e-10, "сопряжённая входа – как у autograd")

# %% [markdown]
# ## Множитель на слой {#factor}
#
# Пусть $d$ – ширина слоя. По [формулам](../theory-minimum/02-vanishing-exploding-gradients.md#variance) средний
# квадрат сопряжённой слой умножает на $d\operatorname{Var}W\cdot\mathbb E[\varphi'^2]$, значит, норму – на
# $r=\sqrt{d\operatorname{Var}W\cdot\mathbb E[\varphi'^2]}$. У ReLU $\mathbb E[\varphi'^2]=\frac12$, у $\tanh$ около
# нуля – единица. (`nn.Linear` по умолчанию берёт веса равномерно из $\pm1/\sqrt d$, их дисперсия $\frac1{3d}$.) За
# $50$ слоёв выйдет $r^{50}$. Измерим $r$ как корень пятидесятой степени из отношения крайних норм.

# %%
d = WIDTH
CASES = {  # name: activation, std of a weight, r by the formula
    "tanh, 0,01": ("tanh", 0.01, 0.01 * np.sqrt(d)),
    "ReLU, nn.Linear": ("relu", np.sqrt(1 / (3 * d)), np.sqrt(1 / 6)),
    "ReLU, Xavier": ("relu", np.sqrt(1 / d), np.sqrt(1 / 2)),
    "ReLU, He": ("relu", np.sqrt(2 / d), 1.0),
    "ReLU, He вдвое": ("relu", 2 * np.sqrt(2 / d), 2.0),
}
backward = {}
print("сеть               r     измерено   r^50")
for name, (activation, std, r) in CASES.items():
    backward[name] = plain(weights(std), activation)[1]
    measured = (backward[name][0] / backward[name][-1]) ** (1 / LAYERS)
    print(f"{name:16} {r:6.3f}  {measured:6.3f}    {r**LAYERS:.0e}")
    claim(abs(measured / r - 1) < 0.06, f"{name}: r по формуле")

# %% [markdown]
# Отклонение r в несколько процентов за пятьдесят слоёв набегает в разы, поэтому He – это не «градиент постоянен», а
# «градиент не уходит по экспоненте». У $\tanh$ с Xavier формула даёт $r=1$, но $\varphi'<1$, и затухание есть, хотя
# и медленное. У сигмоиды всё хуже: $\varphi'\le\frac14$.

# %%
for name, activation in (("tanh, Xavier", "tanh"), ("сигмоида, Xavier", "sigmoid")):
    backward[name] = plain(weights(np.sqrt(1 / d)), activation)[1]
    print(f"{name:17} за 50 слоёв: {backward[name][0] / backward[name][-1]:.1e}")
claim(0.02 < backward["tanh, Xavier"][0] < 0.7, "tanh с Xavier теряет градиент в разы, а не на порядки")
claim(backward["сигмоида, Xavier"][0] < 0.25**LAYERS * 10, "сигмоида: не лучше четверти на слой")


@figure(
    "Средний квадратичный размер сопряжённой активации по слоям, $50$ слоёв по $128$ нейронов до обучения; справа "
    "потери, слева вход. Прямая на логарифмической шкале – постоянный множитель $r$.",
    alt="Логарифмический график: при He линия почти горизонтальна, при удвоенном He растёт ко входу до 10 в 15, при "
    "Xavier и nn.Linear падает, при весах 0,01 и сигмоиде падает быстрее всех.",
)
def gradient_through_layers(theme):
    from matplotlib import pyplot

    drawing, axes = pyplot.subplots(figsize=(style.WIDTH, style.WIDTH * 0.8))
    shades = (theme.bad, theme.extra, theme.backward, theme.good, theme.forward, theme.accent, theme.muted)
    for (name, back), colour, line in zip(
        backward.items(), shades, ("-", "--", "-", "-", "--", "-.", ":"), strict=True
    ):
        axes.semilogy(range(LAYERS + 1), back, line, color=colour, label=name, linewidth=1.6)
    axes.set(xlabel="слой", ylabel="размер сопряжённой", ylim=(1e-32, 1e20))
    drawing.legend(loc="outside lower center", ncols=2)
    return drawing


# %% [markdown]
# ## Batch normalization и её обратный проход {#batch-norm}
#
# Признак нормируют по батчу: $\hat x_i=(x_i-\mu)/s$, $s=\sqrt{\sigma^2+\epsilon}$, $y_i=\gamma\hat x_i+\beta$. В
# батче $m$ объектов, $\mu$ и $\sigma^2$ – среднее и дисперсия признака по батчу, $\epsilon$ – малая добавка, черта –
# сопряжённая (производная потерь). Среднее и дисперсия зависят от всех объектов, и обратный проход это помнит:
#
# $$
# \bar x_i=\frac{\gamma}{ms}\Bigl(m\,\bar y_i-\sum_j\bar y_j-\hat x_i\sum_j\bar y_j\hat x_j\Bigr).
# $$
#
# Layer normalization нормирует так же, но по признакам одного объекта, то есть по другой оси. В обратном проходе у
# неё $\gamma$ за скобку не выносится: у каждого признака она своя, и под суммами стоит $\gamma_j\bar y_j$, а $m$ –
# число признаков. Код ниже берёт $\gamma=1$, $\beta=0$.


# %%
def norm_forward(x, axis, eps=1e-5):
    s = np.sqrt(x.var(axis, keepdims=True) + eps)
    return (x - x.mean(axis, keepdims=True)) / s, s


def norm_backward(bar, x_hat, s, axis):
    """Adjoint of x from that of x_hat (gamma = 1, beta = 0)."""
    shift = bar.mean(axis, keepdims=True)
    stretch = x_hat * (bar * x_hat).mean(axis, keepdims=True)
    return (bar - shift - stretch) / s


x = 3 * chance.standard_normal((32, 10)) + 1
bar = chance.standard_normal((32, 10))
layers = {0: nn.BatchNorm1d(10), 1: nn.LayerNorm(10)}
for axis, layer in layers.items():
    layer.double()
    t = torch.tensor(x, requires_grad=True)
    y = layer(t)
    y.backward(torch.tensor(bar))
    x_hat, s = norm_forward(x, axis)
    same = np.abs(x_hat - y.detach().numpy()).max()
    back = np.abs(norm_backward(bar, x_hat, s, axis) - t.grad.numpy()).max()
    claim(max(same, back) < 1e-12, f"{type(layer).__name__}: вперёд и назад как в PyTorch")

x_hat, s = norm_forward(x, 0)
grad = norm_backward(bar, x_hat, s, 0)
claim(np.abs(grad.sum(0)).max() < 1e-12, "сдвиг признака градиента не получает")
claim(np.abs((grad * x_hat).sum(0)).max() < 1e-4, "и растяжение – почти (мешает только ε)")

# %% [markdown]
# Два последних равенства – смысл формулы: обратный проход вычёркивает из $\bar y$ составляющие вдоль $\mathbf 1$ и
# $\hat x$. Менять среднее и масштаб входа бесполезно, нормировка их всё равно сотрёт, – вот градиент туда и не идёт.
#
# ## Нормализация в пятидесяти слоях {#normalized}
#
# Вставим нормализацию между $z=Wa$ и ReLU. Вперёд теперь всё ровно при любых весах. А назад? Обещания «BN чинит
# градиенты» проверим для весов He и для весов, испорченных в сто раз.


# %%
def normalized(W, axis):
    a, forward, kept = x0, [rms(x0)], []
    for w in W:
        z_hat, s = norm_forward(a @ w.T, axis)
        kept.append((z_hat, s))
        a = np.maximum(z_hat, 0)
        forward.append(rms(a))
    bar, back = top, [rms(top)]
    for w, (z_hat, s) in zip(W[::-1], kept[::-1], strict=True):
        bar = norm_backward(bar * (z_hat > 0), z_hat, s, axis) @ w
        back.append(rms(bar))
    return np.array(forward), np.array(back[::-1])


he = weights(np.sqrt(2 / d))
deep = {"без нормировки": plain(he, "relu"), "BN": normalized(he, 0), "LN": normalized(he, 1)}
spoilt = {"BN": normalized(100 * he, 0), "LN": normalized(100 * he, 1)}
for name, (forward, back) in deep.items():
    print(f"{name:15} сигнал {forward[-1]:5.2f}, градиент × {back[0] / back[-1]:.3g}")
for name in spoilt:
    equal = all(np.allclose(a, b, rtol=0.2) for a, b in zip(spoilt[name], deep[name], strict=True))
    claim(equal, f"{name}: при весах в 100 раз больше нормы те же")
growth = (deep["BN"][1][0] / deep["BN"][1][-1]) ** (1 / LAYERS)
print(f"множитель градиента на слой с BN: {growth:.2f}")
claim(1.1 < growth < 1.35, "с BN градиент ко входу растёт")
claim(0.1 < deep["LN"][1][0] < 10, "с LN – держится")

# %% [markdown]
# Неожиданность: с BN градиент в начале обучения *взрывается*, и множитель нетрудно найти. Пусть
# $v=d\operatorname{Var}W$. Назад слой умножает средний квадрат на $v\cdot\frac12$ (маска ReLU) и делит на $s^2$. Но
# $s^2$ – дисперсия $z$ *по батчу*: из $v\,\mathbb E[a^2]=\frac v2$ вычитается то, что у разных объектов общее. После
# BN объекты почти независимы, общее – это $v\,(\mathbb E a)^2=\frac v{2\pi}$, ведь у ReLU от стандартной гауссовой
# величины среднее $1/\sqrt{2\pi}$. Остаётся
#
# $$
# \frac{v/2}{v/2-v/(2\pi)}=\frac{\pi}{\pi-1}\approx1{,}47
# $$
#
# для квадрата нормы, то есть $1{,}21$ для нормы, – столько мы и намерили
# ([Yang et al., 2019](https://arxiv.org/abs/1902.08129)). Обратный проход самой нормировки вычёркивает два
# направления из $128$, этим можно пренебречь. Одна BN глубину не спасает; она спасает от зависимости от масштаба
# весов.
#
# ## Остаточные связи {#residual}
#
# Пусть теперь $x_{l+1}=x_l+c\,F_l(x_l)$, где $F(x)=W\operatorname{ReLU}(x)$ с весами He. Ветвь приносит столько же
# дисперсии, сколько было, и при $c=1$ ствол [удваивает](../theory-minimum/09-resnet.md#growth) её на каждом блоке.
# Три лекарства: множитель $c=1/\sqrt n$, нормировка в начале ветви и нулевые веса ветви.


# %%
def residual(W, scale=1.0, norm=None):
    """x + scale · W relu(x), or W relu(norm(x)) with `norm` an axis."""
    a, forward, kept = x0, [rms(x0)], []
    for w in W:
        x_hat, s = norm_forward(a, norm) if norm is not None else (a, None)
        kept.append((x_hat, s))
        a = a + scale * np.maximum(x_hat, 0) @ w.T
        forward.append(rms(a))
    bar, back = top, [rms(top)]
    for w, (x_hat, s) in zip(W[::-1], kept[::-1], strict=True):
        branch = scale * (bar @ w) * (x_hat > 0)
        bar = bar + (branch if s is None else norm_backward(branch, x_hat, s, norm))
        back.append(rms(bar))
    return np.array(forward), np.array(back[::-1])


n = LAYERS
deep |= {
    "связи": residual(he),
    "связи, 1/√n": residual(he, 1 / np.sqrt(n)),
    "связи, BN в ветви": residual(he, norm=0),
    "связи, ветвь 0": residual(0 * he),
}
print("сеть                сигнал  градиент")
for name, (forward, back) in deep.items():
    print(f"{name:18} {forward[-1] / forward[0]:8.3g} {back[0] / back[-1]:8.3g}")

# %% [markdown]
# Сверим с формулами для среднего квадрата ствола: $2^n$, $(1+\frac1n)^n\to e$, $1+n$ и $1$. Ветвь с нормировкой
# приносит на каждом блоке постоянную добавку, поэтому рост линейный, а не показательный. Назад такой блок умножает
# средний квадрат на $1+1/v_l$, где $v_l=1+(1-\frac1\pi)\,l$ – дисперсия ствола по батчу; за пятьдесят блоков норма
# вырастает примерно в $12$ раз – степенью глубины, а не экспонентой.


# %%
def square(name):
    forward = deep[name][0]
    return (forward[-1] / forward[0]) ** 2


per_block = square("связи") ** (1 / n)
print(f"без нормировки: в {per_block:.2f} раза на блок")
claim(abs(per_block / 2 - 1) < 0.06, "без нормировки ствол растёт как 2^n")
claim(abs(square("связи, 1/√n") / np.e - 1) < 0.25, "с множителем 1/√n – в e раз")
claim(abs(square("связи, BN в ветви") / (n + 1) - 1) < 0.25, "с BN в ветви – как n + 1")
claim(np.ptp(deep["связи, ветвь 0"][1]) < 1e-12, "с нулевой ветвью градиент не меняется")
ratio = deep["связи, BN в ветви"][1][0]
claim(ratio < 30, "связи с BN в ветви: градиент растёт на порядок, а не на четыре")


@figure(
    "Те же $50$ слоёв с весами He. Сверху сигнал, снизу сопряжённая (читать справа налево). BN без связей держит "
    "сигнал, но не градиент; со связями и BN в ветви оба растут умеренно.",
    alt="Две логарифмические панели по слоям. Сигнал: связи без нормировки растут до десяти в седьмой, остальные "
    "около единицы или немного выше. Градиент: связи без нормировки и BN растут ко входу на порядки, связи с BN "
    "в ветви – на порядок, остальные почти ровные.",
)
def normalized_and_residual(theme):
    from matplotlib import pyplot

    drawing, panels = pyplot.subplots(2, 1, figsize=(style.WIDTH, style.WIDTH * 1.15), sharex=True)
    shown = {
        "без нормировки": (theme.muted, "-"),
        "BN": (theme.bad, "-"),
        "LN": (theme.extra, "--"),
        "связи": (theme.backward, "-"),
        "связи, 1/√n": (theme.forward, "--"),
        "связи, BN в ветви": (theme.good, "-"),
    }
    for axes, side, title in zip(panels, (0, 1), ("сигнал", "сопряжённая"), strict=True):
        for name, (colour, line) in shown.items():
            axes.semilogy(deep[name][side], line, color=colour, label=name, linewidth=1.6)
        axes.set(ylabel=title)
    panels[0].legend(ncols=2, loc="upper left")
    panels[1].set(xlabel="слой")
    return drawing


# %% [markdown]
# ## Предсказали ли нормы исход {#training}
#
# Обучим на цифрах scikit-learn ($8\times8$, $64$ пикселя) тридцать слоёв по $64$ нейрона, одинаково: SGD с импульсом
# $0{,}9$, шаг $0{,}01$, батч $64$. Меняются только инициализация, нормировка и связи.


# %%
class Block(nn.Module):
    def __init__(self, width, norm=False, skip=False, gain=1.0):
        super().__init__()
        self.norm = nn.BatchNorm1d(width) if norm else nn.Identity()
        self.linear, self.skip = nn.Linear(width, width), skip
        nn.init.normal_(self.linear.weight, std=gain * (2 / width) ** 0.5)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x):
        if self.skip:
            return x + self.linear(torch.relu(self.norm(x)))
        return torch.relu(self.norm(self.linear(x)))


X = torch.tensor(data.X_train, dtype=torch.float32)
y = torch.tensor(data.y_train)
X_test = torch.tensor(data.X_test, dtype=torch.float32)


def train(steps, **options):
    """Test accuracy after `steps`."""
    torch.manual_seed(0)
    blocks = [Block(64, **options) for _ in range(30)]
    net = nn.Sequential(*blocks, nn.Linear(64, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    for _ in range(steps):
        batch = torch.randint(len(X), (64,))
        loss = nn.functional.cross_entropy(net(X[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()
    with torch.no_grad():
        return (net(X_test).argmax(1).numpy() == data.y_test).mean()


STEPS = budget(300, 3)
NETS = {
    "nn.Linear (веса малы)": {"gain": 6**-0.5},
    "He": {},
    "He и BN": {"norm": True},
    "связи и BN": {"norm": True, "skip": True},
}
accuracy = {name: train(STEPS, **options) for name, options in NETS.items()}
for name, value in accuracy.items():
    print(f"{name:22} {value:.2f}")

# %%
claim(accuracy["nn.Linear (веса малы)"] < 0.2, "с малыми весами сеть не учится", trained=True)
claim(accuracy["связи и BN"] > 0.85, "со связями и BN – учится", trained=True)
best_plain = max(accuracy["He"], accuracy["He и BN"])
claim(accuracy["связи и BN"] > best_plain + 0.05, "и заметно лучше, чем без связей", trained=True)

# %% [markdown]
# Нормы предсказали исход лишь отчасти. При малых весах сигнал и градиент исчезают, и сеть не учится. Но у He нормы
# ровные, а учится она хуже BN, у которой градиент внизу намного больше, чем наверху. Чего не видит норма? Посмотрим,
# под какими углами выходят из тридцати слоёв *разные* цифры, до всякого обучения.


# %%
@torch.no_grad()
def likeness(**options):
    """Mean cosine of different digits behind thirty fresh blocks."""
    torch.manual_seed(0)
    h = nn.Sequential(*(Block(64, **options) for _ in range(30)))(X[:64])
    h = h / h.norm(dim=1, keepdim=True)
    return ((h @ h.T).sum() - 64).item() / (64 * 63)


alike = {name: likeness(**NETS[name]) for name in ("He", "He и BN", "связи и BN")}
for name, value in alike.items():
    print(f"{name:11} средний косинус {value:.2f}")
claim(alike["He"] > 0.8 and alike["He и BN"] < 0.5, "у He цифры слиплись, с BN – нет")

# %% [markdown]
# Без нормировки активации разных цифр почти параллельны, и верхним слоям трудно их различить; BN вычитает общее, и
# косинус около $\frac13$. Связи с BN сохраняют и различия, и умеренный градиент. Запуск один: при других начальных
# весах точность He гуляет от $0{,}2$ до $0{,}6$, но порядок сетей тот же.

# %% [markdown]
# ## Клиппинг {#clipping}
#
# От взрыва лечат и грубее: если общая норма градиента больше порога $c$, градиент умножают на $c/\lVert g\rVert$.
# Направление не меняется, меняется длина. Сверим с `clip_grad_norm_`.


# %%
def clip(gradients, c):
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    return [g * min(1.0, c / norm) for g in gradients], norm


shapes = [(5, 3), (5,), (2, 5)]
gradients = [10 * chance.standard_normal(shape) for shape in shapes]
clipped, norm = clip(gradients, 1.0)
parameters = [nn.Parameter(torch.zeros(shape, dtype=torch.float64)) for shape in shapes]
for p, g in zip(parameters, gradients, strict=True):
    p.grad = torch.tensor(g)
reported = nn.utils.clip_grad_norm_(parameters, 1.0).item()
worst = max(np.abs(p.grad.numpy() - g).max() for p, g in zip(parameters, clipped, strict=True))
claim(worst < 1e-6 and abs(reported - norm) < 1e-9, "клиппинг – как в PyTorch")

# %% [markdown]
# ## Что наблюдать {#observe}
#
# | Что сделали | Что видно | Почему |
# |---|---|---|
# | ReLU и разные веса | $r$ совпадает с формулой до $6\,\%$ | $r^2=d\operatorname{Var}W\cdot\frac12$ |
# | сигмоида | меньше четверти на слой | $\sigma'\le\frac14$ |
# | BN, веса в сто раз больше | те же сигнал и сопряжённые активаций | нормировка стирает масштаб |
# | BN без связей | градиент ко входу растёт около $1{,}2$ раза на слой | множитель $\sqrt{\pi/(\pi-1)}$ |
# | связи без нормировки | ствол растёт как $2^n$ | ветвь приносит столько же, сколько было |
# | связи и BN в ветви | ствол – как $n+1$, градиент – в $15$ раз | каждая ветвь добавляет единицу |
# | тридцать слоёв, $300$ шагов | связи и BN – $0{,}91$, без связей до $0{,}7$ | He: объекты слиплись; BN: взрыв |
# | те же слои, малые веса | угадывание, около $0{,}1$ | градиент слабеет в $\sqrt6$ раз на слой |

# %% [markdown]
# ## Упражнения {#exercises}
#
# ### Упражнение 1. Leaky ReLU {#exercise-1}
#
# У Leaky ReLU отрицательная половина проходит с наклоном $\alpha$. Какой должна быть дисперсия весов, чтобы
# множитель $r$ равнялся единице? Добавьте Leaky ReLU в `ACTIVATIONS` с $\alpha=0{,}3$ и проверьте на пятидесяти
# слоях: $r$ от $0{,}94$ до $1{,}06$.

# %% [markdown] tags=["solution"]
# Производная равна $1$ или $\alpha$ с вероятностью $\frac12$, поэтому $\mathbb E[\varphi'^2]=\frac{1+\alpha^2}2$ и
# $\operatorname{Var}W=\frac2{(1+\alpha^2)\,d}$. При $\alpha=0$ это He, при $\alpha=1$ – Xavier для линейной сети.

# %% tags=["solution"]
slope = 0.3
ACTIVATIONS["leaky"] = (
    lambda z: np.where(z > 0, z, slope * z),
    lambda z: np.where(z > 0, 1.0, slope),
)
back = plain(weights(np.sqrt(2 / ((1 + slope**2) * d))), "leaky")[1]
r = (back[0] / back[-1]) ** (1 / LAYERS)
print(f"r = {r:.3f}")
claim(abs(r - 1) < 0.06, "Leaky ReLU: множитель – единица")

# %% [markdown]
# ### Упражнение 2. Масштаб весов под BN {#exercise-2}
#
# За слоем $z=Wx$ стоит BN. Во сколько раз изменятся выход и градиент по $W$, если умножить $W$ на $10$? Докажите и
# проверьте на одном слое: посчитайте $\bar W=\bar z^\top x$ для $W$ и $10W$ при одной и той же $\bar y$.

# %% [markdown] tags=["solution"]
# Выход от масштаба не зависит: $y(cW)=y(W)$ (пренебрегая $\epsilon$). Продифференцируем по $W$:
# $c\,\nabla y(cW)=\nabla y(W)$, градиент уменьшится в $c$ раз. Отсюда же по формуле Эйлера градиент ортогонален
# весам каждого нейрона: это и есть
# [инвариантность к масштабу](../theory-minimum/04-batch-normalization.md#scale-invariance).

# %% tags=["solution"]
w, y_bar = chance.standard_normal((6, 8)), chance.standard_normal((40, 6))
inputs = chance.standard_normal((40, 8))


def weight_gradient(w):
    z_hat, s = norm_forward(inputs @ w.T, 0, eps=0)
    return norm_backward(y_bar, z_hat, s, 0).T @ inputs


one, ten = weight_gradient(w), weight_gradient(10 * w)
claim(np.allclose(ten, one / 10), "градиент по W вдесятеро меньше")
claim(np.abs((one * w).sum(1)).max() < 1e-10, "и ортогонален весам нейрона")

# %% [markdown]
# ### Упражнение 3. BN на малом батче {#exercise-3}
#
# Покажите на гауссовых числах, насколько шумит оценка дисперсии при $m=2$ и $m=128$: отношение стандартного
# отклонения несмещённой оценки к истинной дисперсии сравните с $\sqrt{2/(m-1)}$. Хватит двадцати тысяч батчей.

# %% [markdown] tags=["solution"]
# $(m-1)S^2/\sigma^2$ распределено как $\chi^2_{m-1}$: среднее $m-1$, дисперсия $2(m-1)$. Отсюда относительное
# отклонение $\sqrt{2/(m-1)}$ – [главный недостаток](../theory-minimum/06-batchnorm-alternatives.md#drawbacks) BN на
# малых батчах.

# %% tags=["solution"]
for m in (2, 128):
    samples = chance.standard_normal((budget(20_000, 20_000), m)).var(1, ddof=1)
    spread, theory = samples.std(), np.sqrt(2 / (m - 1))
    print(f"m = {m:3}: {spread:.2f}, по формуле {theory:.2f}")
    claim(abs(spread / theory - 1) < 0.1, f"разброс при m = {m} – по формуле")

# %% [markdown]
# ### Упражнение 4. Клиппинг по значению {#exercise-4}
#
# Вместо нормы каждую координату обрезают до $[-c,c]$. Покажите пример, где направление меняется, и посчитайте угол
# для $g=(100,1)$, $c=1$ при обоих способах.

# %% [markdown] tags=["solution"]
# По норме направление сохраняется, угол нуль. По значению из $(100,1)$ получится $(1,1)$, и угол почти $45^\circ$:
# редкая большая координата теряет вес против остальных.

# %% tags=["solution"]
g = np.array([100.0, 1.0])
by_norm, by_value = clip([g], 1.0)[0][0], np.clip(g, -1, 1)


def angle(u, v):
    cosine = u @ v / np.linalg.norm(u) / np.linalg.norm(v)
    return np.degrees(np.arccos(min(1.0, cosine)))


print(f"по норме {angle(g, by_norm):.1f}°, по значению {angle(g, by_value):.1f}°")
claim(angle(g, by_norm) < 1e-4 and 44 < angle(g, by_value) < 45, "по значению направление другое")

# %% [markdown]
# ## Вопросы экзаменатора {#examiner}
#
# ??? question "Почему в He стоит двойка и почему хватает условия на один из проходов?"
#     ReLU обнуляет половину: $\mathbb E[a^2]=\frac12\operatorname{Var}z$ и $\mathbb E[\varphi'^2]=\frac12$, двойка
#     это возмещает. Условия прямого и обратного прохода отличаются множителем $d_l/d_{l-1}$, в произведении по слоям
#     промежуточные ширины сокращаются, и остаётся отношение крайних – не экспонента.
#
# ??? question "BN лечит взрыв градиента?"
#     От масштаба весов – да: сигнал и градиент по активациям перестают от него зависеть (а градиент по самим весам
#     обратно пропорционален их масштабу). Но сама по себе сеть с BN и ReLU при инициализации умножает норму
#     градиента примерно на $1{,}21$ за слой, и пятьдесят слоёв дают четыре порядка. Глубину держат связи.
#
# ??? question "Что происходит в обратном проходе BN с составляющими вдоль $\mathbf 1$ и $\hat x$?"
#     Они вычёркиваются: $\sum_i\bar x_i=0$ и $\sum_i\bar x_i\hat x_i=0$ (второе – с точностью до $\epsilon$). Менять
#     среднее и масштаб входа бессмысленно, нормировка их сотрёт.
#
# ??? question "Почему связи помогают градиенту, если ствол растёт как $2^n$?"
#     Якобиан блока $I+J$ содержит тождество, и даже при исчезающей $J$ градиент проходит. Но если ветвь не
#     нормирована, растут и сигнал, и градиент; поэтому ветвь нормируют, делят на $\sqrt n$ или начинают с нуля.
#
# ??? question "Чем LN отличается от BN и где это важно?"
#     Статистика считается по признакам одного объекта: нет зависимости от батча, обучение и применение одинаковы,
#     длина последовательности и размер батча ничего не меняют. Зато признаки объекта нормируются вместе, и различия
#     масштабов между признаками LN не убирает.
#
# ??? question "Чем клиппинг по норме лучше клиппинга по значению?"
#     Он сохраняет направление шага: $g\mapsto g\min(1,c/\lVert g\rVert)$. По значению вектор $(100,1)$ превращается
#     в $(1,1)$ и поворачивается на $44$ градуса.
#
# ??? question "Если множитель на слой $1{,}02$ – это много?"
#     За $50$ слоёв $1{,}02^{50}\approx2{,}7$: терпимо. За тысячу – $4\cdot10^8$. Нужно $r=1\pm O(1/L)$.

# %% [markdown]
# ## Источники {#sources}
#
# - Glorot, Bengio.
#   [Understanding the difficulty of training deep feedforward neural networks](https://proceedings.mlr.press/v9/glorot10a.html).
#   AISTATS 2010.
# - He et al. [Delving Deep into Rectifiers](https://arxiv.org/abs/1502.01852). ICCV 2015 – вывод дисперсии для ReLU.
# - Ioffe, Szegedy. [Batch Normalization](https://arxiv.org/abs/1502.03167). ICML 2015.
# - Yang et al. [A Mean Field Theory of Batch Normalization](https://arxiv.org/abs/1902.08129). ICLR 2019 – взрыв
#   градиента в сетях с BN.
# - Ba, Kiros, Hinton. [Layer Normalization](https://arxiv.org/abs/1607.06450), 2016.
# - He et al. [Identity Mappings in Deep Residual Networks](https://arxiv.org/abs/1603.05027). ECCV 2016.
