"""Our search engine in place of the theme's: the dialog stays, the worker behind it is the bundle of search/.

Material's dialog and worker exchange messages {type, data}: 0 set up, 1 ready, 2 query, 3 result. The protocol is no
public promise, so the build stops when the theme ships other files than those that it was read from.
"""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from scripts.engine import BUNDLE, why_stale
from scripts.site.problems import ContentError, Problem

SCRIPTS = "assets/javascripts/"
# The names hold digests of the contents.
WORKER = SCRIPTS + "workers/search.a7633da7.min.js"
DIALOG = SCRIPTS + "bundle.a5f9d56c.min.js"


def check(root: Path) -> list[Problem]:
    reason = why_stale(root)
    message = f"the search engine is not what search/src makes: {reason}; run `make engine`"
    return [Problem(BUNDLE.as_posix(), 0, 0, "E1", message)] if reason else []


def replace_worker(files: Files, config: MkDocsConfig, root: Path) -> None:
    """Put our bundle at the address of the theme's worker. Raises ContentError when the theme has changed."""
    theirs = {path: files.get_file_from_path(path) for path in (WORKER, DIALOG)}
    missing = [path for path, file in theirs.items() if file is None]
    if missing:
        raise ContentError(Problem(path, 0, 0, "E2", _CHANGED) for path in missing)
    files.remove(theirs[WORKER])
    files.append(File.generated(config, WORKER, abs_src_path=str(root / BUNDLE)))


_CHANGED = (
    "this version of the theme has no such file, so its search may speak another protocol: compare the new worker and "
    "dialog with search/src/worker.js and docs/assets/javascripts/search.js, run tests/browser/test_search.py, and "
    "write the new names into scripts/site/engine.py"
)
