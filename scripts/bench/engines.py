"""Three copies of the built site that differ in their search engine alone."""

import shutil
import subprocess
import sys
from pathlib import Path

import material
import yaml

from scripts.bench import variants
from scripts.site.engine import WORKER
from scripts.site.search import INDEX

OURS, STOCK, PAGEFIND = "ours", "Material", "Pagefind"
PAGEFIND_VERSION = "1.6.0"
FORM = '<form class="md-search__form"'
OUR_SCRIPTS = ("from-disk.js", "search.js", "search-highlight.js")


def build(folder: Path, site_url: str) -> Path:
    """The site as it is, with the index of Material's plugin kept beside ours."""
    variants.copy_project(folder)
    hooks = ["scripts/site/hooks.py", "scripts/bench/stock_index.py"]
    settings = {"INHERIT": "mkdocs.yml", "site_url": site_url, "hooks": hooks}
    (folder / "bench.yml").write_text(yaml.safe_dump(settings), "utf-8")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--config-file", "bench.yml"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "site"


def with_stock_engine(built: Path, site: Path) -> None:
    """Material's own worker and index; the form has its name again, so the index is fetched with every page."""
    shutil.copytree(built, site)
    (site / INDEX).with_name("stock.json").replace(site / INDEX)
    shutil.copyfile(Path(material.__file__).parent / "templates" / WORKER, site / WORKER)
    for file in site.rglob("*.html"):
        lines = file.read_text("utf-8").replace(FORM, f'{FORM} name="search"').splitlines(keepends=True)
        file.write_text("".join(line for line in lines if not _is_our_script(line)), "utf-8")


def _is_our_script(line: str) -> bool:
    return "<script" in line and any(f"assets/javascripts/{script}" in line for script in OUR_SCRIPTS)


def with_pagefind(built: Path, site: Path) -> None:
    """Pagefind's index of the articles, beside the page's own search, which nobody opens."""
    shutil.copytree(built, site)
    if not shutil.which("npx"):
        raise SystemExit("Pagefind is measured too and comes from npm: install Node.js")
    package = f"pagefind@{PAGEFIND_VERSION}"
    selectors = ["--root-selector", "article", "--exclude-selectors", ".katex-mathml, .headerlink, .highlight"]
    subprocess.run(["npx", "--yes", package, "--site", str(site), "--silent", *selectors], check=True)


def files(name: str, site: Path) -> dict[str, list[Path]]:
    """All files of the index and of the engine."""
    return {OURS: _our_files, STOCK: _stock_files, PAGEFIND: _pagefind_files}[name](site)


def _our_files(site: Path) -> dict[str, list[Path]]:
    scripts = (site / "assets/javascripts" / script for script in OUR_SCRIPTS)
    return {"index": [site / INDEX], "engine": [site / WORKER, *scripts]}


def _stock_files(site: Path) -> dict[str, list[Path]]:
    lunr = site / "assets/javascripts/lunr/min"
    languages = (lunr / f"lunr.{name}.min.js" for name in ("stemmer.support", "ru", "multi"))
    return {"index": [site / INDEX], "engine": [site / WORKER, *languages]}


def _pagefind_files(site: Path) -> dict[str, list[Path]]:
    folder = site / "pagefind"
    index = [folder / "pagefind-entry.json", *folder.rglob("*.pf_*")]
    return {
        "index": index,
        "engine": [folder / name for name in ("pagefind.js", "pagefind-worker.js", "wasm.ru.pagefind")],
    }


def sites(folder: Path, site_url: str) -> dict[str, Path]:
    """Name of the engine → folder of its site; all are built for the address `site_url`."""
    built = build(folder / "project", site_url)
    with_stock_engine(built, folder / "stock")
    with_pagefind(built, folder / "pagefind")
    return {OURS: built, STOCK: folder / "stock", PAGEFIND: folder / "pagefind"}
