"""Labs as pages: the Markdown with outputs, the card under the title, the list of all, the notebook to download.

nbconvert's pages bring half a megabyte of styles and a MathJax of their own and know neither the site's links nor its
folded blocks, so a lab becomes Markdown here and goes the way of every note.
"""

import html
import math
import re
from urllib.parse import urlsplit

import yaml

from scripts.labs.addresses import Addresses, read_addresses
from scripts.labs.notebook import SOLUTION
from scripts.labs.source import Cell
from scripts.site import links, reading
from scripts.site.labs import FIGURE, Lab
from scripts.site.listing import MINUTES, Listing
from scripts.site.notes import Note
from scripts.site.urls import page_url, relative_url

INDEX = "labs/index.md"
MARKER = "<!-- labs: list -->"
# Below every page that answers a question: a lab repeats their words.
SEARCH_BOOST = 0.15
FENCE = re.compile(r"`{3,}")
FOLDER = "docs/labs"
SECONDS_STEP = 5


def markdown(lab: Lab) -> str:
    """The source of the page: the cells, each with its outputs, solutions folded."""
    front = {
        "lab": lab.number,
        "description": lab.note.front["description"],
        "search": {"boost": SEARCH_BOOST},
    }
    parts = [f"---\n{yaml.safe_dump(front, allow_unicode=True)}---"]
    solution: list[str] = []
    for cell in lab.files.cells:
        if not cell.is_solution and solution:
            parts.append(_folded(solution))
            solution = []
        (solution if cell.is_solution else parts).append(_cell(cell, lab))
    if solution:
        parts.append(_folded(solution))
    return "\n\n".join(parts) + "\n"


def _folded(parts: list[str]) -> str:
    lines = "\n\n".join(parts).splitlines()
    return f'??? solution "{SOLUTION}"\n\n' + "\n".join(f"    {line}" if line else "" for line in lines)


def _cell(cell: Cell, lab: Lab) -> str:
    if not cell.is_code:
        return cell.text
    return "\n\n".join([_fenced(cell.text, "python"), *(_output(output, lab) for output in lab.outputs[cell.line])])


def _output(output: dict, lab: Lab) -> str:
    if figure := output.get("metadata", {}).get(FIGURE):
        name, caption, alt = (figure[key] for key in ("name", "caption", "alt"))
        folder = f"../../{lab.files.drawings.relative_to(lab.files.root).as_posix()}"
        return f"![{alt}]({folder}/{name}.svg)\n*{caption}*"
    text = output["text"] if output["output_type"] == "stream" else output["data"]["text/plain"]
    return _fenced("".join(text).rstrip("\n"), "{.text .output .no-copy}")


def _fenced(text: str, language: str) -> str:
    longest = max((len(marks) for marks in FENCE.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{' ' * language.startswith('{')}{language}\n{text}\n{fence}"


def card(lab: Lab, content: Listing, repository: str | None) -> str:
    """What stands under the title: what the lab is about, its questions, how long it takes, how to run it."""
    questions = ", ".join(_questions(lab, lab.note, content))
    meta = [f"{_minutes(lab)} работы", f"расчёт – около {running_seconds(lab)}\u00a0секунд", f"к вопросам: {questions}"]
    colab = _colab(lab, repository)
    buttons = [f'<a class="md-button" href="{lab.files.name}.ipynb" download>Скачать .ipynb</a>']
    if colab:
        buttons.append(f'<a class="md-button" href="{colab}">Открыть в Colab</a>')
    return (
        '<header class="question-card">'
        f'<p class="question-card__label" data-search-exclude>{lab.label}</p>'
        f'<p class="question-card__wording">{html.escape(lab.note.front["description"])}</p>'
        f'<p class="question-card__meta" data-search-exclude>{" · ".join(f"<span>{part}</span>" for part in meta)}</p>'
        f'<p class="lab-buttons" data-search-exclude>{" ".join(buttons)}</p></header>'
    )


def running_seconds(lab: Lab) -> int:
    """The measured time, rounded up: no reader's machine is the one that it was measured on."""
    return SECONDS_STEP * math.ceil(lab.seconds / SECONDS_STEP)


def _minutes(lab: Lab) -> str:
    return reading.spoken(lab.note.front["minutes"], *MINUTES)


def _questions(lab: Lab, note: Note, content: Listing) -> list[str]:
    """Links from `note` to the questions of the lab."""
    questions = (content.programme.by_id[id] for id in lab.note.front["questions"])
    return [links.link(content.notes[question.uri], note, content.programme) for question in questions]


def _colab(lab: Lab, repository: str | None) -> str | None:
    """Colab opens notebooks that lie on GitHub, and no others."""
    address = urlsplit(repository or "")
    if address.netloc not in ("github.com", "www.github.com"):
        return None
    path = address.path.strip("/").removesuffix(".git")
    return f"https://colab.research.google.com/github/{path}/blob/main/{FOLDER}/{lab.files.name}.ipynb"


def fill(page: str, note: Note, labs: list[Lab], content: Listing) -> str:
    """Put the list of all labs in place of its marker in the HTML of `note`."""
    if MARKER not in page:
        return page
    return page.replace(MARKER, f'<ol class="labs">{"".join(_item(lab, note, content) for lab in labs)}</ol>')


def _item(lab: Lab, note: Note, content: Listing) -> str:
    href = relative_url(page_url(note.uri), lab.url)
    questions = ", ".join(_questions(lab, note, content))
    return (
        f'<li class="labs__item" value="{lab.number}">'
        f'<a class="labs__title" href="{href}">{html.escape(lab.note.title)}</a>'
        f'<p class="labs__description">{html.escape(lab.note.front["description"])}</p>'
        f'<p class="labs__meta" data-search-exclude>{_minutes(lab)} · к вопросам: {questions}</p></li>'
    )


def downloads(labs: list[Lab], repository: str | None, site: str | None) -> dict[str, str]:
    """Address below the site's root → the notebook for readers of a site with these addresses."""
    if not labs:
        return {}
    committed = read_addresses(labs[0].files.root)
    here = Addresses((repository or committed.repository).rstrip("/"), (site or committed.site).rstrip("/"))
    return {f"{lab.url}{lab.files.name}.ipynb": _moved(lab, committed, here) for lab in labs}


def _moved(lab: Lab, committed: Addresses, here: Addresses) -> str:
    text = lab.files.notebook.read_text(encoding="utf-8")
    return text.replace(committed.repository, here.repository).replace(f"{committed.site}/", f"{here.site}/")
