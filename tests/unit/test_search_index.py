"""The search index: plain text, readable formulas, names of the glossary."""

import pytest

from scripts.site.readable import LEFT_OUT, readable
from scripts.site.search import plain


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        (r"\lVert W\rVert_2<1", "‖W‖₂<1"),
        (r"\beta_l", "βₗ"),
        (r"-\log p_\theta", "-log p_θ"),
        (r"\mathrm{KL}(p_d\|p_g)", "KL(p_d‖p_g)"),
        (r"0{,}94", "0,94"),
        (r"x^{n+1}", "xⁿ⁺¹"),
        (r"\arg\max_i x_i", "arg maxᵢ xᵢ"),
    ],
)
def test_formulas_read_as_text(tex, text):
    assert readable(tex) == text


@pytest.mark.parametrize("tex", [r"\frac{a}{b}", r"\sum_i x_i", r"W\in\mathbb R^{K\times n}", "a+b" * 20])
def test_formulas_that_a_line_cannot_hold_are_left_out(tex):
    assert readable(tex) == LEFT_OUT


def test_plain_text_of_a_section():
    page = r'<p>Шаг <em>мал</em>: \(\eta&lt;2/h\), а <a href="x">дальше</a>.</p> \[\frac ab\] <p>Всё.</p>'
    assert plain(page) == "Шаг мал: η<2/h, а дальше. Всё."


def test_text_that_looks_like_markup_stays_text():
    assert plain("<p>&lt;script&gt;</p>") == "<script>"
