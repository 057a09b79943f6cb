# ---
# lab: 3
# questions: [ticket-04, tm-08]
# minutes: 35
# description: "Шесть оптимизаторов в сорок строк, порог шага на квадратичной чаше и край устойчивости настоящей сети."
# ---
#
# %% [markdown]
# # Оптимизаторы и край устойчивости
#
# Оптимизатор – это правило в три строки, но спрашивают о нём долго: откуда порог шага, за что Adam делит, чем AdamW
# отличается от Adam с L2 и почему сеть не расходится при шаге, от которого квадратичная функция взорвалась бы.
# Напишем правила сами, сверим их с PyTorch число в число и поставим опыты, которые отвечают на эти вопросы.
#
# ## Что мы построим {#goal}
#
# Сначала шаги SGD, импульса, Нестерова, RMSProp, Adam и AdamW на NumPy – формулы те же, что в
# [билете](../tickets/04-optimizers.md#algorithms). Потом две функции от двух переменных, на которых видно, что
# именно ограничивает шаг: [квадратичная чаша](../tickets/04-optimizers.md#gradient-descent) и долина Розенброка.
# Потом маленькая сеть на цифрах и [край устойчивости](../tickets/04-optimizers.md#edge-of-stability): кривизна сама
# подстраивается под шаг. Наконец, различие, о котором спрашивают чаще всего: L2 и затухание весов в Adam. Что
# адаптивные методы дают и [чем за это платят](../theory-minimum/08-adaptive-optimizers.md#pros-cons), затронут
# упражнения 3 и 4.
#
# Нужны градиент, гессиан и умение обучить сеть на PyTorch.

# %%
import numpy as np
import torch
from torch.nn import functional as F

from scripts.figures import style
from scripts.figures.digits import digits
from scripts.labs.kit import budget, claim, figure

torch.set_num_threads(1)
rng = np.random.default_rng(0)

# %% [markdown]
# ## Шесть правил {#rules}
#
# Все правила – функции от весов `w`, градиента `g`, номера шага `t` (с единицы) и словаря `s`, в котором оптимизатор
# хранит своё состояние. Обозначения – как в билете: $\mu$ – импульс, $\beta_1,\beta_2$ – память Adam, $\lambda$ –
# затухание. Эпсилон, как в PyTorch, стоит снаружи корня.


# %%
def sgd(w, g, t, s, lr):
    return w - lr * g


def momentum(w, g, t, s, lr, mu=0.9):
    s["v"] = mu * s.get("v", 0) + g
    return w - lr * s["v"]


def nesterov(w, g, t, s, lr, mu=0.9):
    s["v"] = mu * s.get("v", 0) + g
    return w - lr * (g + mu * s["v"])


def rmsprop(w, g, t, s, lr, alpha=0.99, eps=1e-8):
    s["v"] = alpha * s.get("v", 0) + (1 - alpha) * g**2
    return w - lr * g / (np.sqrt(s["v"]) + eps)


def adam(w, g, t, s, lr, b1=0.9, b2=0.999, eps=1e-8):
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0) + (1 - b2) * g**2
    m_hat = s["m"] / (1 - b1**t)  # both start from zero
    v_hat = s["v"] / (1 - b2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps)


def adamw(w, g, t, s, lr, decay=0.1):
    return adam(w, g, t, s, lr) - lr * decay * w


# %% [markdown]
# Проверка простая: одинаковые градиенты на входе, пятьдесят шагов, веса сравниваем с `torch.optim`. Совпасть должно
# до округления – если нет, мы где-то поняли формулу не так.

# %%
TORCH = {
    sgd: lambda p: torch.optim.SGD(p, lr=0.01),
    momentum: lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
    nesterov: lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
    rmsprop: lambda p: torch.optim.RMSprop(p, lr=0.01),
    adam: lambda p: torch.optim.Adam(p, lr=0.01),
    adamw: lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
}
start, gradients = rng.standard_normal(7), rng.standard_normal((50, 7))
for rule, make in TORCH.items():
    w, state = start.copy(), {}
    p = torch.tensor(start, requires_grad=True)
    reference = make([p])
    for t, g in enumerate(gradients, 1):
        w = rule(w, g, t, state, lr=0.01)
        p.grad = torch.tensor(g)
        reference.step()
    difference = np.abs(w - p.detach().numpy()).max()
    claim(difference < 1e-12, f"{rule.__name__}: 50 шагов как в torch.optim")

# %% [markdown]
# ## Порог шага на чаше {#bowl}
#
# Возьмём $\mathcal L(w)=\frac12(w_1^2+25\,w_2^2)$: кривизны $h_{\min}=1$ и $h_{\max}=25$, число обусловленности
# $\kappa=25$. По координате с кривизной $h$ спуск умножает ошибку на $1-\eta h$, поэтому порог –
# $\eta<2/h_{\max}=0{,}08$, и задаёт его крутое направление. Время же задаёт пологое: даже лучший постоянный шаг
# $\eta^*=2/(h_{\max}+h_{\min})$ умножает ошибку лишь на $\frac{\kappa-1}{\kappa+1}$ за шаг.

# %%
CURVATURE = np.array([1.0, 25.0])


def run(rule, w, gradient, steps, **options):
    """All positions, (steps + 1, 2)."""
    path, state = [np.array(w, dtype=float)], {}
    for t in range(1, steps + 1):
        path.append(rule(path[-1], gradient(path[-1]), t, state, **options))
    return np.array(path)


def bowl(w):
    return CURVATURE * w


limit = 2 / CURVATURE.max()
for share in (0.98, 1.02):
    end = run(sgd, (1, 1), bowl, 400, lr=share * limit)[-1]
    print(f"шаг {share:.2f} от порога: |w| = {np.linalg.norm(end):.1e}")
below, above = (run(sgd, (1, 1), bowl, 400, lr=k * limit)[-1] for k in (0.98, 1.02))
claim(np.linalg.norm(below) < 1e-3 < 1e3 < np.linalg.norm(above), "порог спуска – 2/h_max")

best = run(sgd, (1, 1), bowl, 100, lr=2 / CURVATURE.sum())
rate = np.linalg.norm(best[100]) / np.linalg.norm(best[99])
claim(abs(rate - 24 / 26) < 1e-9, "множитель при лучшем шаге – (κ − 1)/(κ + 1)")

# %% [markdown]
# Импульс лечит именно пологое направление. При шаге $\eta=4/(\sqrt{h_{\max}}+\sqrt{h_{\min}})^2$ и
# $\sqrt\mu=\frac{\sqrt\kappa-1}{\sqrt\kappa+1}$ [ошибка убывает](../tickets/04-optimizers.md#momentum) примерно как
# $\sqrt\mu^{\,t}$: вместо $\kappa$ работает $\sqrt\kappa$. Посчитаем шаги до точности $10^{-6}$.

# %%
root = np.sqrt(CURVATURE)
tuned = {"lr": 4 / root.sum() ** 2, "mu": ((5 - 1) / (5 + 1)) ** 2}


def steps_to(path, accuracy=1e-6):
    near = np.linalg.norm(path, axis=1) < accuracy
    return int(near.argmax()) if near.any() else None


plain = steps_to(run(sgd, (1, 1), bowl, 600, lr=2 / CURVATURE.sum()))
heavy = steps_to(run(momentum, (1, 1), bowl, 600, **tuned))
print(f"спуск: {plain} шагов, импульс: {heavy}")
claim(plain > 3.5 * heavy, "импульс сокращает путь больше чем в 3,5 раза")

paths = {
    "спуск": run(sgd, (-1, 0.3), bowl, 40, lr=2 / CURVATURE.sum()),
    "импульс": run(momentum, (-1, 0.3), bowl, 40, **tuned),
    "Adam": run(adam, (-1, 0.3), bowl, 40, lr=0.1),
}


@figure(
    "Чаша с $\\kappa=25$, $40$ шагов из одной точки. Спуск с лучшим постоянным шагом и импульс с лучшими "
    "$\\eta$ и $\\mu$; Adam с $\\eta=0{,}1$ – не подобран, он здесь для формы пути: первые шаги равны по обеим "
    "координатам.",
    alt="Линии уровня вытянутой чаши и три пути к её дну: спуск прыгает поперёк оврага, импульс прыгает размашистее, "
    "но приходит раньше, Adam сперва идёт наискосок под сорок пять градусов.",
)
def three_paths(theme):
    from matplotlib import pyplot

    drawing, axes = pyplot.subplots(figsize=(style.WIDTH, style.WIDTH * 0.7))
    x, y = np.meshgrid(np.linspace(-1.15, 0.6, 120), np.linspace(-0.75, 0.75, 120))
    levels = np.geomspace(0.02, 8, 9)
    axes.contour(x, y, (x**2 + 25 * y**2) / 2, levels=levels, colors=theme.grid, linewidths=0.8)
    colours = (theme.backward, theme.forward, theme.good)
    for (name, path), colour, mark in zip(paths.items(), colours, "os^", strict=True):
        axes.plot(*path.T, mark, ls="-", color=colour, label=name, markersize=3, linewidth=1.2)
    axes.plot(0, 0, "*", color=theme.ink, markersize=9)
    axes.set(xlabel="$w_1$", ylabel="$w_2$", xlim=(-1.15, 0.6), ylim=(-0.75, 0.75))
    axes.legend(loc="lower right")
    return drawing


# %% [markdown]
# ## Долина Розенброка {#valley}
#
# Чаша выпукла, и её кривизна постоянна. У функции Розенброка
#
# $$
# f(x,y)=(1-x)^2+100\,(y-x^2)^2
# $$
#
# дно – изогнутый овраг, минимум в точке $(1,1)$. Каждому правилу дадим выбрать шаг из одной и той же сетки и
# посчитаем, сколько шагов нужно от $(-1{,}2;\,1)$, чтобы подойти на $0{,}01$ и *остаться* (хотя бы на три тысячи
# шагов). Сравнивать оптимизаторы с одним и тем же шагом бессмысленно: у каждого правила своя шкала.


# %%
def rosenbrock(w):
    x, y = w
    return np.array([-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)])


h, point = 1e-6, np.array([-0.7, 0.4])


def f(w):
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


numeric = [(f(point + h * e) - f(point - h * e)) / (2 * h) for e in np.eye(2)]
claim(np.allclose(numeric, rosenbrock(point), rtol=1e-6), "градиент Розенброка верен")

STAY = 3000
GRID = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3]


def steps_needed(rule, lr, most):
    """Steps until the distance is 0.01 and stays so; None after `most` or far away."""
    w, state, came = np.array([-1.2, 1.0]), {}, None
    for t in range(1, most + 1):
        w = rule(w, rosenbrock(w), t, state, lr=lr)
        distance = np.linalg.norm(w - 1)
        came = (came or t) if distance < 0.01 else None
        if came and t - came >= STAY:
            return came
        if distance > 100:
            return None
    return None


fewest = {}
for rule in (sgd, momentum, nesterov, adam):
    counts = {lr: steps_needed(rule, lr, budget(30_000, 100)) for lr in GRID}
    found = {lr: count for lr, count in counts.items() if count}
    if found:
        lr = min(found, key=found.get)
        fewest[rule.__name__] = found[lr]
        print(f"{rule.__name__:9} лучший шаг {lr:g}, шагов: {found[lr]}")


# %% [markdown]
# Без импульса спуску мешает то же, что на чаше: шаг ограничен стенками оврага, а идти надо вдоль дна. Импульс и Adam
# доходят быстрее. Требование остаться важно: с шагом $0{,}3$ Adam впервые касается цели раньше, чем за шестьсот
# шагов, но потом отходит и колеблется – длина его шага не убывает вместе с градиентом. Шаги здесь постоянны, а
# задача одна; судить по ней об оптимизаторах вообще нельзя.

# %%
for name, times in (("momentum", 5), ("nesterov", 5), ("adam", 2)):
    faster = fewest.get("sgd", 0) > times * fewest.get(name, 0)
    claim(faster, f"{name} быстрее спуска больше чем в {times} раз(а)", trained=True)

# %% [markdown]
# ## Край устойчивости {#edge}
#
# У сети кривизна не постоянна. Возьмём перцептрон $64$-$32$-$10$ с $\tanh$, пятьсот цифр, половину квадрата ошибки и
# *полный* градиент – никакого шума. Наибольшее собственное число гессиана $h_{\max}$ найдём степенным методом: сам
# гессиан не строим, а произведение $Hv$ получаем [вторым обратным проходом](../tickets/03-autodiff.md#second-order)
# через скаляр $g^\top v$. По теории для чаши спуск с шагом $\eta$ обязан разойтись, как только $h_{\max}>2/\eta$.

# %%
data = digits(500)
X = torch.tensor(data.X_train, dtype=torch.float32)
Y = F.one_hot(torch.tensor(data.y_train), 10).float()


def fresh_net(seed=0):
    torch.manual_seed(seed)
    layers = torch.nn.Linear(64, 32), torch.nn.Tanh(), torch.nn.Linear(32, 10)
    return torch.nn.Sequential(*layers)


def loss_of(net):
    return ((net(X) - Y) ** 2).sum(1).mean() / 2


def sharpness(net, v, iterations):
    """The largest eigenvalue (by size) of the Hessian, and its vector."""
    weights = list(net.parameters())
    g = torch.autograd.grad(loss_of(net), weights, create_graph=True)
    for _ in range(iterations):
        dot = sum((a * b).sum() for a, b in zip(g, v, strict=True))
        Hv = torch.autograd.grad(dot, weights, retain_graph=True)
        norm = torch.sqrt(sum((a**2).sum() for a in Hv))
        v = [a / norm for a in Hv]
    return norm.item(), v


# %% [markdown]
# Степенной метод легко проверить: у маленькой сети гессиан можно построить целиком и спросить у `eigvalsh`.

# %%
tiny_X, tiny_Y = X[:20, :6], Y[:20, :3]
shapes = ((4, 6), (4,), (3, 4), (3,))
sizes = [int(np.prod(shape)) for shape in shapes]


def tiny_loss(flat):
    parts = torch.split(flat, sizes)
    W1, b1, W2, b2 = (p.view(s) for p, s in zip(parts, shapes, strict=True))
    out = torch.tanh(tiny_X @ W1.T + b1) @ W2.T + b2
    return ((out - tiny_Y) ** 2).sum(1).mean() / 2


flat = torch.randn(sum(sizes), generator=torch.Generator().manual_seed(1))
H = torch.autograd.functional.hessian(tiny_loss, flat)
vector = torch.ones_like(flat)
for _ in range(200):
    Hv = torch.autograd.functional.hvp(tiny_loss, flat, vector)[1]
    vector = Hv / Hv.norm()
largest = torch.linalg.eigvalsh(H).abs().max()
claim(abs(Hv.norm() / largest - 1) < 1e-3, "степенной метод даёт наибольшее собственное число")

# %% [markdown]
# Теперь обучение с тремя шагами. Пороги $2/\eta$ для них – $20$, $10$ и $5$; у начальной сети
# $h_{\max}\approx9{,}5$, так что первый шаг далёк от порога, второй начинает у самого порога, а третий – заведомо за
# ним.

# %%
STEPS, EVERY = budget(1500, 40), 10


def descend(eta):
    """Losses before every step and sharpness before every tenth."""
    net = fresh_net()
    v = [torch.randn_like(p) for p in net.parameters()]
    losses, curvatures = [], []
    for step in range(STEPS):
        if step % EVERY == 0:
            value, v = sharpness(net, v, 6 if step else 40)
            curvatures.append(value)
        loss = loss_of(net)
        g = torch.autograd.grad(loss, list(net.parameters()))
        losses.append(loss.item())
        with torch.no_grad():
            for weight, gradient in zip(net.parameters(), g, strict=True):
                weight -= eta * gradient
    return np.array(losses), np.array(curvatures)


runs = {eta: descend(eta) for eta in (0.1, 0.2, 0.4)}
for eta, (losses, curvatures) in runs.items():
    late = curvatures[len(curvatures) // 2 :].mean()
    rises = (np.diff(losses) > 0).mean()
    print(f"η = {eta}: 2/η = {2 / eta:.0f}, h_max от {curvatures[0]:.1f} до {late:.1f}")
    print(f"   потери {losses[0]:.2f} → {losses[-1]:.3f}, росли в {rises:.0%} шагов")

# %%
for eta in (0.2, 0.4):
    losses, curvatures = runs[eta]
    late = curvatures[len(curvatures) // 2 :].mean()
    claim(0.9 < late * eta / 2 < 1.25, f"η = {eta}: h_max стоит у 2/η", trained=True)
    claim((np.diff(losses) > 0).mean() > 0.2, f"η = {eta}: потери не монотонны", trained=True)
    claim(losses[-1] < losses[0] / 5, f"η = {eta}: но упали больше чем впятеро", trained=True)
smooth, sharpened = runs[0.1]
claim(sharpened[-1] > 1.2 * sharpened[0], "η = 0,1: сеть заостряется", trained=True)
claim((np.diff(smooth) > 0).mean() < 0.01, "η = 0,1: потери падают гладко", trained=True)


@figure(
    "Сеть $64$-$32$-$10$, полный градиент. Пунктир – порог $2/\\eta$ того же цвета. Пока до порога далеко, "
    "кривизна растёт, у порога она останавливается, а потери дальше падают рывками.",
    alt="Две панели. Сверху наибольшая кривизна: при шаге 0,1 медленно растёт и не доходит до 20, при 0,2 "
    "держится у 10, при 0,4 сразу падает и держится у 5. Снизу потери: все падают, при больших шагах с зубцами.",
)
def edge_of_stability(theme):
    from matplotlib import pyplot

    drawing, (top, bottom) = pyplot.subplots(2, 1, figsize=(style.WIDTH, style.WIDTH), sharex=True)
    for (eta, (losses, curvatures)), colour in zip(
        runs.items(), (theme.forward, theme.good, theme.backward), strict=True
    ):
        label = f"η = {eta}".replace(".", ",")
        top.plot(EVERY * np.arange(len(curvatures)), curvatures, color=colour, label=label)
        top.axhline(2 / eta, color=colour, linestyle="--", linewidth=0.9)
        bottom.plot(losses, color=colour, linewidth=1.0, label=label)
    top.set(ylabel="$h_{\\max}$", ylim=(0, 22))
    top.legend(loc="center right")
    bottom.set(xlabel="шаг", ylabel="потери", yscale="log")
    return drawing


# %% [markdown]
# Квадратичная функция при $h_{\max}>2/\eta$ разошлась бы; сеть – нет. Раскачка вдоль острого направления уводит веса
# туда, где кривизна меньше, и система держится у края. Вывод для экзамена: порог $2/\eta$ – не приговор: в известных
# пределах кривизна сама подстраивается под шаг. Но пределы узкие: $\eta=0{,}4$ эта сеть выдерживает, а при $0{,}5$
# расходится сразу.

# %%
with np.errstate(all="ignore"):
    STEPS = 40
    blown = descend(0.5)[0]
claim(not np.isfinite(blown[-1]) or blown[-1] > 10 * blown[0], "η = 0,5: спуск расходится")

# %% [markdown]
# ## L2 и затухание весов в Adam {#decay}
#
# У SGD без импульса добавить $\lambda w$ к градиенту и умножить веса на $1-\eta\lambda$ – одно и то же. У Adam нет:
# слагаемое $\lambda w$ [делится на](../tickets/04-optimizers.md#adamw) $\sqrt{\hat v}$ вместе с градиентом. Возьмём
# веса, которым данные не говорят ничего: их градиент – чистый шум масштаба $s$. Затухать они должны одинаково.

# %%
lr, decay, steps, count = 1e-3, 0.1, budget(2000, 50), 200
left = {}
for scale in (1.0, 10.0):
    chance = np.random.default_rng(1)
    l2, decoupled, states = np.ones(count), np.ones(count), ({}, {})
    for t in range(1, steps + 1):
        g = scale * chance.standard_normal(count)
        l2 = adam(l2, g + decay * l2, t, states[0], lr)
        decoupled = adamw(decoupled, g, t, states[1], lr, decay)
    left[scale] = l2.mean(), decoupled.mean()
    print(f"шум {scale:4.0f}: Adam с L2 {l2.mean():.2f}, AdamW {decoupled.mean():.2f}")
print(f"(1 − ηλ)^{steps} = {(1 - lr * decay) ** steps:.2f}")
expected = (1 - lr * decay) ** steps
claim(all(abs(v[1] - expected) < 0.02 for v in left.values()), "AdamW: затухание не зависит от шума", trained=True)
claim(left[10.0][0] > 0.95, "Adam с L2: при шуме 10 вес почти не затух", trained=True)

# %% [markdown]
# ## Что наблюдать {#observe}
#
# | Что сделали | Что видно | Почему |
# |---|---|---|
# | шаг чуть ниже и чуть выше $2/h_{\max}$ | сходится, расходится | $\lvert1-\eta h\rvert$ переходит через единицу |
# | импульс на чаше с $\kappa=25$ | шагов меньше больше чем в $3{,}5$ раза | $\sqrt\kappa$ вместо $\kappa$ |
# | долина Розенброка | импульс быстрее спуска больше чем впятеро, Adam – больше чем вдвое | идти надо вдоль дна |
# | полный градиент, $\eta=0{,}2$ и $0{,}4$ | $h_{\max}$ стоит у $2/\eta$, потери падают рывками | край устойчивости |
# | полный градиент, $\eta=0{,}1$ | кривизна растёт, потери гладкие | заострение; до порога $20$ не дошло |
# | шум $10$ в градиенте | AdamW $0{,}82$, Adam с L2 $0{,}99$ | $\lambda w$ поделено на $\sqrt{\hat v}\approx10$ |

# %% [markdown]
# ## Упражнения {#exercises}
#
# ### Упражнение 1. Порог с импульсом {#exercise-1}
#
# Запишите импульс как рекурсию второго порядка для одной координаты кривизны $h$ и найдите наибольший шаг, при
# котором корни характеристического уравнения не выходят за единичный круг. Проверьте на чаше: `run(momentum, …)` с
# $\mu=0{,}9$ чуть ниже и чуть выше вашего порога, две тысячи шагов.

# %% [markdown] tags=["solution"]
# Исключив $v$, получаем $w_{t+1}=(1+\mu-\eta h)w_t-\mu w_{t-1}$ и уравнение $z^2-(1+\mu-\eta h)z+\mu=0$.
# Произведение корней $\mu<1$, поэтому комплексные корни внутри круга всегда; вещественный выходит первым через
# $z=-1$: $1+(1+\mu-\eta h)+\mu=0$, то есть $\eta h=2(1+\mu)$. При $\mu=0{,}9$ порог в $1{,}9$ раза выше, чем без
# импульса.

# %% tags=["solution"]
limit = 2 * (1 + 0.9) / CURVATURE.max()
low, high = (np.linalg.norm(run(momentum, (1, 1), bowl, 2000, lr=k * limit)[-1]) for k in (0.99, 1.01))
claim(low < 1e-3 and high > 1e3, "порог с импульсом – 2(1 + μ)/h_max")

# %% [markdown]
# ### Упражнение 2. Первый шаг Adam {#exercise-2}
#
# Чему равен первый шаг Adam с поправкой на смещение и без неё? Выразите через $\eta,\beta_1,\beta_2$ и знак
# градиента, подставьте значения по умолчанию и проверьте, убрав из `adam` деления на $1-\beta^t$.

# %% [markdown] tags=["solution"]
# С поправкой $\hat m_1=g$, $\hat v_1=g^2$, и шаг равен $-\eta\operatorname{sign}g$. Без неё $m_1=(1-\beta_1)g$,
# $v_1=(1-\beta_2)g^2$, и шаг – $-\eta\frac{1-\beta_1}{\sqrt{1-\beta_2}}\operatorname{sign}g$: при $0{,}9$ и
# $0{,}999$ это $3{,}16\,\eta$. Вопреки частому мнению, поправка начало не ускоряет, а сдерживает: без неё при
# постоянном градиенте шаг был бы длиннее $\eta$ в $3{,}16$ раза на первом шаге и в $6{,}6$ раза на двенадцатом.


# %% tags=["solution"]
def adam_uncorrected(w, g, t, s, lr, b1=0.9, b2=0.999, eps=1e-8):
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0) + (1 - b2) * g**2
    return w - lr * s["m"] / (np.sqrt(s["v"]) + eps)


g = np.array([-3.0, 0.02, 500.0])
first = adam(np.zeros(3), g, 1, {}, lr=1.0)
raw = adam_uncorrected(np.zeros(3), g, 1, {}, lr=1.0)
claim(np.allclose(first, -np.sign(g), atol=1e-5), "с поправкой первый шаг равен η")
claim(np.allclose(raw, -np.sign(g) * 0.1 / np.sqrt(1e-3), atol=1e-3), "без неё – 3,16 η")

# %% [markdown]
# ### Упражнение 3. Масштаб потерь {#exercise-3}
#
# Умножьте потери на тысячу. Как изменится путь SGD и путь Adam с прежним шагом? Проверьте на чаше, начав из $(1,1)$,
# с $\eta=0{,}05$ и сотней шагов. Какому свойству Adam это обязано и что из этого следует для подбора шага?

# %% [markdown] tags=["solution"]
# Adam делит первый момент на корень из второго, и множитель сокращается (остаётся только влияние $\epsilon$). Путь
# SGD меняется так, будто шаг вырос в тысячу раз, и на чаше он расходится. Поэтому шаг Adam переносится между
# задачами лучше, чем шаг SGD: он измеряется в единицах веса, а не веса, делённого на градиент. Но масштаб, который
# Adam выравнивает, бывает и содержательным – об этом
# [минусы](../theory-minimum/08-adaptive-optimizers.md#pros-cons).


# %% tags=["solution"]
def scaled(w):
    return 1000 * bowl(w)


same = run(adam, (1, 1), bowl, 100, lr=0.05) - run(adam, (1, 1), scaled, 100, lr=0.05)
claim(np.abs(same).max() < 1e-5, "путь Adam от масштаба потерь не зависит")
with np.errstate(over="ignore", invalid="ignore"):
    far = run(sgd, (1, 1), scaled, 100, lr=0.05)[-1]
claim(not np.all(np.abs(far) < 1e6), "SGD с тем же шагом расходится")

# %% [markdown]
# ### Упражнение 4. AdamW, а под конец SGD {#exercise-4}
#
# На чаше с шумом: градиент $h_iw_i+\xi_i$, $\xi_i\sim\mathcal N(0,\sigma^2)$, $\sigma=0{,}2$, двадцать координат с
# $h_i$ от $0{,}1$ до $1$. Дайте Adam с $\eta_A=0{,}01$ дойти до установившегося уровня, затем переключитесь на SGD с
# $\eta_S=\eta_A/\sigma=0{,}05$ и, отдельно, с $\eta_S=0{,}015$. Начните из единиц, дайте по $1500$ шагов до и после
# переключения и сравните потери $\frac12\sum_ih_iw_i^2$, усреднённые по последней трети шагов и по сотне запусков.
# Прогоните и Adam с шагом $0{,}003$. Меняет ли что-нибудь само
# [переключение](../theory-minimum/08-adaptive-optimizers.md#adamw-to-sgd)?

# %% [markdown] tags=["solution"]
# У минимума градиент почти весь – шум, $\sqrt{\hat v}\approx\sigma$, и Adam ведёт себя как SGD с шагом
# $\eta_A/\sigma$. Поэтому переход на равный шаг не меняет уровня потерь, а переход на меньший – снижает, но то же
# сделал бы меньший шаг самого Adam. Выигрыш перехода надо искать в другом: памяти и обобщении.

# %% tags=["solution"]
curvature, sigma = np.linspace(0.1, 1, 20), 0.2
runs_count, steps = 100, budget(1500, 60)


def level(tail_rule, tail_lr):
    """Mean loss over the last third, after `steps` of Adam and `steps` of the tail."""
    chance = np.random.default_rng(2)
    w, state, values = np.ones((runs_count, 20)), {}, []
    for t in range(1, 2 * steps + 1):
        g = curvature * w + sigma * chance.standard_normal(w.shape)
        if t <= steps or tail_rule is adam:
            w = adam(w, g, t, state, 0.01 if t <= steps else tail_lr)
        else:
            w = tail_rule(w, g, t, {}, tail_lr)
        if t > 5 * steps / 3:
            values.append((curvature * w**2).sum(1).mean() / 2)
    return np.mean(values)


stay, equal, smaller = level(adam, 0.01), level(sgd, 0.05), level(sgd, 0.015)
print(f"Adam {stay:.4f}, SGD 0,05 {equal:.4f}, SGD 0,015 {smaller:.4f}")
claim(abs(equal / stay - 1) < 0.15, "переход на равный шаг ничего не меняет", trained=True)
claim(smaller < stay / 2, "меньший шаг снижает уровень больше чем вдвое", trained=True)
claim(level(adam, 0.003) < stay / 2, "меньший шаг Adam – тоже", trained=True)

# %% [markdown]
# ## Вопросы экзаменатора {#examiner}
#
# ??? question "Откуда берётся порог $2/h_{\max}$ и почему у сети он не приговор?"
#     По собственному направлению с кривизной $h$ шаг умножает ошибку на $1-\eta h$; модуль меньше единицы при
#     $\eta<2/h$. У квадратичной функции $h$ постоянна, и за порогом она расходится. У сети раскачка вдоль острого
#     направления сдвигает веса туда, где кривизна меньше, и $h_{\max}$ держится около $2/\eta$.
#
# ??? question "Почему импульс ускоряет именно плохо обусловленную задачу?"
#     При подходящем шаге корни характеристического уравнения комплексны, и их модуль $\sqrt\mu$ один и тот же для
#     всех кривизн между $h_{\min}$ и $h_{\max}$. Пологие и крутые направления затухают одинаково быстро, а цена –
#     корень из $\kappa$ вместо $\kappa$.
#
# ??? question "Зачем Adam поправка на смещение?"
#     Моменты начинаются с нуля и вначале домножены на $1-\beta^t$, причём по-разному: второй сильнее. Без поправки
#     первый шаг при значениях по умолчанию был бы в $3{,}16$ раза больше $\eta$.
#
# ??? question "Когда L2 и затухание весов – одно и то же, а когда нет?"
#     У SGD без импульса – одно: оба умножают веса на $1-\eta\lambda$ за шаг. С импульсом $\lambda w$ копится в
#     буфере, и шаги уже разные. У Adam слагаемое $\lambda w$ делится на $\sqrt{\hat v}$, и веса с большими
#     градиентами почти не затухают. AdamW вычитает $\eta\lambda w$ мимо деления.
#
# ??? question "Как найти наибольшее собственное число гессиана сети с миллионом весов?"
#     Степенным методом: он требует только произведений $Hv$, а каждое стоит около двух обратных проходов: это
#     градиент скаляра $g^\top v$. Сам гессиан из $10^{12}$ чисел не строится.
#
# ??? question "Почему нельзя сравнивать оптимизаторы при одинаковом шаге?"
#     Шаг измеряется в разных единицах: у SGD – вес, делённый на градиент, у Adam – вес. Сравнивают лучшие шаги
#     каждого, найденные по одинаково подробной сетке и с одинаковым расписанием.
#
# ??? question "Что меняет переход с AdamW на SGD в конце обучения?"
#     Если шум градиента у всех координат одинаков, с отклонением $\sigma$, – ничего: у минимума Adam близок к SGD с
#     шагом $\eta_A/\sigma$, и уровень потерь снижает только меньший шаг. При разных масштабах шума один шаг SGD всем
#     координатам не подойдёт. Переход освобождает память (у AdamW два дополнительных числа на вес) и меняет вид
#     шума; об обобщении спорят.

# %% [markdown]
# ## Источники {#sources}
#
# - Kingma, Ba. [Adam: A Method for Stochastic Optimization](https://arxiv.org/abs/1412.6980). ICLR 2015, алгоритм 1
#   и поправка на смещение.
# - Loshchilov, Hutter. [Decoupled Weight Decay Regularization](https://arxiv.org/abs/1711.05101). ICLR 2019.
# - Cohen et al.
#   [Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability](https://arxiv.org/abs/2103.00065).
#   ICLR 2021.
# - Damian, Nichani, Lee.
#   [Self-Stabilization: The Implicit Bias of Gradient Descent at the Edge of Stability](https://arxiv.org/abs/2209.15594).
#   ICLR 2023.
# - Polyak. Some methods of speeding up the convergence of iteration methods. USSR Computational Mathematics and
#   Mathematical Physics 4(5), 1964.
