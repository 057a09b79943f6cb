# ---
# lab: 1
# questions: [ticket-01, ticket-03, tm-01, tm-07]
# minutes: 35
# description: "Автоград в полсотни строк: сперва для чисел, потом для массивов; двухслойная сеть, сверка с PyTorch."
# ---
#
# %% [markdown]
# # Автоград своими руками
#
# Обратное распространение легко рассказать и легко перепутать: где складывают, где транспонируют, в каком порядке
# обходят граф. Проверить себя можно одним способом – написать его. Весь механизм умещается в полсотни строк, и
# каждая из них отвечает на вопрос экзаменатора.
#
# ## Что мы построим {#goal}
#
# Начнём с чисел: узел графа помнит значение, родителей и локальные производные, а
# [обратный проход](../theory-minimum/01-backpropagation.md#single) идёт от выхода и складывает вклады. Убедимся, что
# порядок обхода важен, а сложение обязательно. Потом заменим числа массивами – тогда локальная производная
# превращается в [произведение вектора на якобиан](../tickets/01-backpropagation.md#vjp-table) – и обучим на этом
# двухслойную сеть. В конце измерим, сколько стоит [обратный режим](../tickets/03-autodiff.md#reverse-mode) против
# прямого, и посмотрим, что про [листья и накопление](../theory-minimum/07-pytorch-autograd.md#leaves) делает
# PyTorch.
#
# Нужны цепное правило и умение умножать матрицы.

# %%
import math

import numpy as np
import torch

from scripts.dl.autograd import Tensor as Reference
from scripts.figures import style
from scripts.figures.digits import digits
from scripts.labs.kit import budget, claim, figure

torch.set_num_threads(1)
torch.manual_seed(0)
chance = np.random.default_rng(0)

# %% [markdown]
# ## Числа {#scalars}
#
# Узел $v$ получается из аргументов $u_1,\dots,u_k$. Ему достаточно помнить своё значение и пары «аргумент, частная
# производная $\partial v/\partial u_i$ в текущей точке»: производные известны уже во время прямого прохода.
# Сопряжённая $\bar v=\partial\mathcal L/\partial v$ хранится в `grad`.


# %%
class Value:
    """A number that remembers what it was made of."""

    def __init__(self, data, parents=()):
        self.data = data
        self.parents = parents  # pairs (operand, local derivative)
        self.grad = 0.0

    def __add__(self, other):
        return Value(self.data + other.data, ((self, 1.0), (other, 1.0)))

    def __mul__(self, other):
        return Value(self.data * other.data, ((self, other.data), (other, self.data)))

    def tanh(self):
        a = math.tanh(self.data)
        return Value(a, ((self, 1 - a**2),))


# %% [markdown]
# Обратный проход – это правило
#
# $$
# \bar u=\sum_{v:\;u\in\mathrm{pa}(v)}\bar v\,\frac{\partial v}{\partial u},\qquad \bar{\mathcal L}=1.
# $$
#
# Узел может раздавать сопряжённую аргументам только тогда, когда собрал её от *всех* своих потребителей. Поэтому
# узлы обходят в обратном топологическом порядке: аргументы в нём стоят после потребителей.


# %%
def order_of(root):
    """Operands before their consumers; the root is the last."""
    order, seen = [], set()

    def visit(node):
        if node not in seen:
            seen.add(node)
            for operand, _ in node.parents:
                visit(operand)
            order.append(node)

    visit(root)
    return order


def backward(root):
    root.grad = 1.0
    for node in reversed(order_of(root)):
        for operand, derivative in node.parents:
            operand.grad += node.grad * derivative


# %% [markdown]
# Пример с развилкой: $c=ab$, $\mathcal L=(c+a)\tanh c$. И $a$, и $c$ используются дважды, так что ошибка в сложении
# вкладов себя выдаст. Слева наши сопряжённые, справа – `torch.autograd`.

# %%
a, b = Value(0.7), Value(-1.3)
c = a * b
loss = (c + a) * c.tanh()
backward(loss)

ta, tb = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.7, -1.3))
tc = ta * tb
tc.retain_grad()  # it is not a leaf
((tc + ta) * tc.tanh()).backward()
for name, ours, theirs in (("a", a, ta), ("b", b, tb), ("c", c, tc)):
    print(f"{name}: {ours.grad:+.12f}  {theirs.grad.item():+.12f}")
    claim(abs(ours.grad - theirs.grad.item()) < 1e-12, f"сопряжённая {name} как у PyTorch")

# %% [markdown]
# Теперь сломаем обход. Если узел раздаёт вклад сразу, как только до него дошли (в ширину от выхода, каждый узел один
# раз), часть вкладов приходит к нему слишком поздно и дальше не передаётся.


# %%
def hasty(root):
    """Breadth first from the root, every node once: the wrong order."""
    root.grad = 1.0
    queue, seen = [root], {root}
    for node in queue:
        for operand, derivative in node.parents:
            operand.grad += node.grad * derivative
            if operand not in seen:
                seen.add(operand)
                queue.append(operand)


def chain():
    """L = y (y + x) x with y = 2 x: y is used at two depths."""
    x, two = Value(3.0), Value(2.0)
    y = two * x
    z = (y + x) * x
    return x, y * z


wrong_x, wrong_loss = chain()
hasty(wrong_loss)
right_x, right_loss = chain()
backward(right_loss)
print(f"верно: {right_x.grad}, второпях: {wrong_x.grad}")
claim(right_x.grad == 18 * 3**2, "L = 6x³, и производная равна 18x² = 162")
claim(wrong_x.grad == 126, "обход в ширину потерял 2 · 18 = 36")

# %% [markdown]
# Здесь $\mathcal L=yz$, где $z=(y+x)x$: узел $y$ нужен и корню напрямую, и сумме $y+x$ на две ступени глубже. Обход
# в ширину доходит до $y$ по короткому пути и раздаёт $\bar y=z=27$; вклад суммы, равный $yx=18$, приходит потом, и
# до $x$ он, умноженный на $\partial y/\partial x=2$, уже не доберётся. Ни на цепочке, ни на дереве этого не увидишь:
# там у каждого узла один потребитель.
#
# ## Массивы {#tensors}
#
# Для массивов локальная производная – якобиан, и хранить его нельзя: у слоя $128\to128$ на батче из $64$ объектов
# это матрица $8192\times8192$. Но она и не нужна. Узел хранит функцию, которая по $\bar v$ вычисляет вклад в
# $\bar u$, – VJP, произведение вектора на якобиан. Остальное не меняется. Формы помогают себя проверить: $\bar u$
# всегда той же формы, что $u$.
#
# Единственная новая забота – трансляция (broadcasting). Если сдвиг формы $(d,)$ прибавлен к батчу $(B,d)$, то каждый
# его элемент использован $B$ раз, и вклады складываются: вдоль растянутых осей сопряжённую суммируют.


# %%
def unbroadcast(bar, shape):
    """Sum a gradient over the axes along which its operand was repeated."""
    bar = bar.sum(axis=tuple(range(bar.ndim - len(shape))))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1)
    return bar.sum(axis=stretched, keepdims=True).reshape(shape)


class Tensor:
    """An array, its adjoint, and pairs (operand, VJP)."""

    def __init__(self, data, parents=()):
        self.data = np.asarray(data, dtype=float)
        self.parents = parents
        self.grad = np.zeros_like(self.data)

    def __add__(self, other):
        return Tensor(self.data + other.data, (
            (self, lambda bar: unbroadcast(bar, self.data.shape)),
            (other, lambda bar: unbroadcast(bar, other.data.shape))))  # fmt: skip

    def __mul__(self, other):
        return Tensor(self.data * other.data, (
            (self, lambda bar: unbroadcast(bar * other.data, self.data.shape)),
            (other, lambda bar: unbroadcast(bar * self.data, other.data.shape))))  # fmt: skip

    def __matmul__(self, other):
        return Tensor(self.data @ other.data, (
            (self, lambda bar: bar @ other.data.T),
            (other, lambda bar: self.data.T @ bar)))  # fmt: skip

    def relu(self):
        return Tensor(np.maximum(self.data, 0), ((self, lambda bar: bar * (self.data > 0)),))

    def sum(self):
        return Tensor(self.data.sum(), ((self, lambda bar: bar * np.ones_like(self.data)),))


# %% [markdown]
# В обратном проходе меняется одна строка: вместо умножения на производную – вызов VJP. Порядок обхода тот же:
# `order_of` о содержимом узлов ничего не знает.


# %%
def backward_arrays(root):
    root.grad = np.ones_like(root.data)
    for node in reversed(order_of(root)):
        for operand, vjp in node.parents:
            operand.grad = operand.grad + vjp(node.grad)


X, W, shift = (Tensor(chance.standard_normal(shape)) for shape in ((5, 4), (4, 3), (3,)))
out = ((X @ W + shift).relu() * shift).sum()
backward_arrays(out)

tX, tW, ts = (torch.tensor(t.data, requires_grad=True) for t in (X, W, shift))
((tX @ tW + ts).relu() * ts).sum().backward()
for name, ours, theirs in (("X", X, tX), ("W", W, tW), ("сдвиг", shift, ts)):
    difference = np.abs(ours.grad - theirs.grad.numpy()).max()
    claim(difference < 1e-12, f"{name}: градиент как у PyTorch")

# %% [markdown]
# Откуда в VJP умножения матриц транспонирования? Пусть $Z=XW$. Тогда
#
# $$
# d\mathcal L=\operatorname{tr}(\bar Z^\top dZ)
# =\operatorname{tr}(W\bar Z^\top\,dX)+\operatorname{tr}(\bar Z^\top X\,dW),
# $$
#
# и, сравнив с $\operatorname{tr}(\bar X^\top dX)+\operatorname{tr}(\bar W^\top dW)$, получаем $\bar X=\bar ZW^\top$
# и $\bar W=X^\top\bar Z$. Другого расположения множителей не допускают и формы.
#
# Автоград может быть неверен, даже если он согласен сам с собой. Независимая проверка –
# [конечные разности](../tickets/01-backpropagation.md#gradient-check): шаг нельзя брать ни слишком большим (ошибка
# формулы растёт как $h^2$), ни слишком маленьким (ошибка округления – как $1/h$).


# %%
def smooth(w):
    """A function of one vector without kinks, and its gradient."""
    z = Tensor(w)
    value = (z * z * z).sum()
    backward_arrays(value)
    return value.data, z.grad


point = chance.standard_normal(6)
exact = smooth(point)[1]


def numeric(h):
    """The gradient by central differences, one weight at a time."""
    return np.array([(smooth(point + h * e)[0] - smooth(point - h * e)[0]) / (2 * h) for e in np.eye(6)])


steps = 10.0 ** np.arange(-12, 0)
errors = [np.linalg.norm(numeric(h) - exact) / np.linalg.norm(exact) for h in steps]
best = steps[int(np.argmin(errors))]
print(f"лучший шаг {best:.0e}, ошибка {min(errors):.0e}")
claim(1e-7 < best < 1e-3, "лучший шаг центральной разности – середина")
claim(errors[0] > 1e-6 and errors[-1] > 1e-6, "у краёв точность хуже 10⁻⁶")


@figure(
    "Относительная ошибка центральной разности для $\\sum w_i^3$ в двойной точности. Справа остаток ряда Тейлора, "
    "слева округление; между ними – шаг, которым и надо проверять.",
    alt="График ошибки от шага в двойном логарифмическом масштабе: буква V, минимум около десяти в минус пятой, "
    "правая ветвь ровная с наклоном два, левая неровная.",
)
def difference_step(theme):
    from matplotlib import pyplot

    drawing, axes = pyplot.subplots(figsize=(style.WIDTH, style.WIDTH * 0.6))
    axes.loglog(steps, errors, "o-", color=theme.forward, label="измерено")
    right = steps >= 1e-4
    scale = errors[-1] / steps[-1] ** 2
    axes.loglog(steps[right], scale * steps[right] ** 2, "--", color=theme.backward, label="наклон $h^2$")
    left = steps <= 1e-6
    axes.loglog(steps[left], 1e-16 / steps[left], ":", color=theme.good, label="$10^{-16}/h$")
    axes.set(xlabel="шаг $h$", ylabel="относительная ошибка")
    axes.legend()
    return drawing


# %% [markdown]
# ## Двухслойная сеть {#network}
#
# Осталась голова: softmax с кросс-энтропией. Её удобно сделать одним узлом, потому что вместе они просты:
# $\bar z=(p-y)/B$ – [разность вероятностей и ответа](../tickets/01-backpropagation.md#heads), делённая на размер
# батча.


# %%
def cross_entropy(z, labels):
    """Mean loss of logits (B, K); labels are numbers of classes."""
    rows = np.arange(len(labels))
    shifted = z.data - z.data.max(1, keepdims=True)  # exp must not overflow
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))

    def vjp(bar):
        p = np.exp(log_p)
        p[rows, labels] -= 1
        return bar * p / len(labels)

    return Tensor(-log_p[rows, labels].mean(), ((z, vjp),))


def mlp(X, weights):
    W1, b1, W2, b2 = weights
    return (Tensor(X) @ W1 + b1).relu() @ W2 + b2


HIDDEN = 32
data = digits(900)
shapes = ((64, HIDDEN), (HIDDEN,), (HIDDEN, 10), (10,))


def fresh(seed):
    r = np.random.default_rng(seed)
    return [Tensor(r.standard_normal(s) * np.sqrt(2 / s[0]) if len(s) == 2 else np.zeros(s)) for s in shapes]


# %% [markdown]
# Сначала один шаг: те же веса, тот же батч – у нас и в PyTorch. Потом обучение обоих: одинаковый SGD, одинаковый
# порядок батчей. Если градиенты верны, траектории совпадут до накопленного округления.

# %%
weights = fresh(1)
mirror = [torch.tensor(w.data, requires_grad=True) for w in weights]


def torch_loss(X, labels):
    W1, b1, W2, b2 = mirror
    z = torch.relu(torch.tensor(X) @ W1 + b1) @ W2 + b2
    return torch.nn.functional.cross_entropy(z, torch.tensor(labels))


loss = cross_entropy(mlp(data.X_train[:50], weights), data.y_train[:50])
backward_arrays(loss)
torch_loss(data.X_train[:50], data.y_train[:50]).backward()
worst = max(np.abs(w.grad - t.grad.numpy()).max() for w, t in zip(weights, mirror, strict=True))
print(f"наибольшее расхождение градиентов {worst:.1e}")
claim(worst < 1e-12, "градиенты всех четырёх параметров как у PyTorch")

# %%
EPOCHS, BATCH, LR = budget(30, 2), 50, 0.2


def batches(seed):
    r = np.random.default_rng(seed)
    for _ in range(EPOCHS):
        for part in np.array_split(r.permutation(len(data.X_train)), len(data.X_train) // BATCH):
            yield data.X_train[part], data.y_train[part]


losses = []
for images, labels in batches(2):
    for w, t in zip(weights, mirror, strict=True):
        w.grad, t.grad = np.zeros_like(w.data), None  # nothing is left of the last step
    loss = cross_entropy(mlp(images, weights), labels)
    backward_arrays(loss)
    torch_loss(images, labels).backward()
    losses.append(float(loss.data))
    with torch.no_grad():
        for w, t in zip(weights, mirror, strict=True):
            w.data -= LR * w.grad
            t -= LR * t.grad
drift = max(np.abs(w.data - t.detach().numpy()).max() for w, t in zip(weights, mirror, strict=True))
hits = (mlp(data.X_test, weights).data.argmax(1) == data.y_test).mean()
print(f"шагов {len(losses)}, потери {losses[0]:.2f} → {losses[-1]:.3f}, точность {hits:.3f}")
print(f"веса разошлись на {drift:.1e}")
claim(drift < 1e-8, "после обучения веса как у PyTorch")
claim(hits > 0.9, "точность на новых цифрах больше 0,9", trained=True)


@figure(
    "Обучение двухслойной сети нашим автоградом: потери на батче. Кривая PyTorch неотличима: веса разошлись только "
    "на накопленное округление.",
    alt="Кривая потерь по шагам: от двух с лишним быстро падает до половины и дальше медленно, с шумом, опускается к "
    "одной десятой.",
)
def training_curve(theme):
    from matplotlib import pyplot

    drawing, axes = pyplot.subplots(figsize=(style.WIDTH, style.WIDTH * 0.5))
    axes.semilogy(losses, color=theme.forward, linewidth=1.0)
    axes.set(xlabel="шаг", ylabel="потери на батче")
    return drawing


# %% [markdown]
# Тот же автоград, только с полным набором операций, лежит в конспекте: `scripts/dl/autograd.py`. Сверим и с ним.

# %%
theirs = [Reference(t.data) for t in (X, W, shift)]
((theirs[0] @ theirs[1] + theirs[2]).relu() * theirs[2]).sum().backward()
same = all(np.allclose(t.grad, r.grad, atol=1e-12) for t, r in zip((X, W, shift), theirs, strict=True))
claim(same, "scripts/dl/autograd.py даёт те же градиенты")

# %% [markdown]
# ## Прямой и обратный режим {#modes}
#
# Обратный проход стоит [небольшого числа прямых](../tickets/03-autodiff.md#cheap-gradient), сколько бы входов ни
# было. Прямой режим за проход даёт производную лишь вдоль одного направления $\dot x$: вместе со значением каждого
# узла он несёт $\dot v=\sum_i\frac{\partial v}{\partial u_i}\dot u_i$ и ничего не хранит. Возьмём
# $y=\sum_j\tanh(w_j^\top x)$ с тридцатью входами.


# %%
def forward_mode(W, x, direction):
    """Value and derivative along a direction: W (m, n), x and direction (n,)."""
    z, dz = W @ x, W @ direction
    a = np.tanh(z)
    return a.sum(), ((1 - a**2) * dz).sum()


rows, x = chance.standard_normal((4, 30)) / 5, chance.standard_normal(30)
by_columns = np.array([forward_mode(rows, x, e)[1] for e in np.eye(30)])

tx = torch.tensor(x, requires_grad=True)
torch.tanh(torch.tensor(rows) @ tx).sum().backward()
claim(np.allclose(by_columns, tx.grad.numpy(), atol=1e-12), "тридцать прямых проходов дают градиент одного обратного")

direction = chance.standard_normal(30)
along = forward_mode(rows, x, direction)[1]
claim(abs(along - by_columns @ direction) < 1e-12, "вдоль направления – скалярное произведение с градиентом")

# %% [markdown]
# Один обратный проход заменил тридцать прямых. У сети с миллионом весов их был бы миллион, поэтому обучение и живёт
# на обратном режиме. За это платят памятью: все значения прямого прохода надо держать до обратного.
#
# ## Что из этого делает PyTorch {#pytorch}
#
# Что будет, если вызвать обратный проход дважды? Наш `backward_arrays` прибавляет ко всему, что накоплено, – и во
# внутренних узлах тоже. Поэтому второй вызов раздаёт и остатки первого: за четыре узла от корня до $X$ лишнее
# успевает нарасти, и градиент выходит не вдвое, а вшестеро больше.

# %%
once = X.grad.copy()
backward_arrays(out)
claim(np.allclose(X.grad, 6 * once), "наш второй проход без обнуления: градиент X вшестеро больше")

# %% [markdown]
# PyTorch копит только в листьях: сопряжённые внутренних узлов каждый проход считаются заново и после него не нужны
# (`retain_grad` просит сохранить и их). Второй `backward` ровно удваивает `.grad` листа. Граф после прохода
# освобождается, поэтому для повтора нужен `retain_graph=True`. А значения, сохранённые для обратного прохода,
# сторожит счётчик версий: изменишь их на месте – получишь ошибку, а не тихо неверный градиент.

# %%
leaf = torch.tensor([1.0, 2.0], requires_grad=True)
inner = leaf * leaf
inner.retain_grad()
total = (inner * 3).sum()
total.backward(retain_graph=True)
first = leaf.grad.clone()
total.backward()
claim(torch.equal(leaf.grad, 2 * first), "второй backward удвоил .grad листа")
claim(not inner.is_leaf and inner.grad is not None, "retain_grad сохранил градиент внутреннего узла")

spoiled = torch.tensor([1.0, 2.0], requires_grad=True)
root = spoiled.sqrt()
sum_of = (root * root).sum()
with torch.no_grad():
    root += 1  # the product has kept `root`
try:
    sum_of.backward()
    noticed = False
except RuntimeError as error:
    noticed = "modified by an inplace operation" in str(error)
claim(noticed, "изменение сохранённого значения PyTorch замечает")

# %% [markdown]
# ## Что наблюдать {#observe}
#
# | Что сделали | Что видно | Почему |
# |---|---|---|
# | развилка $(c+a)\tanh c$ | сопряжённые как у PyTorch до $10^{-12}$ | вклады потребителей складываются |
# | обход в ширину | $126$ вместо $162$ | $\bar y$ роздана раньше, чем собрана |
# | VJP вместо якобианов | градиенты слоя совпали | $\bar X=\bar ZW^\top$, $\bar W=X^\top\bar Z$ |
# | разности с разным шагом | лучший шаг около $10^{-5}$ | $h^2$ против $1/h$ |
# | 30 эпох у нас и в PyTorch | веса разошлись на $10^{-15}$, точность выше $0{,}9$ | разница – лишь округление |
# | прямой режим | $30$ проходов вместо одного | он даёт $Jv$, а не $J^\top u$ |
# | два прохода подряд | у нас вшестеро больше, у PyTorch вдвое | он копит только в листьях |
#
# ## Упражнения {#exercises}
#
# ### Упражнение 1. Экспонента и частное {#exercise-1}
#
# Допишите функции `exp(v)` и `divide(u, v)` для `Value`: каждая возвращает новый узел с парами «аргумент,
# производная». Соберите из них сигмоиду $\sigma(x)=1/(1+e^{-x})$ в точке $x=0{,}4$ и проверьте, что `backward` даёт
# $\sigma(1-\sigma)$.

# %% [markdown] tags=["solution"]
# У частного две производные: $\partial(u/v)/\partial u=1/v$ и $\partial(u/v)/\partial v=-u/v^2$. Минус перед $x$ –
# это умножение на константу; ей тоже достанется градиент, но он никому не нужен.


# %% tags=["solution"]
def exp(v):
    value = math.exp(v.data)
    return Value(value, ((v, value),))


def divide(u, v):
    return Value(u.data / v.data, ((u, 1 / v.data), (v, -u.data / v.data**2)))


at = Value(0.4)
sigma = divide(Value(1.0), Value(1.0) + exp(Value(-1.0) * at))
backward(sigma)
claim(abs(at.grad - sigma.data * (1 - sigma.data)) < 1e-12, "производная сигмоиды – σ(1 − σ)")

# %% [markdown]
# ### Упражнение 2. Выбор строк {#exercise-2}
#
# Таблица вложений – это выбор строк: $V=E[k]$, где $k$ – номера, среди которых бывают повторы. Напишите
# `take(E, numbers)` для `Tensor` формы $(n,d)$ и массива номеров. Какой VJP у выбора? Проверьте на номерах $2,0,2$ и
# $n=4$: сравните с `torch`, потери – сумма квадратов выбранных строк с весами $1,2,3$.

# %% [markdown] tags=["solution"]
# Сопряжённая выбора – раскладывание с накоплением: строка, взятая дважды, получает сумму двух вкладов, невзятая –
# ноль. Присваивание `full[numbers] = bar` оставило бы от повторов последний; нужно `np.add.at`.


# %% tags=["solution"]
def take(E, numbers):
    def vjp(bar):
        full = np.zeros_like(E.data)
        np.add.at(full, numbers, bar)
        return full

    return Tensor(E.data[numbers], ((E, vjp),))


E, numbers = Tensor(chance.standard_normal((4, 3))), np.array([2, 0, 2])
share = Tensor(np.array([[1.0], [2.0], [3.0]]))
picked = take(E, numbers)
backward_arrays((picked * picked * share).sum())
tE = torch.tensor(E.data, requires_grad=True)
(tE[numbers] ** 2 * torch.tensor(share.data)).sum().backward()
claim(np.allclose(E.grad, tE.grad.numpy()), "повторы сложились")
claim(not E.grad[[1, 3]].any(), "невзятые строки получили нули")

# %% [markdown]
# ### Упражнение 3. Гессиан на вектор {#exercise-3}
#
# Как по двум градиентам найти произведение гессиана на вектор $Hu$, не строя гессиана? Проверьте на функции `smooth`
# в точке `point` и со случайным $u$: её гессиан вы знаете. Сколько стоит $Hu$ по сравнению с самим $H$?

# %% [markdown] tags=["solution"]
# $Hu$ – производная градиента вдоль $u$, значит, $Hu\approx\frac{\nabla f(w+hu)-\nabla f(w-hu)}{2h}$: два градиента
# при любом числе весов, тогда как весь $H$ – это $n$ таких произведений. Здесь $H=\operatorname{diag}(6w_i)$, а
# градиент квадратичен, поэтому центральная разность точна до округления. Без разностей $Hu$ получают
# [дифференцируя градиент](../tickets/03-autodiff.md#second-order).

# %% tags=["solution"]
u, h = chance.standard_normal(6), 1e-4
Hu = (smooth(point + h * u)[1] - smooth(point - h * u)[1]) / (2 * h)
claim(np.allclose(Hu, 6 * point * u, rtol=1e-7, atol=1e-9), "два градиента дали Hu")

# %% [markdown]
# ### Упражнение 4. Контрольные точки {#exercise-4}
#
# Цепочка $a_{i+1}=\tanh(w_ia_i)$ из $64$ звеньев, $a_0=1$, все $w_i=1{,}1$. Найдите $\bar a_0$ (сопряжённая выхода –
# единица) двумя способами: запомнив все $a_i$ и запомнив только каждое восьмое, а остальные пересчитывая по
# отрезкам. Сколько чисел одновременно лежит в памяти и сколько $\tanh$ вычислено?

# %% [markdown] tags=["solution"]
# Отрезки идут с конца: восемь промежуточных значений пересчитываются от сохранённого начала, по ним проходит
# обратный проход, и они больше не нужны. В памяти восемь начал и восемь значений отрезка – $16=2\sqrt{64}$ вместо
# $64$, а $\tanh$ вычислено почти вдвое больше: $56$, чтобы найти начала, и $64$ при пересчёте. Это и есть
# [checkpointing](../tickets/03-autodiff.md#checkpointing).

# %% tags=["solution"]
LINKS, EVERY, w = 64, 8, 1.1


def stretch(a, links):
    """Values before each of the links, and the one after them."""
    values = [a]
    for _ in range(links):
        values.append(math.tanh(w * values[-1]))
    return values


def back(bar, outputs):
    for a in reversed(outputs):
        bar *= w * (1 - a**2)
    return bar


full = back(1.0, stretch(1.0, LINKS)[1:])
starts = [1.0]
for _ in range(LINKS // EVERY - 1):
    starts.append(stretch(starts[-1], EVERY)[-1])
bar = 1.0
for a in reversed(starts):
    bar = back(bar, stretch(a, EVERY)[1:])
print(f"сопряжённая {full:.3e} и {bar:.3e}; в памяти {LINKS} и {len(starts) + EVERY}")
claim(bar == full, "градиент тот же до последнего бита")

# %% [markdown]
# ## Вопросы экзаменатора {#examiner}
#
# ??? question "Почему обходить граф надо в обратном топологическом порядке?"
#     Узел раздаёт аргументам $\bar v\,\partial v/\partial u$, а значит, к этому времени $\bar v$ должна быть собрана
#     от всех потребителей. В обратном топологическом порядке потребители идут раньше. Обход в ширину ошибается там,
#     где пути до узла разной длины.
#
# ??? question "Почему вклады складываются?"
#     Если $u$ входит в несколько узлов, то $\mathcal L$ зависит от $u$ через каждый из них, и по правилу полной
#     производной $\bar u=\sum_v\bar v\,\partial v/\partial u$. Общие веса – тот же случай.
#
# ??? question "Почему не хранят якобианы?"
#     Для слоя $d\to d$ на батче $B$ якобиан – матрица $Bd\times Bd$, почти вся из нулей или повторов. Нужен не он, а
#     произведение $J^\top\bar v$, и его считают прямо: у умножения матриц это ещё одно умножение матриц.
#
# ??? question "Какой VJP у прибавления сдвига к батчу?"
#     По батчу – тождественный, по сдвигу – сумма $\bar Z$ по строкам: один и тот же сдвиг использован $B$ раз.
#     Вообще сопряжённая растяжения – сумма, а сопряжённая суммы – растяжение.
#
# ??? question "Почему `.grad` надо обнулять?"
#     `backward` прибавляет к `.grad` листьев. Без обнуления шаг сделают по сумме градиентов всех прошлых шагов. Этим
#     пользуются намеренно, когда большой батч не помещается в память: градиенты его частей складывают.
#
# ??? question "Во сколько обходится обратный проход?"
#     По операциям – примерно два прямых: у умножения матриц два VJP того же размера; вместе с прямым около трёх. По
#     памяти – все сохранённые значения прямого прохода, если не пересчитывать их по контрольным точкам.
#
# ??? question "Когда выгоднее прямой режим?"
#     Когда входов мало, а выходов много, или нужна производная вдоль одного направления. За проход он даёт $Jv$ и не
#     хранит промежуточных значений. Градиент скаляра по $n$ весам стоил бы $n$ проходов.
#
# ??? question "Как проверить свой градиент?"
#     Центральной разностью в двойной точности с $h\approx10^{-5}$–$10^{-6}$, по относительной ошибке, подальше от
#     изломов ReLU. Для большой сети – вдоль нескольких случайных направлений, а не по каждому весу.

# %% [markdown]
# ## Источники {#sources}
#
# - Rumelhart, Hinton, Williams.
#   [Learning representations by back-propagating errors](https://www.nature.com/articles/323533a0). Nature 323,
#   1986.
# - Baydin, Pearlmutter, Radul, Siskind.
#   [Automatic Differentiation in Machine Learning: a Survey](https://arxiv.org/abs/1502.05767). JMLR 18, 2018.
# - Griewank, Walther. Evaluating Derivatives. 2-е изд., SIAM, 2008: дешёвый градиент и контрольные точки.
# - Chen et al. [Training Deep Nets with Sublinear Memory Cost](https://arxiv.org/abs/1604.06174). 2016.
