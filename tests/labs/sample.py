# ---
# lab: 90
# questions: [ticket-01, tm-01]
# minutes: 20
# description: "Проверочная лабораторная: все части, которые бывают, и ничего больше."
# ---

# %% [markdown]
# # Производная на доске
#
# Считаем производную двумя способами и сравниваем. Понадобится [цепное правило](../tickets/01-backpropagation.md) и
# [короткий ответ](../theory-minimum/01-backpropagation.md#answer).
#
# ## Что мы построим {#goal}
#
# Функцию $f(x)=x^2$ и её производную:
#
# $$
# f'(x)=\lim_{h\to 0}\frac{f(x+h)-f(x-h)}{2h}.
# $$
#
# Результат виден на [рисунке](#fig-parabola-and-slope), а повторить его можно в [упражнении](#exercise-1).

# %%
import matplotlib.pyplot as plt
import numpy as np

from scripts.figures import style
from scripts.labs.kit import budget, claim, figure

STEPS = budget(50, 5)


def f(x):
    return x**2


def slope(x, h=1e-5):  # the central difference
    return (f(x + h) - f(x - h)) / (2 * h)


points = np.linspace(-1, 1, STEPS)
print(f"точек: {STEPS}")
claim(np.abs(slope(points) - 2 * points).max() < 1e-8, "разность близка к производной")

# %% [markdown]
# ## Картинка {#picture}
#
# Теперь нарисуем.


# %%
@figure("Парабола $x^2$ и её производная.", alt="Парабола с вершиной в нуле и прямая, которая растёт слева направо.")
def parabola_and_slope(theme):
    drawing, axes = plt.subplots(figsize=(style.WIDTH, 2.6))
    axes.plot(points, f(points), color=theme.forward, label="функция")
    axes.plot(points, slope(points), color=theme.backward, linestyle="--", label="производная")
    axes.legend()
    return drawing


# %% [markdown]
# ## Что наблюдать {#observe}
#
# | Что сделали | Что видно | Почему |
# | --- | --- | --- |
# | взяли $h=10^{-5}$ | ошибка меньше $10^{-8}$ | ошибка порядка $h^2$ |
#
# ## Упражнения {#exercises}
#
# ### Упражнение 1. Куб {#exercise-1}
#
# Напишите `cube(x)` и её производную.

# %% [markdown] tags=["solution"]
# Производная куба равна $3x^2$; см. [план](../tickets/01-backpropagation.md#plan).
#
# | Функция | Производная |
# | --- | --- |
# | $x^3$ | $3x^2$ |


# %% tags=["solution"]
def cube(x):
    return x**3


claim(abs((cube(1 + 1e-5) - cube(1 - 1e-5)) / 2e-5 - 3) < 1e-6, "производная куба")

# %% [markdown]
# ### Упражнение 2. Синус {#exercise-2}
#
# То же для синуса.

# %% tags=["solution"]
claim(np.isclose((np.sin(1e-5) - np.sin(-1e-5)) / 2e-5, 1), "производная синуса в нуле")

# %% [markdown]
# ### Упражнение 3. Обучение {#exercise-3}
#
# Спуститесь к минимуму.

# %% tags=["solution"]
x = 1.0
for _ in range(STEPS):
    x -= 0.2 * slope(x)
claim(abs(x) < 1e-6, "минимум найден", trained=True)

# %% [markdown]
# ## Вопросы экзаменатора {#examiner}
#
# ??? question "Почему разность центральная?"
#     Ошибка тогда порядка $h^2$, а не $h$.
#
#     Второй абзац ответа.
#
# ??? question "Что будет при слишком малом шаге?"
#     Сократятся значащие цифры.
#
# ??? question "Третий вопрос?"
#     Третий ответ.
#
# ??? question "Четвёртый вопрос?"
#     Четвёртый ответ.
#
# ??? question "Пятый вопрос?"
#     Пятый ответ.
#
# ??? question "Шестой вопрос?"
#     Шестой ответ.
#
# ## Источники {#sources}
#
# Учебник анализа.
