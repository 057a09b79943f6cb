"""The sample lab in a small repository of its own, as if it had been executed."""

import shutil
from pathlib import Path

from scripts.labs import notebook, records
from scripts.labs.notebook import Outputs
from scripts.labs.records import Files
from scripts.site import notes, programme
from scripts.site.labs import Lab
from scripts.site.notes import Note
from scripts.site.programme import Programme

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "tests/labs/sample.py"
TEXT = SAMPLE.read_text(encoding="utf-8")
ALT = "Парабола с вершиной в нуле и прямая, которая растёт слева направо."
FIGURE = {"name": "parabola-and-slope", "caption": "Парабола $x^2$ и её производная.", "alt": ALT}
PRINTED = {"output_type": "stream", "name": "stdout", "text": ["точек: 50\n", "✓ готово\n"]}
DRAWN = {
    "output_type": "display_data",
    "data": {"image/png": "iVBORw0KGgo=", "text/plain": f"[{ALT}]"},
    "metadata": {"lab_figure": FIGURE},
}
OUTPUTS: list[Outputs] = [[PRINTED], [DRAWN], [PRINTED], [PRINTED], [PRINTED]]
COST = {"seconds": 11.2, "megabytes": 101}
DRAWING = '<svg viewBox="0 0 400 200" xmlns="http://www.w3.org/2000/svg"/>'


def repository(root: Path, text: str = TEXT, outputs: list[Outputs] = OUTPUTS) -> Files:
    """The files of the sample lab below `root`, fresh."""
    files = Files(root / "docs/labs/90-sample.py", root)
    files.source.parent.mkdir(parents=True, exist_ok=True)
    files.source.write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "mkdocs.yml", root)
    files.drawings.mkdir(parents=True, exist_ok=True)
    for suffix in (".svg", ".dark.svg"):
        (files.drawings / f"parabola-and-slope{suffix}").write_text(DRAWING, encoding="utf-8")
    files.notebook.write_text(notebook.dumps(files.make_notebook(outputs)), encoding="utf-8")
    records.record(files, COST)
    return files


def note(text: str = TEXT) -> Note:
    return notes.parse_lab(text, "labs/90-sample.py")


def lab(root: Path, text: str = TEXT) -> Lab:
    return Lab(note(text), repository(root, text))


def questions() -> Programme:
    return programme.load(ROOT)
