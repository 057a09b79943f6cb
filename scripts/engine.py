"""The search engine: one file bundled from search/src, committed so that building the site needs no Node.

    make engine

`search/manifest.json` keeps digests of the sources and of the bundle; the build compares them (scripts/site/engine.py).
"""

import json
import subprocess
from pathlib import Path

from scripts.sources import ROOT, file_digest, sources_hash

FOLDER = Path("search")
BUNDLE = FOLDER / "search.min.js"
MANIFEST = FOLDER / "manifest.json"


def why_stale(root: Path = ROOT) -> str | None:
    """Why the bundle has to be made again, or None when it is what its sources make."""
    if not (root / BUNDLE).is_file():
        return "it is missing"
    made = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    if made["sources"] != _sources(root):
        return "its sources have changed"
    if made["bundle"] != file_digest(root / BUNDLE):
        return "it was changed by hand"
    return None


def _sources(root: Path) -> str:
    scripts = [path.relative_to(root) for path in (root / FOLDER / "src").glob("*.js")]
    return sources_hash([], [*scripts, FOLDER / "package.json", FOLDER / "package-lock.json"], root)


def bundle() -> None:
    """Install what package-lock.json names and bundle it; npm checks the integrity of the packages."""
    for command in (["npm", "ci", "--silent"], ["npm", "run", "--silent", "build"]):
        subprocess.run(command, cwd=ROOT / FOLDER, check=True)
    digests = {"sources": _sources(ROOT), "bundle": file_digest(ROOT / BUNDLE)}
    (ROOT / MANIFEST).write_text(json.dumps(digests, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    bundle()
