from pathlib import Path

import pytest

from scripts.site import formulas
from scripts.site.formulas import Formula, Katex, Rejected
from tests.unit.make import note

ENGINE = Path(__file__).parents[2] / formulas.ENGINE
INLINE = '<span class="arithmatex">\\({}\\)</span>'
DISPLAY = '<div class="arithmatex">\\[\n{}\n\\]</div>'


@pytest.fixture(scope="module")
def katex(tmp_path_factory):
    return Katex(ENGINE, tmp_path_factory.mktemp("cache") / "formulas.sqlite")


def test_formulas_become_html_and_mathml(katex):
    page, rejected = formulas.render_page(f"<p>{INLINE.format('a &lt; b')}</p>{DISPLAY.format('x^2')}", katex)
    assert not rejected
    assert page.count('class="katex"') == 2 and page.count("<math") == 2
    assert 'class="katex-display"' in page
    assert "a &lt; b</annotation>" in page
    assert "\\(" not in page


def test_a_page_without_formulas_is_left_alone(katex):
    assert formulas.render_page("<p>5</p>", katex) == ("<p>5</p>", {})


def test_a_bad_formula_stays_and_is_reported(katex):
    page, rejected = formulas.render_page(INLINE.format(r"a+\foo"), katex)
    assert rejected == {Formula(r"a+\foo", False): Rejected(r"Undefined control sequence: \foo", 2)}
    assert page == INLINE.format(r"a+\foo")


@pytest.mark.parametrize("tex", [r"\frac{1}{", "x_1_2", "два", r"\begin{pmatrix}a\end{matrix}", r"\left(x", "a & b"])
def test_what_katex_would_only_warn_about_is_an_error_too(katex, tex):
    assert isinstance(katex.render([Formula(tex, False)])[Formula(tex, False)], Rejected)


def test_results_come_from_the_cache_without_v8(tmp_path):
    cache = tmp_path / "formulas.sqlite"
    formula = Formula(r"\alpha", True)
    first = Katex(ENGINE, cache).render([formula])
    again = Katex(ENGINE, cache)
    assert again.render([formula]) == first
    assert "_v8" not in vars(again)


def test_another_engine_does_not_meet_the_old_cache(tmp_path):
    cache = tmp_path / "formulas.sqlite"
    Katex(ENGINE, cache).render([Formula("x", False)])
    other = tmp_path / "katex.js"
    other.write_text("katex = {renderToString: () => 'other', ParseError: Error}")
    assert Katex(other, cache).render([Formula("x", False)]) == {Formula("x", False): "other"}


def test_only_long_inline_formulas_get_a_box(katex):
    short, _ = formulas.render_page(INLINE.format("a+b=c"), katex)
    wide = r"\left(" + "+".join("abcdefghijklmnop") + r"\right)"
    long, _ = formulas.render_page(INLINE.format(wide), katex)
    assert "arithmatex--long" not in short
    assert "arithmatex--long" in long


def test_what_touches_a_formula_is_tied_to_it(katex):
    page, _ = formulas.render_page(
        f"<p>Пусть ({INLINE.format('x=y')}), {INLINE.format('n')}-м и {INLINE.format('z')} и", katex
    )
    assert page.startswith('<p>Пусть <span class="tied">(<span class="arithmatex">')
    assert page.count('class="tied"') == 2 and "</span>),</span> " in page and "</span>-м</span> и" in page
    assert page.count("<wbr>") == 1 and page.endswith("</span></span></span> и")


def test_tying_leaves_markup_without_parts_alone():
    assert formulas._tied("(", "<span>x</span>", ")") == '<span class="tied">(<span>x</span>)</span>'


NOTE = note(
    "---\nid: x\n---\n\n# T\n\nВ `$y+\\foo$` коде, но $x$ и $y+\\foo$.\n\n"
    '??? question "Q"\n    $$\n    \\begin{aligned}\n    a&=b\\\\\n    c&=\\bar\n    \\end{aligned}\n    $$\n'
)


def test_locate_skips_code_and_points_at_the_character():
    assert formulas.locate(NOTE, Formula(r"y+\foo", False), 2) == (7, 32)


def test_locate_sees_through_indentation():
    tex = "\\begin{aligned}\na&=b\\\\\nc&=\\bar\n\\end{aligned}"
    line, column = formulas.locate(NOTE, Formula(tex, True), tex.index("\\bar"))
    assert (line, column) == (13, 8)


@pytest.mark.parametrize("left", ["цена $x и", "потом \\(y", "$$ z", "\\begin{pmatrix}"])
def test_left_over_delimiters_are_reported(left):
    page = f"<p>до</p>\n<p>{left}</p><pre>$ code</pre>{INLINE.format('z')}"
    (problem,) = formulas.left_over_delimiters(note(f"# T\n\n{left}\n"), page)
    assert problem.line == 3 and "left-over formula delimiter" in problem.message


def test_a_literal_dollar_can_be_written():
    assert formulas.left_over_delimiters(note("# T\n\n5&#36;\n"), "<p>5&#36;</p>") == []
