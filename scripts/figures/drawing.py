"""Draw a figure once for each theme and record what was drawn."""

import importlib
import json
from pathlib import Path

from scripts.figures import freshness, style
from scripts.figures.freshness import Declared
from scripts.figures.style import Theme


def draw(figure: Declared, root: Path = freshness.ROOT) -> None:
    """Write the light and the dark SVG of `figure` and its entry in the page's manifest."""
    entry = {"code": freshness.code_hash(figure.module, root)}
    for theme in style.THEMES:
        path = figure.drawing(root, theme.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_svg(figure, theme, path)
        entry[theme.name] = freshness.file_digest(path)
    _record(figure, entry, root)


def write_svg(figure: Declared, theme: Theme, path: Path) -> None:
    """Draw `figure` in one theme; the same bytes each time on one machine."""
    module = importlib.import_module(f"scripts.figures.{figure.module.stem}")
    with style.applied(theme):
        drawn = getattr(module, figure.function)(theme)
        drawn.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _record(figure: Declared, entry: dict[str, str], root: Path) -> None:
    manifest = freshness.read_manifest(figure.page, root)
    manifest[figure.name] = entry
    _write_manifest(figure.page, manifest, root)


def _write_manifest(page: str, manifest: dict[str, dict[str, str]], root: Path) -> None:
    text = json.dumps(dict(sorted(manifest.items())), indent=2) + "\n"
    freshness.manifest_path(page, root).write_text(text, encoding="utf-8")


def remove_orphans(declared: list[Declared], root: Path = freshness.ROOT) -> list[Path]:
    """Delete drawings and manifest entries that no function declares any more; return the deleted files."""
    kept = {figure.drawing(root, theme) for figure in declared for theme in freshness.THEME_SUFFIXES}
    orphans = [path for path in sorted((root / freshness.DRAWINGS).glob("*/*.svg")) if path not in kept]
    for path in orphans:
        path.unlink()
    names = {(figure.page, figure.name) for figure in declared}
    for path in (root / freshness.DRAWINGS).glob("*/manifest.json"):
        page = path.parent.name
        manifest = freshness.read_manifest(page, root)
        wanted = {name: entry for name, entry in manifest.items() if (page, name) in names}
        if wanted != manifest:
            _write_manifest(page, wanted, root)
    return orphans
