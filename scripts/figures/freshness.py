"""Which figures exist, and whether each still is what its code draws.

Everything here reads source text only, so that the site can be built without matplotlib or PyTorch. The freshness of a
figure is a hash of the code involved: its page's module and whatever of `scripts/` that module imports, directly or
not. Beside the drawings of a page stands `manifest.json` with that hash and the digests of the two SVG files.
"""

import ast
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULES = Path("scripts/figures")
DRAWINGS = Path("figures")
FONTS = MODULES / "fonts"
SHARED_MODULES = (MODULES / "style.py", MODULES / "drawing.py")
THEME_SUFFIXES = {"light": ".svg", "dark": ".dark.svg"}


@dataclass(frozen=True)
class Declared:
    """A figure as its module declares it: `page` is the programme id, `name` the file stem."""

    page: str
    name: str
    module: Path
    line: int

    @property
    def function(self) -> str:
        return self.name.replace("-", "_")

    def drawing(self, root: Path, theme: str = "light") -> Path:
        return root / DRAWINGS / self.page / (self.name + THEME_SUFFIXES[theme])


def declared_figures(root: Path = ROOT) -> list[Declared]:
    """All functions marked `@figure` in the page modules (`ticket_01.py`, `tm_02.py`, …), in order."""
    modules = sorted((root / MODULES).glob("t*_[0-9][0-9].py"))
    return [figure for module in modules for figure in _declared_in(module, root)]


def _declared_in(module: Path, root: Path) -> list[Declared]:
    page = module.stem.replace("_", "-")
    tree = ast.parse(module.read_text(encoding="utf-8"), filename=str(module))
    return [
        Declared(page, node.name.replace("_", "-"), module.relative_to(root), node.lineno)
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and any(_is_figure_mark(mark) for mark in node.decorator_list)
    ]


def _is_figure_mark(mark: ast.expr) -> bool:
    return isinstance(mark, ast.Name) and mark.id == "figure"


def code_hash(module: Path, root: Path = ROOT) -> str:
    """Digest of the source of `module`, of all local modules it reaches, and of the shared style and fonts."""
    fonts = (path.relative_to(root) for path in (root / FONTS).glob("*.ttf"))
    return sources_hash([module, *SHARED_MODULES], fonts, root)


def sources_hash(modules: Iterable[Path], files: Iterable[Path] = (), root: Path = ROOT) -> str:
    """Digest of the source of `modules`, of all local modules that they reach, and of `files`."""
    digest = hashlib.sha256()
    for path in sorted(_reachable(modules, root) | {root / file for file in files}):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).digest())
    return digest.hexdigest()[:16]


def _reachable(modules: Iterable[Path], root: Path) -> set[Path]:
    seen: set[Path] = set()
    waiting = [root / module for module in modules]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting.extend(_local_imports(path, root))
    return seen


def _local_imports(path: Path, root: Path) -> list[Path]:
    files = (root / (name.replace(".", "/") + ".py") for name in _imported_names(path.read_text(encoding="utf-8")))
    return [file for file in files if file.is_file()]


@cache
def _imported_names(source: str) -> tuple[str, ...]:
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
    return tuple(name for name in names if name.startswith("scripts."))


def manifest_path(page: str, root: Path = ROOT) -> Path:
    return root / DRAWINGS / page / "manifest.json"


def read_manifest(page: str, root: Path = ROOT) -> dict[str, dict[str, str]]:
    path = manifest_path(page, root)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def why_stale(figure: Declared, root: Path = ROOT) -> str | None:
    """Why `figure` has to be drawn again, or None when both its files are what its code draws."""
    entry = read_manifest(figure.page, root).get(figure.name)
    if entry is None:
        return "it has never been drawn"
    if entry["code"] != code_hash(figure.module, root):
        return "the code that draws it has changed"
    for theme in THEME_SUFFIXES:
        drawing = figure.drawing(root, theme)
        if not drawing.is_file():
            return f"{drawing.relative_to(root)} is missing"
        if entry[theme] != file_digest(drawing):
            return f"{drawing.relative_to(root)} was changed by hand"
    return None
