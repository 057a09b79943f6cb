"""What functions of this repository make (figures, sound clips), as notes use it: declared, fresh, shown somewhere."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts import artifacts
from scripts.artifacts import Artifact, Kind
from scripts.site.notes import Note, Reference
from scripts.site.problems import Problem

TARGET = r"(?P<up>(?:\.\./)+){folder}/(?P<page>[\w-]+)/(?P<name>[\w-]+){suffix}\Z"
# The line in emphasis right under an image or a clip.
CAPTION = re.compile(r"\n[ \t]*\*(?=\S).+?\*[ \t]*(?=\n[ \t]*\n|\n?\Z)", re.DOTALL)


@dataclass(frozen=True)
class Target:
    """A figure or a clip as a note names it; `up` is the way from the note to the root of the repository."""

    kind: Kind
    page: str
    name: str
    up: str

    def uri(self, variant: str) -> str:
        """Where the file stands, in the repository and in the built site alike."""
        return f"{self.kind.output}/{self.page}/{self.name}{self.kind.suffixes[variant]}"


def parse(target: str, kind: Kind) -> Target | None:
    """What the target of an image or a link names, or None where it is nothing of this kind."""
    suffix = re.escape(next(iter(kind.suffixes.values())))
    match = re.match(TARGET.format(folder=kind.output, suffix=suffix), target)
    return Target(kind, match["page"], match["name"], match["up"]) if match else None


def addresses(references: Iterable[Reference], kind: Kind, root: Path) -> dict[str, Path]:
    """Address below the site's root → file, for all that `references` name of this kind."""
    targets = (parse(reference.target, kind) for reference in references)
    uris = (target.uri(variant) for target in targets if target for variant in kind.suffixes)
    return {uri: root / uri for uri in uris}


def check(uses: list[tuple[Note, Reference]], kind: Kind, fresh_rule: str, use_rule: str, root: Path) -> list[Problem]:
    """Problems of the artifacts of `kind`: `uses` are all places where a note shows one."""
    declared = {(artifact.page, artifact.name): artifact for artifact in artifacts.declared(kind, root)}
    problems, used = [], set()
    for note, reference in uses:
        target = parse(reference.target, kind)
        used.add((target.page, target.name))
        message = _why_not_fresh(reference, declared.get((target.page, target.name)), kind, root)
        if message:
            problems.append(note.problem(reference.line, fresh_rule, message, reference.column))
    unused = (artifact for key, artifact in declared.items() if key not in used)
    return [*problems, *(_unused(artifact, use_rule) for artifact in unused), *_orphans(declared, kind, use_rule, root)]


def _why_not_fresh(reference: Reference, artifact: Artifact | None, kind: Kind, root: Path) -> str | None:
    if artifact is None:
        return f"missing {kind.name}: no function of {kind.modules} makes {reference.target.lstrip('./')}"
    reason = artifacts.why_stale(artifact, root)
    return f"stale {kind.name} {artifact.key}: {reason}; run `make figures`" if reason else None


def _unused(artifact: Artifact, rule: str) -> Problem:
    message = f"no page shows the {artifact.kind.name} {artifact.key}: use it or delete the function"
    return Problem(artifact.module.as_posix(), artifact.line, 0, rule, message)


def _orphans(declared: dict[tuple[str, str], Artifact], kind: Kind, rule: str, root: Path) -> Iterator[Problem]:
    for path in artifacts.orphans(kind, list(declared.values()), root):
        yield Problem(path.relative_to(root).as_posix(), 0, 0, rule, "no function makes this: run `make figures`")
