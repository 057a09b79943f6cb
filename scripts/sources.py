"""Digests of source code: what tells whether a drawing, a clip or a record still is what its code makes.

Everything here reads source text only, so that the site can be built without matplotlib or PyTorch.
"""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# It keeps results and does not make them: a change of it leaves them as they are.
KEEPER = Path("scripts/experiments/recorded.py")


def sources_hash(modules: Iterable[Path], files: Iterable[Path] = (), root: Path = ROOT) -> str:
    """Digest of the source of `modules`, of all local modules that they reach, and of `files`.

    All paths are relative to `root`. KEEPER, and what only it reaches, does not count.
    """
    digest = hashlib.sha256()
    for path in sorted(_reachable(modules, root) | {root / file for file in files}):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).digest())
    return digest.hexdigest()[:16]


def file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _reachable(modules: Iterable[Path], root: Path) -> set[Path]:
    seen: set[Path] = set()
    waiting = [root / module for module in modules]
    while waiting:
        path = waiting.pop()
        if path != root / KEEPER and path not in seen:
            seen.add(path)
            waiting.extend(local_imports(path, root))
    return seen


def local_imports(path: Path, root: Path) -> list[Path]:
    """The modules of this repository that the file imports itself."""
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
