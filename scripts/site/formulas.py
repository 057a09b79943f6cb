"""Formulas: KaTeX at build time.

The page carries KaTeX's HTML and MathML and no mathematics JavaScript. pymdownx.arithmatex (generic) marks the formulas
of a page; `Katex` renders them in V8 inside this process, with a cache between builds; `render_page` puts the results
in place. All of it takes and returns HTML and knows nothing of MkDocs.
"""

import atexit
import html
import json
import re
import sqlite3
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

from py_mini_racer import MiniRacer

from scripts.site.notes import Note
from scripts.site.problems import Problem

ENGINE = Path("vendor/katex/katex.min.js")
# `strict: "error"`: what KaTeX would only warn about (Cyrillic outside \text, say) is an error too.
OPTIONS = {"output": "htmlAndMathml", "throwOnError": True, "strict": "error", "trust": False}
RENDER = """
function renderAll(formulas, options) {
  return formulas.map(([tex, displayMode]) => {
    try { return {html: katex.renderToString(tex, {...options, displayMode})}; }
    catch (error) {
      if (!(error instanceof katex.ParseError)) throw error;
      return {message: error.rawMessage, position: error.position ?? 0};
    }
  });
}
"""
MARKED = re.compile(
    r"(?P<before>[(«\[]*)"
    r'<(?P<tag>span|div) class="arithmatex"(?P<attributes>[^>]*)>\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>'
    r"(?P<after>[^\s<]*)",
    re.DOTALL,
)
CODE = re.compile(r"<(pre|code|script|style)\b.*?</\1>|<!--.*?-->", re.DOTALL)
TAG = re.compile(r"<[^>]+>")
LEFT_OVER = re.compile(r"\$+|\\[()\[\]]|\\begin\b|\\end\b")
BASE = re.compile(r'<span class="katex-base">(.*?)(?=<span class="katex-base">|\Z)', re.DOTALL)
LITERAL_DOLLAR = "&#36;"
BASE_START = '<span class="katex-base">'
# The widest part of an inline formula that cannot be broken, in characters, that surely fits a 360 px screen.
LONGEST_UNBREAKABLE = 22


@dataclass(frozen=True)
class Formula:
    tex: str
    display: bool


@dataclass(frozen=True)
class Rejected:
    """KaTeX's refusal: its message and the offset in the formula."""

    message: str
    position: int


class Katex:
    """KaTeX in an embedded V8, behind a cache in SQLite.

    One query and at most one V8 call a page. The key of the cache holds KaTeX's own source and the options, so that
    another version never meets old results; V8 starts only when something is not in the cache.
    """

    def __init__(self, engine: Path, cache: Path):
        self.engine = engine.read_text(encoding="utf-8")
        self.salt = blake2b((self.engine + RENDER + json.dumps(OPTIONS)).encode(), digest_size=16).digest()
        self.cache = cache
        cache.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(cache)) as database, database:
            database.execute("CREATE TABLE IF NOT EXISTS formulas (key BLOB PRIMARY KEY, html BLOB) WITHOUT ROWID")

    def render(self, formulas: Iterable[Formula]) -> dict[Formula, str | Rejected]:
        """HTML of each formula, or why KaTeX refused it."""
        wanted = {self._key(formula): formula for formula in formulas}
        with closing(sqlite3.connect(self.cache)) as database, database:
            results = {wanted[key]: text for key, text in self._known(database, wanted)}
            missing = [formula for formula in wanted.values() if formula not in results]
            fresh = self._run(missing) if missing else {}
            rows = ((self._key(f), zlib.compress(r.encode())) for f, r in fresh.items() if isinstance(r, str))
            database.executemany("INSERT OR REPLACE INTO formulas VALUES (?, ?)", rows)
        return results | fresh

    def _key(self, formula: Formula) -> bytes:
        return blake2b(f"{formula.display:d}{formula.tex}".encode(), digest_size=16, key=self.salt).digest()

    @staticmethod
    def _known(database: sqlite3.Connection, keys: Collection[bytes]) -> Iterator[tuple[bytes, str]]:
        marks = ", ".join("?" * len(keys))
        rows = database.execute(f"SELECT key, html FROM formulas WHERE key IN ({marks})", tuple(keys))
        return ((key, zlib.decompress(text).decode()) for key, text in rows)

    def _run(self, formulas: list[Formula]) -> dict[Formula, str | Rejected]:
        answers = self._v8.call("renderAll", [[formula.tex, formula.display] for formula in formulas], OPTIONS)
        return {
            formula: answer["html"] if "html" in answer else Rejected(answer["message"], int(answer["position"]))
            for formula, answer in zip(formulas, answers, strict=True)
        }

    @cached_property
    def _v8(self) -> MiniRacer:
        context = MiniRacer()
        # Without this the interpreter sometimes hangs at exit, waiting for V8.
        atexit.register(context.close)
        context.eval(self.engine)
        context.eval(RENDER)
        return context


def render_page(page: str, katex: Katex) -> tuple[str, dict[Formula, Rejected]]:
    """Replace the marked formulas of a page by KaTeX's HTML; the second value holds those that it refused."""
    results = katex.render(_formula(match) for match in MARKED.finditer(page))
    rejected = {formula: result for formula, result in results.items() if isinstance(result, Rejected)}

    def replace(match: re.Match[str]) -> str:
        result = results[_formula(match)]
        if isinstance(result, Rejected):
            return match[0]
        long = " arithmatex--long" if match["tag"] == "span" and _is_long(result) else ""
        rendered = f'<{match["tag"]} class="arithmatex{long}"{match["attributes"]}>{result}</{match["tag"]}>'
        return _tied(match["before"], rendered, match["after"])

    return MARKED.sub(replace, page), rejected


def _tied(before: str, rendered: str, after: str) -> str:
    """Keep what touches a formula (brackets, a comma, «-м») on its line: a browser may break next to an inline box.

    The formula itself still breaks between its parts, at the `<wbr>`.
    """
    if not before and not after:
        return rendered
    start, base, others = rendered.partition(BASE_START)
    breakable = start + base + others.replace(BASE_START, "<wbr>" + BASE_START)
    return f'<span class="tied">{before}{breakable}{after}</span>'


def _formula(match: re.Match[str]) -> Formula:
    return Formula(html.unescape(match["tex"]).strip(), match["tag"] == "div")


def _is_long(rendered: str) -> bool:
    """Whether some unbreakable part of an inline formula may be wider than a phone's screen."""
    parts = BASE.findall(rendered.partition('class="katex-html"')[2])
    return any(len(html.unescape(TAG.sub("", part))) > LONGEST_UNBREAKABLE for part in parts)


def locate(note: Note, formula: Formula, position: int = 0) -> tuple[int, int]:
    """Line and column in the note of the character at `position` of a formula (1, 0 where it cannot be found).

    Indentation and line breaks inside the formula may differ between the note and the page, so only what is not white
    space is compared.
    """
    body = r"\s*".join(re.escape(char) for char in re.sub(r"\s", "", formula.tex))
    mark = r"\$\$" if formula.display else r"(?<!\$)\$(?!\$)"
    pattern = re.compile(rf"{mark}\s*({body})")
    # The captions of a lab's figures stand in its code.
    found = pattern.search(note.without_code) or pattern.search(note.text)
    if not found:
        return 1, 0
    skipped = len(re.sub(r"\s", "", formula.tex[:position]))
    solid = [offset for offset in range(*found.span(1)) if not note.text[offset].isspace()]
    return note.position_of(solid[min(skipped, len(solid) - 1)])


def rejected_problems(note: Note, rejected: dict[Formula, Rejected]) -> list[Problem]:
    problems = []
    for formula, why in rejected.items():
        line, column = locate(note, formula, why.position)
        message = f"bad formula `{' '.join(formula.tex.split())}`: {why.message}"
        problems.append(note.problem(line, "M1", message, column))
    return problems


def left_over_delimiters(note: Note, page: str) -> list[Problem]:
    """Delimiters that arithmatex did not take for a formula and that would show up as text."""
    text = TAG.sub("\0", CODE.sub("\0", MARKED.sub("\0", page)))
    text = html.unescape(text.replace(LITERAL_DOLLAR, "\0"))
    problems = []
    for match in LEFT_OVER.finditer(text):
        context = text[match.start() : match.start() + 24].partition("\0")[0].partition("\n")[0].strip()
        offset = note.without_code.find(context)
        line, column = note.position_of(offset) if offset >= 0 else (1, 0)
        message = (
            f"left-over formula delimiter at «{context}»: close the formula; `$$` needs blank lines around the "
            f"formula, `$` touches it; a literal dollar is written `{LITERAL_DOLLAR}`"
        )
        problems.append(note.problem(line, "M2", message, column))
    return problems
