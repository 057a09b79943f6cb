"""What is wrong with the content, said so that its author can mend it."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Problem:
    """A mistake in the content.

    `path` is relative to the repository root; `line` and `column` count from 1 (0: the whole file, the whole line);
    `rule` is the id of the rule in CONTRIBUTING.md; `message` says what is wrong and what to do.
    """

    path: str
    line: int
    column: int
    rule: str
    message: str

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.path, self.line, self.column) if part)
        return f"{place}: {self.message} [{self.rule}]"


class ContentError(Exception):
    """The content has problems; its text is one line for each."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = sorted(set(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))
