"""What of a lab is committed beside its source: the notebook, the drawings, and a manifest that tells whether they are
still what the source makes.

Everything here reads files only: the site is built without a kernel, matplotlib or PyTorch.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from scripts.labs import notebook, source
from scripts.labs.addresses import Addresses, read_addresses
from scripts.labs.notebook import Notebook, Outputs
from scripts.labs.source import Cell
from scripts.sources import ROOT, file_digest, local_imports, sources_hash

FOLDER = Path("docs/labs")
SOURCES = "[0-9][0-9]-*.py"
MANIFEST = FOLDER / "manifest.json"
DRAWINGS = Path("figures")
SUFFIXES = {"light": ".svg", "dark": ".dark.svg"}
# A lab has to run on whatever a reader has, and every check of the site runs a short version of all.
SECONDS = 90
MEGABYTES = 1024


@dataclass(frozen=True)
class Files:
    """A lab's files; `root` is the repository."""

    source: Path
    root: Path = ROOT

    @property
    def name(self) -> str:
        return self.source.stem

    @property
    def number(self) -> int:
        return int(self.name[:2])

    @property
    def uri(self) -> str:
        """The page inside docs/."""
        return f"{FOLDER.name}/{self.name}.ipynb"

    @property
    def path(self) -> str:
        return self.source.relative_to(self.root).as_posix()

    @property
    def notebook(self) -> Path:
        return self.source.with_suffix(".ipynb")

    @property
    def drawings(self) -> Path:
        return self.root / DRAWINGS / f"lab-{self.number:02}"

    @cached_property
    def text(self) -> str:
        return self.source.read_text(encoding="utf-8").replace("\r\n", "\n")

    @cached_property
    def cells(self) -> list[Cell]:
        return source.cells(self.text)

    def read_notebook(self) -> Notebook:
        return json.loads(self.notebook.read_text(encoding="utf-8"))

    def make_notebook(self, outputs: Iterable[Outputs], addresses: Addresses | None = None) -> Notebook:
        return notebook.make(self.cells, self.uri, outputs, addresses or read_addresses(self.root))


def all_labs(root: Path = ROOT) -> list[Files]:
    return [Files(path, root) for path in sorted((root / FOLDER).glob(SOURCES))]


def read_manifest(root: Path = ROOT) -> dict[str, dict[str, Any]]:
    """Lab → digests of its code, notebook and drawings, seconds and megabytes of its run."""
    path = root / MANIFEST
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def write_manifest(manifest: dict[str, dict[str, Any]], root: Path = ROOT) -> None:
    text = json.dumps(dict(sorted(manifest.items())), indent=2) + "\n"
    (root / MANIFEST).write_text(text, encoding="utf-8")


def record(lab: Files, cost: dict[str, float]) -> None:
    """Write down that notebook and drawings are what the source makes."""
    entry = {"code": code_digest(lab), "notebook": file_digest(lab.notebook), "drawings": _drawing_digests(lab)}
    write_manifest(read_manifest(lab.root) | {lab.name: entry | cost}, lab.root)


def code_digest(lab: Files) -> str:
    """Digest of all that is run: the lab's code and the local modules that it reaches."""
    reached = (path.relative_to(lab.root) for path in local_imports(lab.source, lab.root))
    code = [cell.text for cell in lab.cells if cell.is_code]
    return hashlib.sha256(json.dumps([code, sources_hash(reached, root=lab.root)]).encode()).hexdigest()[:16]


def _drawing_digests(lab: Files) -> dict[str, str]:
    return {path.name: file_digest(path) for path in sorted(lab.drawings.glob("*.svg"))}


def why_run(lab: Files) -> str | None:
    """Why the lab has to be executed, or None when the outputs in its notebook are those of its code."""
    entry = read_manifest(lab.root).get(lab.name)
    if entry is None:
        return "it has never been executed"
    if entry["code"] != code_digest(lab):
        return "the code that it runs has changed"
    if not lab.notebook.is_file():
        return f"{lab.notebook.name} is missing"
    if entry["notebook"] != file_digest(lab.notebook):
        return f"{lab.notebook.name} was changed by hand"
    if entry["drawings"] != _drawing_digests(lab):
        return f"the drawings in {lab.drawings.relative_to(lab.root).as_posix()} are not those that it drew"
    return None


def why_write(lab: Files) -> str | None:
    """Why the notebook has to be written anew, with the outputs that it has; only when `why_run` says nothing."""
    expected = notebook.dumps(lab.make_notebook(notebook.outputs_of(lab.read_notebook())))
    return None if expected == lab.notebook.read_text(encoding="utf-8") else "the text has changed"


def why_stale(lab: Files) -> str | None:
    return why_run(lab) or why_write(lab)


def orphans(labs: list[Files], root: Path = ROOT) -> list[Path]:
    """Notebooks and drawings whose lab is gone."""
    notebooks = set((root / FOLDER).glob("*.ipynb")) - {lab.notebook for lab in labs}
    drawings = set((root / DRAWINGS).glob("lab-*")) - {lab.drawings for lab in labs}
    return sorted(notebooks | {path for folder in drawings for path in folder.glob("*.svg")})
