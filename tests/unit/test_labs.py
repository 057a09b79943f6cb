"""Rules of labs, and their pages."""

import pytest

from scripts.site import lab_pages, labs, links
from scripts.site.listing import Listing
from scripts.site.notes import parse_lab
from tests.unit import make
from tests.unit.sample_lab import DRAWN, OUTPUTS, TEXT, lab, note, questions, repository

GITHUB = "https://github.com/someone/fork"


def problems(root, text=TEXT, outputs=OUTPUTS) -> list[str]:
    repository(root, text, outputs)
    lab_note = note(text)
    return [str(problem) for problem in labs.check({lab_note.uri: lab_note}, questions(), root)]


def test_the_sample_keeps_the_rules(tmp_path):
    assert problems(tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("# minutes: 20\n", "", "front matter key `minutes` is missing"),
        ("# minutes: 20\n", "# minutes: 20\n# author: я\n", "front matter key `author` is unknown"),
        ("minutes: 20", 'minutes: "20"', "docs/labs/90-sample.py:4: `minutes` has to be a int"),
        ("lab: 90", "lab: 9", "docs/labs/90-sample.py:2: the file name says that this is lab 90"),
        ("[ticket-01, tm-01]", "[ticket-01, tm-77]", "docs/labs/90-sample.py:3: `tm-77`: the programme has no"),
        ("[ticket-01, tm-01]", "[ticket-01, tm-02]", "docs/labs/90-sample.py:3: the text does not link tm-02"),
        ("и ничего больше", "и ничего больше" * 20, "the description is longer than 160"),
        ("{#goal}", "{#aim}", "the section «Что мы построим» is missing"),
        ("## Что наблюдать", "## Наблюдения", "the section {#observe} is called «Что наблюдать»"),
        ("### Упражнение 2.", "### Упражнение 4.", "an exercise is called `### Упражнение 2. … {#exercise-2}`"),
        ('# %% tags=["solution"]\nx = 1.0', "# %%\nx = 1.0", "the exercise has no solution that runs"),
        ("### Упражнение 3. Обучение {#exercise-3}", "", "2 exercises, but a lab has at least 3"),
        ('# ??? question "Шестой вопрос?"\n#     Шестой ответ.\n', "", '5 blocks `??? question "…"`'),
        ("#     Второй абзац ответа.", "# Второй абзац ответа.\n# Третий.", None),
        ("#     Ошибка тогда порядка $h^2$, а не $h$.", "#     Ошибка тогда\n# порядка $h^2$.", "breaks off here"),
    ],
)  # fmt: skip
def test_broken_rules_are_told(tmp_path, old, new, words):
    assert old in TEXT
    found = problems(tmp_path, TEXT.replace(old, new, 1))
    assert not found if words is None else any(words in problem for problem in found), found


def test_a_failed_cell_and_a_warning_are_told(tmp_path):
    error = {"output_type": "error", "ename": "ValueError", "evalue": "нет", "traceback": []}
    warning = {"output_type": "stream", "name": "stderr", "text": ["осторожно\n"]}
    found = problems(tmp_path, outputs=[[error], [warning], *OUTPUTS[2:]])
    lines = [number for number, line in enumerate(TEXT.splitlines(), 1) if line == "# %%"]
    assert found[0].startswith(f"docs/labs/90-sample.py:{lines[0]}: the cell has failed (ValueError)")
    assert found[1].startswith(f"docs/labs/90-sample.py:{lines[1]}: the cell writes to stderr")


def test_a_figure_says_what_is_to_be_seen(tmp_path):
    drawn = DRAWN | {"metadata": {"lab_figure": {"name": "x", "caption": "", "alt": "Кривая."}}}
    found = problems(tmp_path, outputs=[[], [drawn], *OUTPUTS[2:]])
    assert ["[F2]" in found[0], "[F3]" in found[1], len(found)] == [True, True, 2]


def test_two_labs_of_one_number_are_told(tmp_path):
    files = repository(tmp_path)
    other = files.source.with_name("90-twice.py")
    other.write_text(TEXT, encoding="utf-8")
    found = {each.uri: each for each in (note(), parse_lab(TEXT, "labs/90-twice.py"))}
    told = [str(problem) for problem in labs.check(found, questions(), tmp_path)]
    assert "docs/labs/90-twice.py: there is another lab 90: give this file a free number [X1]" in told


def test_the_page_has_cells_outputs_and_folded_solutions(tmp_path):
    page = lab_pages.markdown(lab(tmp_path))
    assert "description: 'Проверочная лабораторная: " in page.partition("\n---\n")[0]
    assert "def slope(x, h=1e-5):" in page
    assert "\n```\n\n``` {.text .output .no-copy}\nточек: 50\n✓ готово\n```\n" in page
    assert "(../../figures/lab-90/parabola-and-slope.svg)\n*Парабола $x^2$ и её производная.*\n" in page
    assert page.count('??? solution "Решение"') == 3
    folded = page.partition('??? solution "Решение"\n')[2].partition("\n### Упражнение 2")[0]
    assert all(line.startswith("    ") for line in folded.splitlines() if line)
    assert "    ```python\n    def cube(x):" in folded


def test_printed_fences_do_not_end_the_output():
    assert lab_pages._fenced("```\nx\n```", "python") == "````python\n```\nx\n```\n````"


def listing(*more) -> Listing:
    programme = questions()
    text = "---\nid: {}\n---\n# Тема\n\n[туда](../theory-minimum/01-backpropagation.md)\n"
    pages = [make.note(text.format(id), programme.by_id[id].uri) for id in ("ticket-01", "tm-01")]
    return Listing(programme, make.notes(*pages, *more), {})


def test_the_card(tmp_path):
    sample = lab(tmp_path)
    card = lab_pages.card(sample, listing(), GITHUB)
    assert "Лабораторная 90" in card and "20\u00a0минут работы" in card and "около 15\u00a0секунд" in card
    assert 'href="90-sample.ipynb" download' in card
    colab = "https://colab.research.google.com/github/someone/fork/blob/main/docs/labs/90-sample.ipynb"
    assert colab in card
    assert 'href="../../tickets/01-backpropagation/" data-preview' in card
    assert "Colab" not in lab_pages.card(sample, listing(), "https://git.example.org/someone/fork")


def test_the_list_stands_in_place_of_its_marker(tmp_path):
    index = make.note("# Лабораторные\n", "labs/index.md")
    page = lab_pages.fill(f"<p>1</p>{lab_pages.MARKER}", index, [lab(tmp_path)], listing())
    assert 'href="90-sample/"' in page and 'href="../tickets/01-backpropagation/"' in page


def test_question_pages_list_their_labs():
    content = listing(note())
    foot = links.related_html(content.notes["theory-minimum/01-backpropagation.md"], content.notes, content.programme)
    assert '<h2 class="related__title">Лабораторные</h2>' in foot
    assert '<a href="../../labs/90-sample/" data-preview>Лабораторная 90. Производная на доске</a>' in foot


def test_links_to_labs_and_to_their_figures_are_checked(tmp_path):
    page = make.note("# Билет\n\n[раз](../labs/90-sample.ipynb#goal) [два](../labs/90-sample.ipynb#none)\n")
    broken = note(TEXT.replace("#fig-parabola-and-slope", "#fig-none"))
    targets = listing(page, broken)
    found = [str(problem) for problem in links.check(targets.notes, targets.programme, tmp_path)]
    assert any("dead anchor: labs/90-sample.ipynb has no `#none`" in problem for problem in found)
    assert any("dead anchor: labs/90-sample.ipynb has no `#fig-none`" in problem for problem in found)


def test_downloads_carry_the_addresses_of_the_site(tmp_path):
    sample = lab(tmp_path)
    [(address, text)] = lab_pages.downloads([sample], GITHUB, "https://someone.example/fork/").items()
    assert address == "labs/90-sample/90-sample.ipynb"
    assert f'REPOSITORY = \\"{GITHUB}\\"' in text and "https://someone.example/fork/tickets/" in text
    committed = sample.files.notebook.read_text(encoding="utf-8")
    assert lab_pages.downloads([sample], None, None)[address] == committed
