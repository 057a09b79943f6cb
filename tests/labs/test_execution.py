"""What `make labs` does with a lab: runs it in a kernel, keeps what it prints and draws, says which cell fails."""

import pytest

from scripts.labs import notebook, source
from scripts.labs.addresses import read_addresses
from scripts.labs.execution import CellFailed, Run, run
from scripts.labs.kit import FIGURE
from scripts.labs.records import MEGABYTES
from scripts.site import labs
from scripts.sources import ROOT
from tests.unit.sample_lab import TEXT


def executed(text: str, drawings) -> Run:
    made = notebook.make(source.cells(text), "labs/90-sample.ipynb", [], read_addresses(ROOT))
    return run(made, drawings)


def test_a_lab_prints_and_draws(tmp_path):
    result = executed(TEXT, tmp_path)
    printed = {"output_type": "stream", "name": "stdout"}
    assert result.outputs[0] == [printed | {"text": ["точек: 50\n", "✓ разность близка к производной\n"]}]
    [drawn] = result.outputs[1]
    assert drawn["metadata"][labs.FIGURE]["name"] == "parabola-and-slope" and labs.FIGURE == FIGURE
    assert set(drawn["data"]) == {"image/png", "text/plain"}
    assert {path.name for path in tmp_path.iterdir()} == {"parabola-and-slope.svg", "parabola-and-slope.dark.svg"}
    assert result.outputs[-1][0]["text"] == ["✓ минимум найден\n"]
    assert 0 < result.seconds < 60 and 20 < result.megabytes < MEGABYTES


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ('claim(1 > 2, "один больше двух")', "AssertionError: не выполнено: один больше двух"),
        ('import warnings; warnings.warn("осторожно")', "it writes to stderr: .*"),
    ],
)
def test_the_cell_that_fails_is_told(tmp_path, bad, words):
    with pytest.raises(CellFailed, match=words) as failure:
        executed(TEXT.replace('print(f"точек: {STEPS}")', bad), tmp_path)
    assert failure.value.cell == 1
