"""Files that functions of this repository make and that are committed: drawings and sound clips.

A module of a page (`scripts/figures/ticket_01.py`) holds functions with a mark (`@figure`); the function `hand_graph`
makes the artifact `ticket-01/hand-graph`. Beside the artifacts of a page stands `manifest.json` with a digest of the
code that made each and digests of its files. Listing and checking read source text only; making is left to the caller.
"""

import argparse
import ast
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripts.sources import ROOT, file_digest, sources_hash

# The modules of pages, and the folders of what they make: nothing else in those places is theirs.
MODULES = "t*_[0-9][0-9].py"
FOLDERS = "t*-[0-9][0-9]"


@dataclass(frozen=True)
class Kind:
    """One kind of artifacts.

    `name` and `mark` are the English noun and the decorator; `modules` and `output` folders; `suffixes` the files of
    one artifact, variant → end of the file name; `shared` modules and `files` on which every artifact depends.
    """

    name: str
    mark: str
    modules: Path
    output: Path
    suffixes: dict[str, str]
    shared: tuple[Path, ...] = ()
    files: str = ""  # a glob


@dataclass(frozen=True)
class Artifact:
    """An artifact as its module declares it: `page` is the programme id, `name` the file stem."""

    page: str
    name: str
    module: Path
    line: int
    kind: Kind

    @property
    def function(self) -> str:
        return self.name.replace("-", "_")

    @property
    def key(self) -> str:
        return f"{self.page}/{self.name}"

    def file(self, variant: str, root: Path = ROOT) -> Path:
        return root / self.kind.output / self.page / (self.name + self.kind.suffixes[variant])

    def files(self, root: Path = ROOT) -> dict[str, Path]:
        """Variant → file."""
        return {variant: self.file(variant, root) for variant in self.kind.suffixes}


def declared(kind: Kind, root: Path = ROOT) -> list[Artifact]:
    """All marked functions of the page modules (`ticket_01.py`, `tm_02.py`, …), in order."""
    modules = sorted((root / kind.modules).glob(MODULES))
    return [artifact for module in modules for artifact in _declared_in(module, kind, root)]


def _declared_in(module: Path, kind: Kind, root: Path) -> list[Artifact]:
    page = module.stem.replace("_", "-")
    tree = ast.parse(module.read_text(encoding="utf-8"), filename=str(module))
    return [
        Artifact(page, node.name.replace("_", "-"), module.relative_to(root), node.lineno, kind)
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and any(_is_mark(mark, kind) for mark in node.decorator_list)
    ]


def _is_mark(decorator: ast.expr, kind: Kind) -> bool:
    return isinstance(decorator, ast.Name) and decorator.id == kind.mark


def code_hash(artifact: Artifact, root: Path = ROOT) -> str:
    """Digest of the artifact's module, of all local modules it reaches, and of what its kind shares."""
    kind = artifact.kind
    files = (path.relative_to(root) for path in root.glob(kind.files)) if kind.files else ()
    return sources_hash([artifact.module, *kind.shared], files, root=root)


def why_stale(artifact: Artifact, root: Path = ROOT) -> str | None:
    """Why `artifact` has to be made again, or None when all its files are what its code makes."""
    entry = _read_manifest(artifact.kind, artifact.page, root).get(artifact.name)
    if entry is None:
        return "it has never been made"
    if entry["code"] != code_hash(artifact, root):
        return "the code that makes it has changed"
    for variant, file in artifact.files(root).items():
        if not file.is_file():
            return f"{file.relative_to(root)} is missing"
        if entry[variant] != file_digest(file):
            return f"{file.relative_to(root)} was changed by hand"
    return None


def record(artifact: Artifact, root: Path = ROOT) -> None:
    """Write down that the files of `artifact` are what its code makes."""
    digests = {variant: file_digest(file) for variant, file in artifact.files(root).items()}
    manifest = _read_manifest(artifact.kind, artifact.page, root)
    manifest[artifact.name] = {"code": code_hash(artifact, root), **digests}
    _write_manifest(artifact.kind, artifact.page, manifest, root)


def _manifest_path(kind: Kind, page: str, root: Path) -> Path:
    return root / kind.output / page / "manifest.json"


def _read_manifest(kind: Kind, page: str, root: Path) -> dict[str, dict[str, str]]:
    path = _manifest_path(kind, page, root)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _write_manifest(kind: Kind, page: str, manifest: dict[str, dict[str, str]], root: Path) -> None:
    text = json.dumps(dict(sorted(manifest.items())), indent=2) + "\n"
    _manifest_path(kind, page, root).write_text(text, encoding="utf-8")


def orphans(kind: Kind, artifacts: list[Artifact], root: Path = ROOT) -> list[Path]:
    """Files that no function makes any more."""
    kept = {file for artifact in artifacts for file in artifact.files(root).values()}
    endings = {suffix.rpartition(".")[2] for suffix in kind.suffixes.values()}
    found = (path for ending in endings for path in (root / kind.output).glob(f"{FOLDERS}/*.{ending}"))
    return sorted(path for path in found if path not in kept)


def remove_orphans(kind: Kind, artifacts: list[Artifact], root: Path = ROOT) -> list[Path]:
    """Delete files and manifest entries that no function declares any more; return the deleted files."""
    unwanted = orphans(kind, artifacts, root)
    for path in unwanted:
        path.unlink()
    names = {(artifact.page, artifact.name) for artifact in artifacts}
    for path in (root / kind.output).glob(f"{FOLDERS}/manifest.json"):
        page = path.parent.name
        manifest = _read_manifest(kind, page, root)
        wanted = {name: entry for name, entry in manifest.items() if (page, name) in names}
        if wanted != manifest:
            _write_manifest(kind, page, wanted, root)
    return unwanted


def command(kind: Kind, make: Callable[[Artifact], None]) -> None:
    """The command line of a kind: make what is stale, or all of what is named."""
    parser = argparse.ArgumentParser(description=f"Make every {kind.name} whose code has changed since it was made.")
    parser.add_argument("--all", action="store_true", help="the fresh ones too")
    parser.add_argument("targets", nargs="*", metavar="PAGE[/NAME]", help="only these, e.g. ticket-01/hand-graph")
    options = parser.parse_args()

    artifacts = declared(kind)
    targets = set(options.targets)
    if unknown := targets - {a.page for a in artifacts} - {a.key for a in artifacts}:
        parser.error(f"no such {kind.name}: {', '.join(sorted(unknown))}")
    for artifact in artifacts:
        if targets and not targets & {artifact.page, artifact.key}:
            continue
        if reason := "asked to" if options.all else why_stale(artifact):
            print(f"{kind.name} {artifact.key}: {reason}", flush=True)
            make(artifact)
            record(artifact)
    # Only when all pages are made: a module that is being edited elsewhere may lack its functions for a moment.
    for path in [] if targets else remove_orphans(kind, artifacts):
        print(f"removed {path.relative_to(ROOT)}: no function makes it")
