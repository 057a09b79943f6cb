# ---
# lab: 8
# questions: [ticket-11, tm-22, tm-23]
# minutes: 35
# description: "GAN на NumPy, двойной обратный проход руками: схлопывание мод на кольце гауссиан и чем лечит WGAN-GP."
# ---
#
# %% [markdown]
# # От GAN к WGAN-GP на кольце гауссиан
#
# О схлопывании мод легко говорить и трудно его увидеть: у картинок моды не сосчитать. На плоскости с восемью
# гауссианами они пронумерованы, и видно всё: кого генератор забыл, куда перескочил и что об этом сообщают потери.
#
# ## Что мы построим {#goal}
#
# Две сети на NumPy, градиент [сквозь дискриминатор](../tickets/11-gan.md#gan) – руками, и на них
# [GAN](../theory-minimum/22-gan-mode-collapse.md#training), который схлопывается. Потом критика со
# [штрафом на градиент](../theory-minimum/23-wgan-gp.md#gradient-penalty), включая обратный проход через обратный
# проход. Под конец спросим, что именно помогло: другие потери или больше шагов у второй сети, – и для этого запустим
# все четыре сочетания.
#
# Нужны обратное распространение через линейный слой и ReLU (лучше сначала [лабораторная 1](01-micro-autograd.ipynb))
# и определения из [билета о GAN](../tickets/11-gan.md#optimal-discriminator).

# %%
from copy import deepcopy
from itertools import pairwise

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from scripts.dl import gan as reference
from scripts.dl.wasserstein import distances, gradient_penalty
from scripts.figures import style
from scripts.labs.kit import budget, claim, figure

torch.set_num_threads(1)

# %% [markdown]
# ## Кольцо и счёт мод {#ring}
#
# Данные – равная смесь восьми гауссиан с отклонением $0{,}1$, центры которых лежат на окружности радиуса $2$. Точка
# «на моде», если до ближайшего центра не больше $0{,}3$, то есть трёх отклонений; мода занята, если на ней хотя бы
# $1\,\%$ всех точек.

# %%
angles = 2 * np.pi * np.arange(8) / 8
CENTRES = 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
STD, REACH = 0.1, 0.3


def data(n, r):
    """(n, 2): a centre at random and a little noise."""
    return CENTRES[r.integers(8, size=n)] + STD * r.standard_normal((n, 2))


def mode_counts(points):
    """(9,): how many points are at each mode, and how many at none."""
    away = distances(points, CENTRES)
    mode = np.where(away.min(1) <= REACH, away.argmin(1), 8)
    return np.bincount(mode, minlength=9)


def held(counts):
    """How many modes hold one per cent of the points or more."""
    return int((counts[:8] >= 0.01 * counts.sum()).sum())


many = data(20_000, np.random.default_rng(1))
found = mode_counts(many)
same = np.array_equal(found, reference.mode_counts(many, CENTRES, REACH))
claim(same, "счёт мод – как в scripts/dl/gan.py")
on = 1 - found[8] / found.sum()
print(f"у самих данных на модах {on:.1%}, занято {held(found)}")
claim(abs(on - (1 - np.exp(-4.5))) < 0.005, "в круге трёх отклонений – доля 1 − exp(−9/2)")

# %% [markdown]
# ## Лучший дискриминатор {#best}
#
# Прежде чем учить сети, посмотрим на теорему там, где всё считается в точности. На трёх точках
# $p_d=(\frac12,\frac12,0)$, $p_g=(\frac14,\frac14,\frac12)$; дискриминатор – три логита. Подъём по цене игры
# $V=\sum_x\bigl[p_d\log D+p_g\log(1-D)\bigr]$ должен привести к $D^*=p_d/(p_d+p_g)$, а сама $V$ – к
# $-\log4+2\,\mathrm{JSD}$.


# %%
def sigmoid(s):
    return 1 / (1 + np.exp(-s))


p_d, p_g = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.25, 0.5])
logits = np.zeros(3)
for _ in range(20_000):
    D = sigmoid(logits)
    logits += p_d * (1 - D) - p_g * D  # dV / ds
D = sigmoid(logits)
value = p_d @ np.log(D) + p_g @ np.log(1 - D)
theory = 2 * reference.jensen_shannon(p_d, p_g) - np.log(4)
print("D* ≈", D.round(3), f" V = {value:.4f}, по теории {theory:.4f}")
claim(np.allclose(D, p_d / (p_d + p_g), atol=1e-3), "подъём пришёл к p_d / (p_d + p_g)")
claim(abs(value - theory) < 1e-3, "цена игры – −log 4 + 2 JSD")

# %% [markdown]
# На третьей точке данных нет, и логит ползёт к $-\infty$ всё медленнее: $D$ там лишь приближается к нулю. Эта мелочь
# – зародыш беды: чем увереннее $D$, тем меньше производная $\log(1-D)$ по логиту, равная $-D$. Поэтому генератор у
# нас будет минимизировать $-\log D$.
#
# ## Сети и обратный проход {#networks}
#
# Обе сети – два слоя по $64$ ReLU и линейный выход; генератор получает восемь чисел шума. Обратный проход возвращает
# не только градиенты весов, но и градиент по *входу*: через него генератор и учится.

# %%
NOISE, WIDTH, BATCH = 8, 64, 128


def network(sizes, r):
    """Pairs (W (inputs, outputs), b), drawn as PyTorch draws them."""

    def draw(m, *shape):
        return r.uniform(-1, 1, shape) / np.sqrt(m)

    return [(draw(m, m, n), draw(m, n)) for m, n in pairwise(sizes)]


def forward(net, x):
    """The output, and the input of every layer."""
    inputs = []
    for W, b in net:
        inputs.append(x)
        x = np.maximum(x @ W + b, 0)
    return inputs[-1] @ W + b, inputs  # no ReLU at the end


def backward(net, inputs, bar):
    """Adjoints of the input of the net and of its weights."""
    grads = []
    for i in reversed(range(len(net))):
        grads.insert(0, (inputs[i].T @ bar, bar.sum(0)))
        bar = bar @ net[i][0].T
        if i:
            bar = bar * (inputs[i] > 0)
    return bar, grads


# %% [markdown]
# Потери запишем сразу их производными по выходу $s$ второй сети – больше от них ничего не нужно. У дискриминатора
# это $D-1$ на данных и $D$ на подделках, у ненасыщающегося генератора $-(1-D)$, у критика и его генератора –
# постоянные.

# %%
LOSSES = {  # derivatives: of D's loss at real and at fake objects, of G's loss at its fakes
    "gan": (lambda s: sigmoid(s) - 1, sigmoid, lambda s: sigmoid(s) - 1),
    "critic": (lambda s: -np.ones_like(s), np.ones_like, lambda s: -np.ones_like(s)),
}


def step_of_d(D, kind, x, fake):
    """Gradients for D: the fakes are just data here."""
    at_real, at_fake, _ = LOSSES[kind]
    s, inputs = forward(D, np.concatenate([x, fake]))
    bar = np.concatenate([at_real(s[: len(x)]), at_fake(s[len(x) :])])
    return backward(D, inputs, bar / len(x))[1]


def step_of_g(G, D, kind, z):
    """Gradients for G: through D to its input, then through G."""
    fake, inputs_g = forward(G, z)
    s, inputs_d = forward(D, fake)
    bar, _ = backward(D, inputs_d, LOSSES[kind][2](s) / len(z))
    return backward(G, inputs_g, bar)[1]


# %% [markdown]
# Те же сети в PyTorch – только для сверки.


# %%
def as_torch(net):
    """The same weights as leaves, and the network as a function."""
    leaves = [torch.tensor(p, requires_grad=True) for layer in net for p in layer]

    def run(x):
        for W, b in zip(leaves[0:-2:2], leaves[1:-2:2], strict=True):
            x = torch.relu(x @ W + b)
        return x @ leaves[-2] + leaves[-1]

    return leaves, run


def worst(grads, leaves):
    """The largest difference from the gradients of PyTorch."""
    ours = [g for layer in grads for g in layer]
    pairs = zip(ours, leaves, strict=True)
    return max(np.abs(g - t.grad.numpy()).max() for g, t in pairs if t.grad is not None)


r = np.random.default_rng(0)
G, D = network((NOISE, WIDTH, WIDTH, 2), r), network((2, WIDTH, WIDTH, 1), r)
x, z = data(BATCH, r), r.standard_normal((BATCH, NOISE))
made = forward(G, z)[0]
softplus = torch.nn.functional.softplus  # softplus(-s) = -log D
g_leaves, torch_g = as_torch(G)
d_leaves, torch_d = as_torch(D)

real, fake = torch_d(torch.tensor(x)), torch_d(torch.tensor(made))
(softplus(-real) + softplus(fake)).mean().backward()
claim(worst(step_of_d(D, "gan", x, made), d_leaves) < 1e-12, "градиент D – как у PyTorch")

softplus(-torch_d(torch_g(torch.tensor(z)))).mean().backward()
claim(worst(step_of_g(G, D, "gan", z), g_leaves) < 1e-12, "градиент G сквозь D – как у PyTorch")

# %% [markdown]
# ## Штраф и двойной обратный проход {#penalty}
#
# Критику нужен штраф $\lambda\,\mathbb E(\lVert g\rVert-1)^2$, где $g=\nabla_{\hat x}f(\hat x)$. Сам $g$ – результат
# обратного прохода. Слои нумеруем с нуля, как в коде; маска $m_i$ показывает, где открыты ReLU перед слоем $i$:
#
# $$
# \begin{aligned}
# u_3&=1,\\
# u_i&=m_i\odot(u_{i+1}W_i^\top),\quad i=2,1,\\
# g&=u_0=u_1W_0^\top .
# \end{aligned}
# $$
#
# Это *линейная сеть*, бегущая назад. Чтобы продифференцировать её по весам, пройдём её ещё раз, теперь вперёд. Пусть
# $\bar u_i$ – сопряжённая вектора $u_i$, а $\bar v_i=m_i\odot\bar u_i$ (при $i=0$ маски нет, $\bar v_0=\bar u_0$).
# Тогда $\bar W_i=\bar v_i^\top u_{i+1}$ и $\bar u_{i+1}=\bar v_iW_i$. Маски почти всюду постоянны, их производная
# нуль; поэтому сдвиги от штрафа градиента не получают.


# %%
def penalty(net, x_hat, weight):
    """Value, gradients by weights, and the norms (B, 1)."""
    _, inputs = forward(net, x_hat)
    u = [np.ones((len(x_hat), 1))]
    for i in reversed(range(len(net))):  # the first backward pass
        back = u[0] @ net[i][0].T
        u.insert(0, back * (inputs[i] > 0) if i else back)
    norm = np.linalg.norm(u[0], axis=1, keepdims=True)
    bar = weight * 2 * (norm - 1) * u[0] / np.maximum(norm, 1e-12) / len(x_hat)
    grads = []
    for i, (W, b) in enumerate(net):  # and the pass through it
        bar = bar * (inputs[i] > 0) if i else bar
        grads.append((bar.T @ u[i + 1], np.zeros_like(b)))
        bar = bar @ W
    return weight * ((norm - 1) ** 2).mean(), grads, norm


def seeded():
    return torch.Generator().manual_seed(5)


epsilon = torch.rand((BATCH, 1), generator=seeded(), dtype=torch.float64).numpy()
ours, grads, _ = penalty(D, epsilon * x + (1 - epsilon) * made, 10.0)
for leaf in d_leaves:
    leaf.grad = None
theirs = gradient_penalty(torch_d, torch.tensor(x), torch.tensor(made), generator=seeded())
theirs.backward()
claim(abs(ours - theirs.item()) < 1e-12, "штраф – как в scripts/dl/wasserstein.py")
claim(worst(grads, d_leaves) < 1e-12, "двойной обратный проход – как create_graph=True")
silent = all(t.grad is None or not t.grad.any() for t in d_leaves[1::2])
claim(silent, "сдвигам штраф ничего не говорит")

# %% [markdown]
# ## Чередование {#training}
#
# Остались Adam (с $\beta_1=0{,}5$, $\beta_2=0{,}9$) и сам цикл: несколько шагов второй сети, несколько шагов
# генератора; вместе это раунд. Каждые десять раундов считаем моды у тысячи новых точек; шум для этого свой, так что
# наблюдение ничего не меняет.


# %%
class Adam:
    def __init__(self, net, lr=1e-3, beta_1=0.5, beta_2=0.9):
        self.parameters = [p for layer in net for p in layer]
        self.m = [np.zeros_like(p) for p in self.parameters]
        self.v = [np.zeros_like(p) for p in self.parameters]
        self.lr, self.betas, self.t = lr, (beta_1, beta_2), 0

    def step(self, grads):
        self.t += 1
        b1, b2 = self.betas
        flat = (g for layer in grads for g in layer)
        for p, g, m, v in zip(self.parameters, flat, self.m, self.v, strict=True):
            m += (1 - b1) * (g - m)
            v += (1 - b2) * (g * g - v)
            p -= self.lr * (m / (1 - b1**self.t)) / (np.sqrt(v / (1 - b2**self.t)) + 1e-8)


def train(kind, rounds, d_steps, g_steps, seed=0, weight=1.0):
    """Every ten rounds: counts of modes (S, 9), points, mean score of data less that of fakes; both networks."""
    r, watcher = np.random.default_rng(seed), np.random.default_rng(99)
    G, D = network((NOISE, WIDTH, WIDTH, 2), r), network((2, WIDTH, WIDTH, 1), r)
    of_g, of_d = Adam(G), Adam(D)
    counts, shots, apart, real = [], [], [], data(1000, np.random.default_rng(98))
    for done in range(1, rounds + 1):
        for _ in range(d_steps):
            x, fake = data(BATCH, r), forward(G, r.standard_normal((BATCH, NOISE)))[0]
            grads = step_of_d(D, kind, x, fake)
            if kind == "critic":
                epsilon = r.random((BATCH, 1))  # one for each pair
                extra = penalty(D, epsilon * x + (1 - epsilon) * fake, weight)[1]
                grads = [(a + c, b) for (a, b), (c, _) in zip(grads, extra, strict=True)]
            of_d.step(grads)
        for _ in range(g_steps):
            of_g.step(step_of_g(G, D, kind, r.standard_normal((BATCH, NOISE))))
        if done % 10 == 0:
            shots.append(forward(G, watcher.standard_normal((1000, NOISE)))[0])
            counts.append(mode_counts(shots[-1]))
            apart.append(forward(D, real)[0].mean() - forward(D, shots[-1])[0].mean())
    return {"counts": np.array(counts), "shots": shots, "apart": apart, "G": G, "D": D}


# %% [markdown]
# ## Схлопывание {#collapse}
#
# Вызовем его нарочно: пять шагов генератора на шаг дискриминатора. За пять шагов генератор успевает собраться в
# точку, где нынешний $D$ охотнее всего верит, что перед ним данные.

# %%
ROUNDS = budget(1500, 20)
collapse = train("gan", ROUNDS, 1, 5)
at_once = max(held(c) for c in collapse["counts"])
share = collapse["counts"][:, :8] / 1000
majorities = {int(c.argmax()) for c in share if c.max() > 0.5}
print(f"занято мод одновременно: не больше {at_once}")
print(f"больше половины точек в разное время собирали мод: {len(majorities)}")
claim(at_once <= 2, "больше двух мод сразу не занято ни разу", trained=True)
claim(len(majorities) >= 4, "за обучение – в четырёх и более разных", trained=True)

# %% [markdown]
# Генератор не потерял моды навсегда – он *бегает*: $D$ учится отвергать занятую моду, и генератор перескакивает в
# ту, где проверки ослабли. Что об этом скажут потери? Сравним с положением равновесия, где $D=\frac12$, потери
# генератора $\log2\approx0{,}69$, а дискриминатора $\log4\approx1{,}39$.

# %%
at_fake = forward(collapse["D"], collapse["shots"][-1])[0]
at_real = forward(collapse["D"], data(1000, np.random.default_rng(2)))[0]
g_loss = np.logaddexp(0, -at_fake).mean()
d_loss = np.logaddexp(0, -at_real).mean() + np.logaddexp(0, at_fake).mean()
print(f"потери G {g_loss:.2f}, D {d_loss:.2f}; в равновесии 0.69 и 1.39")
near = abs(g_loss - 0.69) < 0.3 and abs(d_loss - 1.39) < 0.4
claim(near, "потери схлопнутого запуска почти как в равновесии", trained=True)

# %% [markdown]
# По ним о схлопывании не догадаться: они говорят, обманут ли нынешний $D$, а не сколько мод занято.
#
# ## Лечение {#cure}
#
# Теперь критик: пять шагов со штрафом $\lambda=1$ на шаг генератора. (Авторы обычно берут $\lambda=10$, а в их коде
# для игрушечных задач стоит $0{,}1$. С десятью и эта сеть находит все восемь мод, только позже.)

# %%
cured = train("critic", budget(2500, 20), 5, 1)
last = cured["counts"][-10:]
on_modes = 1 - last[:, 8].mean() / 1000
print(f"последние сто раундов: мод {[held(c) for c in last]}")
print(f"точек на модах {on_modes:.0%}, у данных {on:.0%}")
claim(all(held(c) == 8 for c in last), "WGAN-GP держит все восемь мод", trained=True)
claim(on_modes > 0.75, "и на модах больше трёх четвертей точек", trained=True)


@figure(
    "Доля точек на каждой моде по раундам: сверху GAN с пятью шагами генератора, снизу WGAN-GP. У первого в каждый "
    "момент видно не больше одной полосы, и она перескакивает, а между прыжками точки летят мимо мод; у второго – все "
    "восемь.",
    alt="Две карты «мода – раунд». На верхней короткие отрезки, каждый раз в другой строке. На нижней после "
    "начала все восемь строк закрашены ровно.",
)
def modes_over_time(theme):
    from matplotlib import pyplot

    drawing, axes = pyplot.subplots(2, 1, figsize=(style.WIDTH, style.WIDTH))
    panels = zip(axes, (collapse, cured), ("GAN, D : G = 1 : 5", "WGAN-GP, 5 : 1"), (1.0, 0.25), strict=True)
    for axis, run, name, top in panels:
        table = run["counts"][:, :8].T / 1000
        extent = (0, 10 * table.shape[1], 7.5, -0.5)
        picture = axis.imshow(
            table, aspect="auto", extent=extent, vmin=0, vmax=top, cmap=theme.sequential, interpolation="nearest"
        )
        axis.set(xlabel="раунд", ylabel="мода", title=name)
        axis.grid(visible=False)
        drawing.colorbar(picture, ax=axis, label="доля точек")
    return drawing


# %%
sitting = [i for i, c in enumerate(share) if c.max() > 0.5] or [0]
moments = [sitting[i * (len(sitting) - 1) // 2] for i in range(3)]
later = [len(cured["shots"]) * part // 8 - 1 for part in (1, 4, 8)]


@figure(
    "Точки генератора и центры мод (кружки). Сверху схлопнутый запуск в три момента, когда больше половины точек "
    "сидит в одной моде; снизу начало, середина и конец WGAN-GP.",
    alt="Шесть квадратов, два ряда по три. В верхнем ряду все точки тесно сидят у одной моды, каждый раз у другой. В "
    "нижнем точки с начала лежат по всему кольцу и к концу собираются у восьми центров.",
)
def generated(theme):
    from matplotlib import pyplot

    drawing, axes = pyplot.subplots(2, 3, figsize=(style.WIDTH, style.WIDTH * 0.72))
    rows = ((collapse, moments, theme.bad), (cured, later, theme.good))
    for row, (run, places, colour) in zip(axes, rows, strict=True):
        for axis, place in zip(row, places, strict=True):
            axis.scatter(*CENTRES.T, s=60, facecolors="none", edgecolors=theme.muted)
            axis.scatter(*run["shots"][place][:400].T, s=2, color=colour, rasterized=True)
            axis.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[], aspect="equal")
            axis.set_title(f"раунд {10 * (place + 1)}", fontsize=8)
    return drawing


# %% [markdown]
# ## Что помогло: потери или расписание? {#control}
#
# Мы поменяли сразу две вещи: потери и число шагов. Запустим все четыре сочетания, а то, где исход заметно зависит от
# начальных весов, – трижды. WGAN-GP училась дольше остальных, поэтому возьмём её на том же раунде.

# %%
equal = {**cured, "counts": cured["counts"][: ROUNDS // 10]}
runs = {
    "GAN, 1 : 5": [collapse],
    "GAN, 5 : 1": [train("gan", ROUNDS, 5, 1, seed) for seed in (0, 1, 2)],
    "WGAN-GP, 1 : 5": [train("critic", ROUNDS, 1, 5)],
    "WGAN-GP, 5 : 1": [equal],
}
print("последние сто раундов: мод и точек на модах")
modes = {}
for name, tries in runs.items():
    modes[name] = [int(np.median([held(c) for c in run["counts"][-10:]])) for run in tries]
    near = ", ".join(f"{1 - run['counts'][-10:, 8].mean() / 1000:.0%}" for run in tries)
    print(f"{name:15} {modes[name]!s:10} {near}")
loose = runs["WGAN-GP, 1 : 5"][0]["counts"]
visited = len({int(c[:8].argmax()) for c in loose if c[:8].max() > 500})
print(f"WGAN-GP, 1 : 5: сразу мод до {max(held(c) for c in loose)}, побывал в {visited}")
claim(modes["WGAN-GP, 5 : 1"] == [8], "все восемь мод – у критика с пятью шагами", trained=True)
claim(max(held(c) for c in loose) <= 2, "недоученный критик схлопывает тоже", trained=True)
claim(min(modes["GAN, 5 : 1"]) <= 2, "GAN с пятью шагами D бывает и при одной-двух модах", trained=True)

# %% [markdown]
# (Ноль мод – медиана: больше половины времени точки летят между модами или мимо кольца.) Помогло *сочетание*.
# Недоученный критик указывает так же плохо, как недоученный дискриминатор: генератор бегает и за ним. А обычный GAN
# с пятью шагами $D$ из трёх запусков дважды подолгу сидел на одной-двух модах. Почти все точки там на модах, каждая
# подделка правдоподобна, но новых мод генератор не занимает. Разве $D$ не видит пустых? Посмотрим на логит вдоль
# отрезка от самой полной моды к противоположной. И проверим, удержится ли генератор, если $D$ заморозить.

# %%
stuck = runs["GAN, 5 : 1"][0]
full = int(stuck["counts"][-1][:8].argmax())
along = np.linspace(0, 1, 61)
path = CENTRES[full] + along[:, None] * (CENTRES[(full + 4) % 8] - CENTRES[full])
logit, score = (forward(run["D"], path)[0][:, 0] for run in (stuck, cured))
print(f"логит: занятая мода {logit[0]:.1f}, ров {logit.min():.1f}, пустая {logit[-1]:.1f}")
behind = logit.min() < logit[0] - 1 and logit[-1] > logit[0] + 5
claim(behind, "пустая мода много выше, но на этом пути ров", trained=True)

freed, r = deepcopy(stuck["G"]), np.random.default_rng(11)
of_freed, z = Adam(freed), r.standard_normal((1000, NOISE))
before = mode_counts(forward(freed, z)[0])
for _ in range(budget(100, 5)):
    of_freed.step(step_of_g(freed, stuck["D"], "gan", r.standard_normal((BATCH, NOISE))))
after = mode_counts(forward(freed, z)[0])
print(f"мимо мод: {before[8] / 1000:.0%}, через 100 шагов против застывшего D {after[8] / 1000:.0%}")
claim(after[8] > before[8] + 300, "против застывшего D точки с мод уходят", trained=True)


@figure(
    "Выход второй сети вдоль отрезка от самой полной моды (слева) к противоположной: у обычного GAN она пуста, у "
    "WGAN-GP занята. Каждая кривая отсчитана от своего левого конца; шкалы разные.",
    alt="Две кривые. У GAN ров посередине и крутой подъём на десятки единиц к пустой моде. У критика ямка "
    "глубиной около единицы, правый конец выше левого на половину единицы.",
)
def along_the_path(theme):
    from matplotlib import pyplot

    drawing, axes = pyplot.subplots(2, 1, sharex=True, figsize=(style.WIDTH, style.WIDTH * 0.8))
    panels = zip(axes, (logit, score), ("логит D", "оценка критика"), (theme.bad, theme.good), strict=True)
    for axis, values, name, colour in panels:
        axis.plot(along, values - values[0], color=colour)
        axis.axhline(0, color=theme.muted, linestyle=":")
        axis.set_ylabel(name)
    axes[1].set_xlabel("доля пути к противоположной моде")
    return drawing


# %% [markdown]
# Видит: логит пустой моды выше на десятки единиц. Но генератор слышит только градиент в тех точках, где стоит сам, а
# на этом отрезке логит, едва выйдя из занятой моды, *падает*. Ров – не вся причина: в других направлениях он мельче,
# и от застывшего $D$ за сто шагов ушла половина точек. Держит его и сам $D$: за пять шагов он успевает отвергнуть
# всякую вылазку. Наклон между модами у него ничем не ограничен, и ответ на вылазку может быть сколь угодно крут. У
# критика наклон держится около единицы, и весь перепад – порядка единицы: избыток массы стоит столько, сколько её
# везти. Поэтому критика не опасно учить дольше. Правда, это одна задача и считаные запуски; частоту схлопывания они
# не измеряют.
#
# ## Видит ли критик расстояние {#distance}
#
# Оценка критика $\mathbb E_{p_d}f-\mathbb E_{p_g}f$ должна идти за $W_1$. Настоящее $W_1$ двух выборок одной
# величины – цена лучшего взаимно однозначного соответствия, его находит `linear_sum_assignment`. Чтобы случайное
# число точек на моде не прибавляло своего, данных возьмём на каждую моду поровну.


# %%
def wasserstein(x, y):
    """W1 of two samples of one size: the cheapest matching."""
    cost = distances(x, y)
    return cost[linear_sum_assignment(cost)].mean()


r = np.random.default_rng(3)
evenly = np.repeat(CENTRES, budget(100, 10), axis=0)
real, twin = (evenly + STD * r.standard_normal(evenly.shape) for _ in range(2))
print(f"две выборки данных: W1 = {wasserstein(real, twin):.3f}")
claim(abs(wasserstein(real, real + [1.5, 0]) - 1.5) < 1e-9, "сдвиг на 1,5 – расстояние 1,5")

moments = [place for place in (0, 9, 29, 49, 74, 99, 149, 199, 249) if place < len(cured["shots"])]
true = [wasserstein(real, cured["shots"][place][: len(real)]) for place in moments]
print("раунд  W1     оценка критика")
for place, distance in zip(moments, true, strict=True):
    print(f"{10 * (place + 1):5d}  {distance:.3f}  {cured['apart'][place]:.3f}")
claim(true[-1] < 0.4 * true[0], "подделки WGAN-GP приблизились к данным", trained=True)
claim(cured["apart"][-1] < true[-1], "под конец критик занижает расстояние", trained=True)

one_place = collapse["shots"][-1][: len(real)]
print(f"схлопнутый GAN: W1 = {wasserstein(real, one_place):.3f}")
claim(wasserstein(real, one_place) > 1.0, "схлопнутый генератор далёк", trained=True)


@figure(
    "Расстояние между подделками WGAN-GP и данными (точки) и оценка критика (линия, среднее по ста раундам). Сначала "
    "они идут рядом, под конец оценка отстаёт.",
    alt="Точки расстояния и линия оценки вместе падают от двух до нескольких десятых; после тысячного раунда точки "
    "стоят около 0,2, а линия опускается ниже.",
)
def estimate_and_distance(theme):
    from matplotlib import pyplot

    drawing, axes = pyplot.subplots(figsize=(style.WIDTH, style.WIDTH * 0.55))
    smooth = min(10, len(cured["apart"]))
    curve = np.convolve(cured["apart"], np.ones(smooth) / smooth, mode="valid")
    axes.plot(10 * (np.arange(len(curve)) + smooth / 2), curve, color=theme.forward, label="оценка критика")
    axes.plot([10 * (place + 1) for place in moments], true, "o", color=theme.backward, label="$W_1$")
    axes.set(xlabel="раунд", ylabel="расстояние", ylim=(0, None))
    axes.legend()
    return drawing


# %% [markdown]
# Даже у двух настоящих выборок $W_1$ не нуль: конечная выборка завышает расстояние. В начале обучения оценка идёт
# рядом с $W_1$ и даже немного выше (мягкий штраф допускает наклон больше единицы), а под конец становится меньше:
# генератор сдвигается, и за пять шагов критик не успевает найти функцию, на которой достигается супремум. Поэтому по
# оценке судят, идёт ли обучение, но расстоянием её не называют.
#
# Наконец, норма градиента критика. Штраф тянет её к единице на отрезках между данными и подделками – там и
# посмотрим.

# %%
epsilon = r.random((len(real), 1))
made = cured["shots"][-1][: len(real)]  # pairs are independent, as in training
_, _, norms = penalty(cured["D"], epsilon * real + (1 - epsilon) * made, 1.0)
print(f"норма градиента: среднее {norms.mean():.2f}, от {norms.min():.2f} до {norms.max():.2f}")
claim(0.5 < norms.mean() < 1.5, "норма в среднем около единицы", trained=True)

# %% [markdown]
# ## Что наблюдать {#observe}
#
# | Что сделали | Что видно | Почему |
# |---|---|---|
# | подъём по $V$ на трёх точках | $D=(\frac23,\frac23,0)$, $V=-0{,}955$ | это $D^*$ и $-\log4+2\,\mathrm{JSD}$ |
# | двойной обратный проход | как `create_graph=True` до $10^{-12}$ | первый обратный проход – линейная сеть |
# | GAN, пять шагов $G$ на шаг $D$ | сразу одна мода, за обучение – семь | против застывшего $D$ хватает точки |
# | потери схлопнутого GAN | почти $\log2$ и $\log4$ | они – счёт в игре, а не охват |
# | WGAN-GP, пять шагов критика | восемь мод, на модах $85\,\%$ точек | критик успевает за генератором |
# | тот же критик, пять шагов $G$ | тоже не больше одной моды сразу | недоученный критик указывает неверно |
# | GAN, пять шагов $D$ | два запуска из трёх – на одной-двух модах | градиент местный, вылазки $D$ отвергает |
# | $W_1$ и оценка критика | сначала рядом, потом оценка меньше | критик не успевает найти супремум |
#
# ## Упражнения {#exercises}
#
# ### Упражнение 1. Почему одной точки достаточно {#exercise-1}
#
# Пятьюстами шагами Adam (`step_of_d`, вид `"gan"`) обучите дискриминатор отличать кольцо от равномерного квадрата
# $[-3,3]^2$ и заморозьте его. Проверьте, что во всех восьми центрах $D$ почти одинаков. Затем тысячей шагов
# `step_of_g` обучите против него новый генератор. Сколько мод займут $500$ его точек? Что в потерях могло бы этому
# помешать?

# %% [markdown] tags=["solution"]
# Одну. Против неподвижного $D$ каждая точка взбирается туда, где логит больше, а веса у генератора общие, и начинает
# он с тесного пятна. Другие моды ничем не хуже, но цель $\mathbb E_{p_g}h(x)$ линейна по $p_g$: она складывает
# оценки объектов поодиночке, и слагаемого, которое поощряло бы
# [разнообразие](../theory-minimum/22-gan-mode-collapse.md#mechanism), в ней нет.

# %% tags=["solution"]
r = np.random.default_rng(7)
frozen, fresh = network((2, WIDTH, WIDTH, 1), r), network((NOISE, WIDTH, WIDTH, 2), r)
of_frozen, of_fresh = Adam(frozen), Adam(fresh)
for _ in range(budget(500, 20)):
    of_frozen.step(step_of_d(frozen, "gan", data(BATCH, r), r.uniform(-3, 3, (BATCH, 2))))
for _ in range(budget(1000, 20)):
    of_fresh.step(step_of_g(fresh, frozen, "gan", r.standard_normal((BATCH, NOISE))))
print("D в центрах:", *(f"{d:.2f}" for d in sigmoid(forward(frozen, CENTRES)[0][:, 0])))
points = mode_counts(forward(fresh, r.standard_normal((500, NOISE)))[0])
print("точек на модах и вне их:", points)
claim(points[:8].max() > 450, "девять десятых точек – в одной моде", trained=True)

# %% [markdown]
# ### Упражнение 2. Точка против точки {#exercise-2}
#
# Данные – точка $0$ на прямой, генератор – точка $\theta$, критик $f(x)=\psi x$. WGAN без ограничений: $\theta$
# спускается по потерям $-\psi\theta$, $\psi$ – по потерям $\psi\theta$ (оценка подделки минус оценка данных).
# Начните с $\theta=1$, $\psi=0$, сделайте $500$ *одновременных* шагов величиной $\eta=0{,}1$ и найдите, чему стало
# равно расстояние до равновесия $\sqrt{\theta^2+\psi^2}$. Сверьте с формулой, выведенной из собственных чисел шага.
# Затем добавьте критику штраф $\frac\gamma2\psi^2$ с $\gamma=1$ (это $R_1$ – штраф на квадрат нормы градиента в
# точках данных).

# %% [markdown] tags=["solution"]
# Шаг умножает вектор $(\theta,\psi)$ на $\begin{pmatrix}1&\eta\\-\eta&1\end{pmatrix}$, собственные числа
# $1\pm i\eta$, модуль $\sqrt{1+\eta^2}$: за $500$ шагов в $1{,}01^{250}\approx12$ раз дальше. Со штрафом нижняя
# строка – $(-\eta,\ 1-\gamma\eta)$. Это шаг $\eta$ вдоль поля с собственными числами
# $\frac12\bigl(-\gamma\pm\sqrt{\gamma^2-4}\bigr)$; действительная часть отрицательна, и при малом шаге точка
# [сходится](../theory-minimum/23-wgan-gp.md#penalty-properties).


# %% tags=["solution"]
def duel(gamma, steps=500, eta=0.1):
    theta, psi = 1.0, 0.0
    for _ in range(steps):
        theta, psi = theta + eta * psi, psi - eta * (theta + gamma * psi)
    return np.hypot(theta, psi)


print(f"без штрафа {duel(0.0):.3f}, с R₁ {duel(1.0):.1e}")
claim(abs(duel(0.0) - 1.01**250) < 1e-9, "без штрафа – (1 + η²)^(n/2)")
claim(duel(1.0) < 1e-6, "с R₁ – к равновесию")

# %% [markdown]
# ### Упражнение 3. Сколько наклона даёт штраф {#exercise-3}
#
# Данные – точка $0$, подделка – точка на расстоянии $W=4$, критик линеен с наклоном $s$ к данным, и его оценка
# расстояния – $sW$. Найдите спуском с шагом $0{,}01$ минимумы $\mathcal L(s)=-sW+\lambda(\lvert s\rvert-1)^2$ при
# $\lambda=10$ из $s=2$ и из $s=-2$. Чему они равны и что значит второй? Что изменит односторонний штраф
# $\lambda\max(0,\lvert s\rvert-1)^2$?

# %% [markdown] tags=["solution"]
# Справа $s^*=1+\frac W{2\lambda}=1{,}2$: штраф мягкий, и критик завышает расстояние. Слева – локальный минимум
# $-(1-\frac W{2\lambda})=-0{,}8$: критик уверенно показывает в обратную сторону, а путь назад лежит через нулевую
# норму, за которую штрафуют. Односторонний штраф наклонов меньше единицы не наказывает, и левого минимума у него
# нет.


# %% tags=["solution"]
def slope(s, one_sided=False, W=4.0, weight=10.0):
    for _ in range(4000):
        excess = abs(s) - 1
        if one_sided:
            excess = max(excess, 0.0)
        s -= 0.01 * (-W + 2 * weight * excess * np.sign(s))
    return s


print(f"двусторонний {slope(2.0):.3f}, {slope(-2.0):.3f}; односторонний {slope(-2.0, True):.3f}")
claim(abs(slope(2.0) - 1.2) < 1e-6 and abs(slope(-2.0) + 0.8) < 1e-6, "минимумы 1,2 и −0,8")
claim(abs(slope(-2.0, True) - 1.2) < 1e-6, "односторонний из −2 приходит в 1,2")

# %% [markdown]
# ### Упражнение 4. Слепота FID {#exercise-4}
#
# FID сравнивает средние $\mu$ и ковариации $\Sigma$ признаков двух выборок. Пусть признаки – сами координаты.
# Возьмите $20\,000$ точек данных и столько же точек «генератора», который забыл каждую вторую моду (оставил чётные).
# Найдите
#
# $$
# \lVert\mu_1-\mu_2\rVert^2+\operatorname{tr}\bigl(\Sigma_1+\Sigma_2-2(\Sigma_1\Sigma_2)^{1/2}\bigr)
# $$
#
# и, для сравнения, $W_1$ по $500$ точкам – и то же $W_1$ у двух выборок данных. След корня – сумма корней из
# собственных чисел $\Sigma_1\Sigma_2$.

# %% [markdown] tags=["solution"]
# У обеих смесей среднее в центре, ковариация $\bigl(\frac{R^2}2+0{,}1^2\bigr)I$ с $R=2$: четыре вершины квадрата
# дают тот же второй момент, что восемь вершин восьмиугольника. FID нуль с точностью до шума выборки, а половины
# данных нет. $W_1$ потерю видит: половине точек надо проехать до соседней моды, а до неё $1{,}53$. У двух выборок
# данных оно тоже не нуль, но в несколько раз меньше: там случайно лишь число точек на модах.


# %% tags=["solution"]
def frechet(x, y):
    A, B = np.cov(x.T), np.cov(y.T)
    root = np.sqrt(np.linalg.eigvals(A @ B).real).sum()
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(A) + np.trace(B) - 2 * root


r = np.random.default_rng(4)
everything = data(20_000, r)
half = CENTRES[2 * r.integers(4, size=20_000)] + STD * r.standard_normal((20_000, 2))
far, floor = (wasserstein(everything[:500], other) for other in (half[:500], everything[500:1000]))
print(f"FID {frechet(everything, half):.5f}, занято мод {held(mode_counts(half))}")
print(f"W1 {far:.3f}, у двух выборок данных {floor:.3f}")
claim(frechet(everything, half) < 0.01, "FID потери половины мод не заметил")
claim(far > 2 * floor, "W1 заметило")

# %% [markdown]
# ## Вопросы экзаменатора {#examiner}
#
# ??? question "Данных генератор не видит. Откуда же он их знает?"
#     Из градиента дискриминатора по входу: $\nabla_\theta\mathcal L_G=J^\top\nabla_x\ell(D(x))$ в точке
#     $x=G_\theta(z)$, где $J=\partial G_\theta(z)/\partial\theta$, $\ell(D)=-\log D$. В коде это одна строка:
#     `backward(D, …)` отдаёт сопряжённую подделки, и она идёт в `backward(G, …)`. Веса $D$ при этом не меняются.
#
# ??? question "Чем бег по модам отличается от застывшего схлопывания?"
#     В первом $D$ отстаёт: занятую моду он отвергает с опозданием, и генератор каждый раз уходит туда, где $D$ ещё
#     доверчив. Во втором $D$ обучен хорошо и знает, что здесь подделок слишком много, а там их нет; но градиент
#     местный, на пути к пустой моде бывает ров, а вылазки $D$ успевает отвергнуть. Каждый отдельный объект при этом
#     хорош.
#
# ??? question "При чём тут порядок минимума и максимума?"
#     Чередование шагов не различает $\min_G\max_D$ и $\max_D\min_G$. Во втором порядке генератору, отвечающему на
#     данный $D$, хватает одной точки. Чем больше шагов генератора подряд, тем ближе мы ко второй задаче.
#
# ??? question "Что считает второй обратный проход?"
#     Градиент штрафа по весам; для одного объекта это
#     $2\lambda(\lVert g\rVert-1)\bigl(\frac{\partial g}{\partial w}\bigr)^\top\frac g{\lVert g\rVert}$. Матрица
#     $\partial g/\partial w$ не строится: первый обратный проход – линейная сеть с теми же весами, и через неё берут
#     ещё одно произведение вектора на якобиан (VJP). В PyTorch для этого нужен `create_graph=True`.
#
# ??? question "Почему у штрафа нет градиента по сдвигам?"
#     Градиент сети из ReLU по входу зависит от сдвигов только через маски, а они кусочно-постоянны. Поэтому сдвиги
#     учатся лишь потерями $\mathbb Ef(\tilde x)-\mathbb Ef(x)$. У последнего сдвига нет и их: постоянная в разности
#     сокращается.
#
# ??? question "Почему критика можно доучивать, а дискриминатор опасно?"
#     Оптимальный $D$ при почти раздельных носителях – ступенька с полками: у насыщающихся потерь градиент исчезает,
#     у ненасыщающихся не ограничен. У оптимального критика на путях перевозки норма градиента равна единице, а
#     направлен он к тому объекту, с которым подделку спаривает лучший план.
#
# ??? question "Можно ли по потерям критика сравнить две модели?"
#     Нет. Слабость сети и недоученность занижают оценку, мягкий штраф и конечная выборка завышают, и у каждой
#     архитектуры своя смесь. Внутри одного обучения её ход полезен. Сравнивают независимой мерой: счётом мод, FID,
#     полнотой.
#
# ??? question "Вылечил ли WGAN-GP схлопывание вообще?"
#     Нет: при пяти шагах генератора на шаг критика он в нашем опыте схлопнулся так же. Теория говорит об
#     *оптимальном* критике; конечная сеть после нескольких шагов им не является. Вес штрафа тоже надо согласовать с
#     масштабом данных.
#
# ## Источники {#sources}
#
# - Goodfellow et al. [Generative Adversarial Networks](https://arxiv.org/abs/1406.2661). 2014.
# - Arjovsky, Chintala, Bottou. [Wasserstein GAN](https://arxiv.org/abs/1701.07875). 2017.
# - Gulrajani et al. [Improved Training of Wasserstein GANs](https://arxiv.org/abs/1704.00028). 2017: штраф, алгоритм
#   1.
# - Mescheder, Geiger, Nowozin.
#   [Which Training Methods for GANs do actually Converge?](https://arxiv.org/abs/1801.04406) 2018: точка против
#   точки и $R_1$.
# - Metz et al. [Unrolled Generative Adversarial Networks](https://arxiv.org/abs/1611.02163). 2016: кольцо из восьми
#   гауссиан как проверка на схлопывание.
