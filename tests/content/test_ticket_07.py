"""Every number and every claim of ticket-07 that can be computed is computed here."""

import heapq
import math
import unicodedata

import numpy as np
import pytest
import torch

from scripts.dl import bpe, unigram_lm, wordpiece
from scripts.dl import skip_gram as sg
from scripts.dl.activations import sigmoid
from scripts.experiments import sgns, tokenizers
from scripts.experiments.texts import chapters
from scripts.figures import ticket_07
from tests.content.page import assert_said, printed

PAGE = printed("tickets/07-word-embeddings-tokenization.md")
SENNRICH = {"low": 5, "lower": 2, "newest": 6, "widest": 3}
WITH_END = {(*word, bpe.END): count for word, count in SENNRICH.items()}
PIECES = {"м": 0.2, "а": 0.3, "ма": 0.25, "ам": 0.05, "мам": 0.1, "мама": 0.1}


# Distributional hypothesis and counts


def test_figure_letters():
    first = dict(zip(sgns.ALPHABET, ticket_07.letter_map()[:, 0], strict=True))
    assert len(first) == 29
    right = {letter for letter, x in first.items() if x > 0}
    assert right == set(ticket_07.VOWELS) - {"ю"} | {"ь"}
    assert sorted((x for x in first.values() if x < 0), reverse=True)[:3] == [first[letter] for letter in "юцш"]
    text = " ".join(chapters("tolstoy.ru")).lower()
    assert sum(letter in first for letter in text) == pytest.approx(8000, abs=50)
    before = [text[i - 1] for i, letter in enumerate(text) if letter == "ю"]
    assert (sum(letter in ticket_07.VOWELS for letter in before), len(before)) == (35, 52)
    assert "$35$ раз из $52$" in PAGE
    assert not any(text[i - 1] in ticket_07.VOWELS for i, letter in enumerate(text) if letter == "ь")


@pytest.mark.parametrize(("smoothing", "right"), [(5, {*ticket_07.VOWELS, "ь"}), (0.1, set("аеиоу"))])
def test_border_of_vowels_depends_on_smoothing(smoothing, right):
    left, _, _ = np.linalg.svd(sg.pmi(sgns.letter_counts() - sgns.SMOOTHING + smoothing))
    first = left[:, 0] * np.sign(left[sgns.ALPHABET.index("о"), 0])
    assert {letter for letter, x in zip(sgns.ALPHABET, first, strict=True) if x > 0} == right


def test_pmi_of_letters_is_not_a_gram_matrix():
    values = np.linalg.eigvalsh(sg.pmi(sgns.letter_counts()))
    assert values[np.abs(values).argmax()] == pytest.approx(-24.7, abs=0.05)
    assert "$-24{,}7$" in PAGE


def test_pmi_example():
    assert 20 * 50 / 1000 == 1
    assert_said(PAGE, math.log(10), digits=2)
    x = math.log(10) - math.log(5)
    assert x == pytest.approx(math.log(2))
    assert sigmoid(np.array(x)) == pytest.approx(10 / (10 + 5))


# Word2Vec


def test_one_step_by_hand():
    v, u, noise = np.array([1, 0.5]), np.array([0.5, 1.0]), np.array([[1.0, -1.0]])
    loss, v_bar, u_bar, noise_bar = sg.negative_sampling_loss(v, u, noise)
    assert (u @ v, noise[0] @ v) == (1, 0.5)
    moved = v - 0.1 * v_bar
    assert_said(PAGE, sigmoid(np.array(1.0)), sigmoid(np.array(0.5)), -math.log(sigmoid(np.array(1.0))))
    assert_said(PAGE, -math.log(sigmoid(np.array(-0.5))), loss, v_bar[0], *moved, u @ moved, noise[0] @ moved)
    assert "-0{,}891" in PAGE
    assert v_bar[1] == pytest.approx(-0.891, abs=5e-4)
    np.testing.assert_allclose(u_bar, (sigmoid(np.array(1.0)) - 1) * v)
    np.testing.assert_allclose(noise_bar[0], sigmoid(np.array(0.5)) * v)


def test_first_step_with_zero_contexts():
    v = np.array([0.3, -0.2])
    _, v_bar, u_bar, _ = sg.negative_sampling_loss(v, np.zeros(2), np.zeros((3, 2)))
    np.testing.assert_array_equal(v_bar, 0)
    np.testing.assert_allclose(u_bar, -0.5 * v)


def test_cbow_gives_every_word_its_share():
    rng = np.random.default_rng(0)
    context, U = rng.standard_normal((6, 4)), rng.standard_normal((7, 4))
    _, mean_bar, _ = sg.softmax_loss(context.mean(axis=0), U, 2)
    np.testing.assert_allclose(sg.cbow_loss(context, U, 2)[1], np.tile(mean_bar / 6, (6, 1)))


def test_mean_huffman_path_of_a_zipfian_vocabulary():
    """Every inner node lengthens the paths of all words below it by one."""
    heap = ticket_07.zipf().tolist()
    heapq.heapify(heap)
    mean = 0.0
    while len(heap) > 1:
        joint = heapq.heappop(heap) + heapq.heappop(heap)
        heapq.heappush(heap, joint)
        mean += joint
    assert_said(PAGE, mean, math.log2(ticket_07.WORDS), digits=1)
    assert ticket_07.WORDS == 10**5
    few = ticket_07.zipf()[:50] / ticket_07.zipf()[:50].sum()
    lengths = [len(path.nodes) for path in sg.huffman_paths(few)]
    assert lengths[0] == min(lengths) < math.log2(50)


def test_five_words_in_a_huffman_tree():
    counts = np.array([8, 4, 2, 1, 1])
    lengths = [len(path.nodes) for path in sg.huffman_paths(counts)]
    assert lengths == [1, 2, 3, 4, 4]
    assert_said(PAGE, counts @ lengths / counts.sum(), digits=1)


def test_hierarchical_softmax_sums_to_one():
    rng = np.random.default_rng(0)
    paths = sg.huffman_paths(rng.integers(1, 60, 40))
    nodes, v = rng.standard_normal((39, 8)), rng.standard_normal(8)
    assert sum(sg.hierarchical_probability(v, nodes, path) for path in paths) == pytest.approx(1, abs=1e-12)


def test_frequencies():
    assert_said(PAGE, *sg.noise_distribution([0.9, 0.09, 0.01]))
    assert_said(PAGE, 100 * sg.keep_probability(1e-2), digits=1)
    share, noise = ticket_07.zipf(), sg.noise_distribution(ticket_07.zipf())
    assert_said(PAGE, 100 * sg.keep_probability(share[0]), digits=1)
    assert f"${100 * ticket_07.kept_share(1e-5):.0f}\\,\\%$" in PAGE
    assert_said(PAGE, share[0], noise[0])
    assert noise[-1] / share[-1] == pytest.approx(3.2, abs=0.1)
    assert np.argmax(sg.keep_probability(share) == 1) == pytest.approx(8270, rel=0.02)
    assert 100 * sg.keep_probability(share[0], 1e-3) == pytest.approx(11, abs=0.1)
    assert np.argmax(sg.keep_probability(share, 1e-3) == 1) == pytest.approx(82, abs=2)


@pytest.mark.parametrize("m", [1, 2, 5])
def test_a_random_radius_weighs_near_words_more(m):
    for j in range(1, m + 1):
        assert np.mean([j <= radius for radius in range(1, m + 1)]) == pytest.approx((m - j + 1) / m)


# The theorem


def test_tabular_optimum_is_shifted_pmi():
    counts = np.random.default_rng(0).integers(1, 100, (8, 8)).astype(float)
    best = sg.pmi(counts) - math.log(5)
    _, gradient = sg.sgns_objective(best, counts, 5)
    np.testing.assert_allclose(gradient, 0, atol=1e-9)
    loss = sg.sgns_objective(best, counts, 5)[0]
    for shift in (1e-2, -1e-2):
        assert sg.sgns_objective(best + shift, counts, 5)[0] > loss


def test_noise_with_a_power_adds_a_number_for_every_context():
    counts, alpha = np.random.default_rng(0).integers(1, 100, (6, 6)).astype(float), 0.75
    by_context = counts.sum(axis=0)
    found = sg.sgns_optimum(counts, 5, sg.noise_distribution(by_context, alpha)) - sg.pmi(counts)
    rest = found - (1 - alpha) * np.log(by_context)
    np.testing.assert_allclose(rest, rest[0, 0], atol=1e-12)


def test_optimum_of_the_full_softmax():
    counts = np.random.default_rng(0).integers(1, 100, (6, 6)).astype(float)
    scores = np.log(counts) + np.arange(6.0)[:, None]  # any number a_c for each centre
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p, counts / counts.sum(axis=1, keepdims=True))
    rest = sg.pmi(counts) + np.log(counts.sum(axis=0)) - scores
    np.testing.assert_allclose(rest, rest[:, :1] * np.ones(6), atol=1e-12)


def test_noise_contrastive_estimation_learns_probabilities():
    counts, k = np.random.default_rng(0).integers(1, 100, (6, 6)).astype(float), 5
    noise = counts.sum(axis=0) / counts.sum()
    scores = sg.sgns_optimum(counts, k) + np.log(k * noise)  # what stands under the sigmoid is s - log k P_n
    np.testing.assert_allclose(np.exp(scores), counts / counts.sum(axis=1, keepdims=True))


def test_products_do_not_fix_the_vectors():
    rng = np.random.default_rng(0)
    V, U, A = rng.standard_normal((5, 3)), rng.standard_normal((5, 3)), rng.standard_normal((3, 3))
    np.testing.assert_allclose((V @ A) @ (U @ np.linalg.inv(A).T).T, V @ U.T, atol=1e-10)
    assert abs(sg.cosines((V @ A)[:1], (V @ A)[1])[0] - sg.cosines(V[:1], V[1])[0]) > 0.01


def test_figure_factorization():
    for rank, printed_value in zip(ticket_07.RANKS, (0.67, 0.87, 1.00), strict=True):
        assert ticket_07.correlation(rank)[0] == pytest.approx(printed_value, abs=0.02)
        assert_said(PAGE, printed_value, digits=2)
    losses = [sgns.factorization(rank, ticket_07.NEGATIVES)["loss"] for rank in ticket_07.RANKS]
    assert losses == sorted(losses, reverse=True)
    error = np.abs(sgns.factorization(8, 5)["scores"] - ticket_07.shifted_pmi())
    often = sgns.letter_counts() > ticket_07.FREQUENT
    assert np.sqrt((error[often] ** 2).mean()) < 0.5 * np.sqrt((error[~often] ** 2).mean())


def test_figure_offsets():
    assert ticket_07.analogies() == (30, 30)  # with and without the ban on the words of the question
    for value, printed_value in zip(ticket_07.closeness(), (1.00, 0.60, 0.49, 0.33, 0.24), strict=True):
        assert value == pytest.approx(printed_value, abs=0.005)
        assert_said(PAGE, printed_value, digits=2)
    people = ticket_07.word_vectors()
    arrows = np.array([people[she] - people[he] for he, she in sgns.PAIRS])
    assert min(sg.cosines(arrows, arrow).min() for arrow in arrows) > 0.9


def test_differences_of_rows_are_ratios_of_probabilities():
    counts = np.random.default_rng(0).integers(1, 100, (4, 6)).astype(float)
    p = counts / counts.sum(axis=1, keepdims=True)
    pmi = sg.pmi(counts)
    np.testing.assert_allclose(pmi[1] - pmi[0], np.log(p[1] / p[0]), atol=1e-12)


def test_a_negative_that_is_the_positive_word():
    v, u = np.array([0.4, 1.0]), np.array([0.7, -0.2])
    _, _, u_bar, noise_bar = sg.negative_sampling_loss(v, u, u[None])
    np.testing.assert_allclose(u_bar + noise_bar[0], (2 * sigmoid(u @ v) - 1) * v)


def test_costs():
    assert 10**6 * 300 == 3 * 10**8
    assert 6 * 300 == 1800
    assert round(math.log2(10**6)) * 300 == 6000


def test_fasttext_parts():
    assert set(sg.character_ngrams("где")) == {"<гд", "где", "де>", "<где", "где>", "<где>"}
    one, other = (set(sg.character_ngrams(word)) for word in ("счастливая", "счастливую"))
    assert (len(one), len(other), len(one & other)) == (35, 35, 22)
    assert 0.6 < 22 / 35 < 2 / 3


# Tokenisation


def test_half_of_the_words_of_a_chapter_are_not_in_the_other():
    known, asked = tokenizers.word_counts(1), tokenizers.word_counts(0)
    share = sum(count for word, count in asked.items() if word not in known) / sum(asked.values())
    assert share == pytest.approx(0.50, abs=0.01)
    assert (sum(known.values()), sum(asked.values())) == (910, 708)
    assert "$910$ и $708$ слов" in PAGE


def test_normalisation():
    assert len("й") == 1
    assert len(unicodedata.normalize("NFD", "й")) == 2
    assert unicodedata.normalize("NFC", "и\u0306") == "й"
    assert unicodedata.normalize("NFKC", "ﬁ²") == "fi2"
    bare = unicodedata.normalize("NFD", "Мой ёж".lower())
    assert "".join(sign for sign in bare if unicodedata.category(sign) != "Mn") == "мои еж"


def test_five_merges_by_hand():
    words, table = dict(WITH_END), []
    for pair in bpe.learn_merges(WITH_END, 5):
        counts = bpe.pair_counts(words)
        table.append((pair, counts[pair], {p for p, n in counts.items() if n == counts[pair]}))
        words = {bpe.merged(word, pair): count for word, count in words.items()}
    assert table == [
        (("e", "s"), 9, {("e", "s"), ("s", "t"), ("t", "_")}),
        (("es", "t"), 9, {("es", "t"), ("t", "_")}),
        (("est", "_"), 9, {("est", "_")}),
        (("l", "o"), 7, {("l", "o"), ("o", "w")}),
        (("lo", "w"), 7, {("lo", "w")}),
    ]
    assert bpe.pair_counts(WITH_END)["w", "e"] == 8
    ranks = {pair: i for i, (pair, _, _) in enumerate(table)}
    assert bpe.encode_word((*"lowest", "_"), ranks) == ("low", "est_")
    left_over = {token for word in words for token in word}
    assert {"es", "est"}.isdisjoint(left_over)


def test_rank_order_against_longest_match():
    assert bpe.encode_word(tuple("кота"), bpe.rank([("о", "т"), ("к", "о")])) == ("к", "от", "а")


def test_figure_merges():
    record = tokenizers.growth()
    length = dict(enumerate(record["length"]))
    assert sum(bpe.character_counts(" ".join(chapters("tolstoy.ru"))).values()) == 1618
    assert length[0] / 1000 == pytest.approx(9.7, abs=0.05)
    assert length[200] / 1000 == pytest.approx(4.7, abs=0.05)
    assert length[800] / 1000 == pytest.approx(2.8, abs=0.05)
    assert 2 < length[0] / length[200] < 2.1
    assert 2.5 < length[0] / length[400] < 2.6
    assert 0.24 < 1 - length[800] / length[400] < 0.26
    assert str(record["unseen"][0]).count("·") == 17
    assert str(record["unseen"][-1]) == "пер·е·представ·лен·ие_"
    assert tokenizers.UNSEEN not in " ".join(chapters("tolstoy.ru")).lower()


def test_byte_bpe_is_reversible():
    tokenizer = bpe.ByteBPE.train(chapters("tolstoy.ru")[0][:2000], 100)
    for text in (chapters("tolstoy.en")[1], "мама мыла раму", "  12,5 € 🦔\n\n", "日本"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.decode(tokenizer.encode("日")[:1]) == "\ufffd"


def test_sizes():
    assert 256 + 50_000 + 1 == 50_257
    gpt, bert = 50_257 * 768, 30_522 * 768
    assert_said(PAGE, gpt / 1e6, bert / 1e6, 124_439_808 / 1e6, 109_482_240 / 1e6, digits=1)
    assert (round(100 * gpt / 124_439_808), round(100 * bert / 109_482_240)) == (31, 21)
    assert_said(PAGE, 10**6 * 4096 / 1e9, digits=1)
    text = "мама мыла раму"
    assert (len(text), len(text.encode())) == (14, 26)
    assert len(bpe.ByteBPE([]).encode(text)) == 26


def test_wordpiece_by_hand():
    found = wordpiece.scores({wordpiece.pieces(word): count for word, count in SENNRICH.items()})
    assert found["w", "##i"] == found["##i", "##d"] == pytest.approx(3 / 9)
    assert found["##e", "##s"] == pytest.approx(9 / (17 * 9))
    assert_said(PAGE, found["w", "##i"], found["##e", "##s"], digits=2)
    alphabet, added = wordpiece.learn(SENNRICH, 3)
    assert added == ["wi", "wid", "lo"]
    assert wordpiece.encode_word("lowest", {*alphabet, *added}) == ["lo", "##w", "##e", "##s", "##t"]
    assert wordpiece.encode_word("abc", {"a", "ab", "##bc"}) == ["[UNK]"]


def test_gain_of_a_merge_grows_with_its_count():
    """Log-likelihood of a text of independent pieces, before and after a rare pair becomes one piece."""

    def log_likelihood(*counts: int) -> float:
        return sum(n * math.log(n / sum(counts)) for n in counts)

    a, b, pair, total = 4000, 3000, 50, 10**7
    before = log_likelihood(a, b, total - a - b)
    after = log_likelihood(a - pair, b - pair, pair, total - a - b)
    assert after - before == pytest.approx(pair * (math.log(pair * total / (a * b)) - 1), rel=0.01)


def test_embedding_is_a_row_of_the_table():
    layer, words = torch.nn.Embedding(5, 3), torch.tensor([1, 3])
    torch.testing.assert_close(layer(words), torch.nn.functional.one_hot(words, 5).float() @ layer.weight)
    layer(words).sum().backward()
    assert layer.weight.grad.abs().sum(dim=1).nonzero().flatten().tolist() == [1, 3]
    assert not torch.nn.Embedding.from_pretrained(torch.zeros(2, 2)).weight.requires_grad


def test_unigram_by_hand():
    assert sum(PIECES.values()) == pytest.approx(1)
    cuts = {"·".join(cut): math.prod(PIECES[x] for x in cut) for cut in unigram_lm.segmentations("мама", PIECES)}
    expected = {"мама": 0.1, "ма·ма": 0.0625, "мам·а": 0.03, "м·а·ма": 0.015, "ма·м·а": 0.015}
    assert cuts == pytest.approx({**expected, "м·а·м·а": 0.0036, "м·ам·а": 0.003})
    assert_said(PAGE, sum(cuts.values()), digits=4)
    assert unigram_lm.viterbi("мама", PIECES)[0] == ["мама"]
    uses, _ = unigram_lm.expected_counts({"мама": 1}, PIECES)
    assert_said(PAGE, uses["мама"], uses["ма"], digits=2)


@pytest.mark.parametrize("seed", range(3))
def test_viterbi_equals_brute_force(seed):
    rng = np.random.default_rng(seed)
    word = "".join(rng.choice(list("аб"), 9))
    pieces = sorted({word[i:j] for i in range(9) for j in range(i + 1, min(i + 4, 9) + 1)} | {"а", "б"})
    p = dict(zip(pieces, rng.dirichlet(np.ones(len(pieces))), strict=True))
    best = max(math.prod(p[x] for x in cut) for cut in unigram_lm.segmentations(word, p))
    assert unigram_lm.viterbi(word, p)[1] == pytest.approx(math.log(best))


def test_table_of_the_same_words():
    record = tokenizers.same_words()
    assert not record["seen"].any()
    by_letter = []
    for (pair, piece, gram), word in zip(record["cuts"], tokenizers.WORDS, strict=True):
        by_letter.append(str(piece).count("·") + 1 == len(word))
        shown = "побуквенно" if by_letter[-1] else str(piece).replace("##", "")
        assert f"| {pair} | {shown} | {gram} |" in PAGE
    assert by_letter == [True, True, False]


def test_figure_vocabulary():
    fertility = dict(zip(("BPE", "WordPiece", "Unigram"), tokenizers.algorithms()["fertility"], strict=True))
    for name, ends in (("BPE", (4.0, 2.4)), ("Unigram", (4.4, 2.5)), ("WordPiece", (4.8, 4.0))):
        assert fertility[name][[0, -1]] == pytest.approx(ends, abs=0.05)
        assert np.all(np.diff(fertility[name]) < 0)
    assert ticket_07.mean_word() == pytest.approx(4.8, abs=0.05)


def test_figure_languages():
    russian, english = tokenizers.languages()["per_word"]
    assert russian == pytest.approx([6.0, 10.8, 10.8, 3.4], abs=0.05)
    assert english == pytest.approx([5.7, 5.7, 2.3, 2.6], abs=0.05)
    assert f"${tokenizers.MERGES}$ слияний" in PAGE


def test_bits_per_byte_do_not_depend_on_the_cut():
    text = "мама мыла раму"
    assert_said(PAGE, unigram_lm.perplexity(-18, 4), unigram_lm.perplexity(-18, 14), digits=1)
    assert_said(PAGE, unigram_lm.bits_per_byte(-18, text), digits=2)
