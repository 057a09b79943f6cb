"""Skip-gram with negative sampling on two small corpora: built sentences about he and she, the letters of a novel."""

import numpy as np
from scipy.optimize import minimize

from scripts.dl import skip_gram as sg
from scripts.dl.activations import sigmoid
from scripts.experiments.recorded import Result, recorded
from scripts.experiments.texts import chapters

# --- Sentences that were built to hold a relation --------------------------------------------------------------------

PAIRS = (
    ("король", "королева"), ("мужчина", "женщина"), ("отец", "мать"), ("брат", "сестра"), ("актёр", "актриса"),
    ("учитель", "учительница"),
)  # fmt: skip
TOPICS = (
    ("трон", "корона", "дворец"), ("улица", "город", "трамвай"), ("ребёнок", "колыбель", "семья"),
    ("детство", "игрушка", "ссора"), ("сцена", "роль", "театр"), ("школа", "урок", "тетрадь"),
)  # fmt: skip
GENDERED = (
    ("пришёл", "сказал", "увидел", "вспомнил", "он", "сам"),
    ("пришла", "сказала", "увидела", "вспомнила", "она", "сама"),
)  # fmt: skip
WEATHER = (("тёплый", "холодный"), ("день", "ветер", "вечер", "дождь"), ("утром", "вчера", "снова", "сегодня"))
VOCABULARY = (
    *(word for pair in PAIRS for word in pair), *(word for topic in TOPICS for word in topic),
    *(word for side in GENDERED for word in side), *(word for part in WEATHER for word in part),
)  # fmt: skip
SENTENCES, WINDOW, DIMENSION, NEGATIVES = 12_000, 3, 16, 5
EPOCHS, BATCH, RATE = 2, 64, 0.05


def sentences(count: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers of words, (count, 5): one in six about the weather, the others about a person.

    A person stands between two words of his or her gender and two words of the topic of the pair: король пришёл …
    """
    number = {word: i for i, word in enumerate(VOCABULARY)}
    found = []
    for _ in range(count):
        if rng.random() < 1 / 6:
            adjective, noun, when = (rng.choice(part) for part in WEATHER)
            second = rng.choice(WEATHER[2])
            words = [when, adjective, noun, second, rng.choice(WEATHER[1])]
        else:
            pair, gender = rng.integers(len(PAIRS)), rng.integers(2)
            before, after = rng.choice(GENDERED[gender], 2, replace=False)
            topic = rng.choice(TOPICS[pair], 2, replace=False)
            words = [topic[0], before, PAIRS[pair][gender], after, topic[1]]
        found.append([number[word] for word in words])
    return np.array(found)


def all_pairs(corpus: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """(centre, context) pairs of all sentences, (n, 2)."""
    length = corpus.shape[1]
    ends = [(i, j) for i in range(length) for j in range(length) if i != j and abs(i - j) <= window]
    return np.concatenate([corpus[:, [i, j]] for i, j in ends])


def train(pairs: np.ndarray, size: int, epochs: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Stochastic gradient descent on `sg.negative_sampling_loss`, batches of pairs at once; returns V and U, (size, d).

    Gradients of a batch are summed, not averaged, as if its pairs came one after another (word2vec does them so).
    """
    counts = np.bincount(pairs[:, 1], minlength=size)
    noise = sg.noise_distribution(counts)
    V = (rng.random((size, DIMENSION)) - 0.5) / DIMENSION
    U = np.zeros((size, DIMENSION))
    steps = int(epochs * len(pairs) / BATCH)
    for step in range(steps):
        rate = RATE * (1 - step / steps)
        batch = pairs[rng.integers(len(pairs), size=BATCH)]
        drawn = rng.choice(size, (BATCH, NEGATIVES), p=noise)
        centre, others = batch[:, 0], np.concatenate([batch[:, 1:], drawn], axis=1)  # (B,), (B, 1 + k)
        v, u = V[centre], U[others]
        error = sigmoid(np.einsum("bd,bkd->bk", v, u))
        error[:, 0] -= 1.0
        np.add.at(V, centre, -rate * np.einsum("bk,bkd->bd", error, u))
        np.add.at(U, others, -rate * error[:, :, None] * v[:, None, :])
    return V, U


@recorded
def relations(seed: int) -> Result:
    """`V`, `U` (|V|, d) after training on the built sentences; float32."""
    rng = np.random.default_rng(seed)
    pairs = all_pairs(sentences(SENTENCES, rng))
    V, U = train(pairs, len(VOCABULARY), EPOCHS, rng)
    return {"V": V.astype(np.float32), "U": U.astype(np.float32)}


# --- Letters as words ------------------------------------------------------------------------------------------------

ALPHABET = "абвгдежзийклмнопрстухцчшыьэюя"  # the letters that occur at least 20 times: without ф, щ, ъ; ё is е
SMOOTHING = 1.0


def letter_counts() -> np.ndarray:
    """How often two letters stand side by side within a word, (29, 29), with SMOOTHING added to each pair."""
    number = {letter: i for i, letter in enumerate(ALPHABET)}
    counts = np.full((len(ALPHABET),) * 2, SMOOTHING)
    for word in "".join(c if c in number else " " for c in " ".join(chapters("tolstoy.ru")).lower()).split():
        counts += sg.count_matrix(sg.pairs(np.array([number[letter] for letter in word]), 1), len(ALPHABET))
    return counts


def fit(counts: np.ndarray, d: int, k: float, iterations: int = 2000) -> tuple[np.ndarray, np.ndarray, float]:
    """Minimise the whole expected objective over V and U of rank `d`; returns them and the loss."""
    size = len(counts)
    start = np.random.default_rng(0).standard_normal(2 * size * d) / np.sqrt(d)

    def loss_and_gradient(theta: np.ndarray) -> tuple[float, np.ndarray]:
        V, U = theta.reshape(2, size, d)
        loss, bar = sg.sgns_objective(V @ U.T, counts, k)
        return loss / counts.sum(), np.concatenate([(bar @ U).ravel(), (bar.T @ V).ravel()]) / counts.sum()

    options = {"maxiter": iterations, "maxfun": 2 * iterations, "ftol": 1e-15, "gtol": 1e-9}
    found = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", options=options)
    V, U = found.x.reshape(2, size, d)
    return V, U, float(found.fun)


@recorded
def factorization(d: int, k: int) -> Result:
    """`scores` (29, 29) float32, products v·u of the letters at the optimum of rank `d`, and the `loss` per pair."""
    V, U, loss = fit(letter_counts(), d, k)
    return {"scores": (V @ U.T).astype(np.float32), "loss": loss}
