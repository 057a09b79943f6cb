"""What the programme puts on pages: the card under a title, the lists of questions, the reading plans.

A note asks for a list with an HTML comment that stands alone: `<!-- programme: tickets -->`, `<!-- plan: week -->`.
"""

import html
import re
from pathlib import Path

import yaml

from scripts.site import reading
from scripts.site.notes import Note
from scripts.site.problems import Problem
from scripts.site.programme import THEORY_MINIMUM, TICKETS, Programme, Question
from scripts.site.urls import relative_url

PLANS = Path("data/plans.yml")
MARKER = re.compile(r"<!-- (?P<kind>programme|plan): (?P<name>[\w-]+) -->")
MINUTES = ("минута", "минуты", "минут")


def load_plans(root: Path) -> dict[str, list[dict]]:
    """Reading plans by name: a list of steps, each with a title, ids of questions and perhaps a remark."""
    return yaml.safe_load((root / PLANS).read_text(encoding="utf-8"))


def check(notes: dict[str, Note], plans: dict[str, list[dict]], programme: Programme) -> list[Problem]:
    names = {"programme": {TICKETS, THEORY_MINIMUM}, "plan": set(plans)}
    problems = [
        note.problem(note.line_of(match.start()), "P6", f"unknown {match['kind']} `{match['name']}`")
        for note in notes.values()
        for match in MARKER.finditer(note.text)
        if match["name"] not in names[match["kind"]]
    ]
    for name, steps in plans.items():
        problems += _check_plan(name, [id for step in steps for id in step["questions"]], programme)
    return problems


def _check_plan(name: str, ids: list[str], programme: Programme) -> list[Problem]:
    mistakes = [
        (set(ids) - set(programme.by_id), "the programme has no such question: correct the id"),
        ({id for id in ids if ids.count(id) > 1}, "it stands twice: remove one"),
        (set(programme.by_id) - set(ids), "it is left out: give it a place"),
    ]
    return [
        Problem(PLANS.as_posix(), 0, 0, "P6", f"plan `{name}`, `{id}`: {message}")
        for wrong, message in mistakes
        for id in sorted(wrong)
    ]


class Listing:
    """Makes the HTML for one site; `notes` are by uri."""

    def __init__(self, programme: Programme, notes: dict[str, Note], plans: dict[str, list[dict]]):
        self.programme = programme
        self.notes = notes
        self.plans = plans

    def fill(self, page: str, base: str) -> str:
        """Replace the markers in the HTML of the page at the address `base`."""
        makers = {"programme": self.questions, "plan": self.plan}
        return MARKER.sub(lambda match: makers[match["kind"]](match["name"], base), page)

    def questions(self, part: str, base: str) -> str:
        items = "".join(self._question(question, base) for question in self.programme.part(part))
        return f'<ol class="programme">{items}</ol>'

    def _question(self, question: Question, base: str) -> str:
        wording = html.escape(question.wording)
        href = relative_url(base, question.url)
        return (
            f'<li class="programme__item"><a class="programme__wording" href="{href}">{wording}</a>'
            f'<span class="programme__meta">{self.minutes(question)}\u00a0мин</span></li>'
        )

    def minutes(self, question: Question) -> int:
        return reading.minutes(self.notes[question.uri])

    def plan(self, name: str, base: str) -> str:
        return f'<ol class="plan">{"".join(self._step(step, base) for step in self.plans[name])}</ol>'

    def _step(self, step: dict, base: str) -> str:
        anchor = step.get("section", "")
        items = "".join(f"<li>{self._short(id, base, anchor)}</li>" for id in step["questions"])
        remark = f'<p class="plan__remark">{html.escape(step["remark"])}</p>' if "remark" in step else ""
        title = f'<h3 class="plan__title">{html.escape(step["title"])}</h3>'
        return f'<li class="plan__day">{title}{remark}<ul class="plan__list">{items}</ul></li>'

    def _short(self, id: str, base: str, anchor: str) -> str:
        """«Билет 1. Обратное распространение ошибки», a link."""
        question = self.programme.by_id[id]
        href = relative_url(base, question.url) + (f"#{anchor}" if anchor else "")
        title = html.escape(self.notes[question.uri].title)
        return f'<a href="{href}">{question.label}. {title}</a>'

    def card(self, note: Note) -> str:
        """What stands under the title of a question page: the wording, the reading time, what to know first."""
        question = self.programme.by_uri[note.uri]
        meta = [f"<span>{reading.spoken(self.minutes(question), *MINUTES)} чтения</span>"]
        if needs := note.front["needs"]:
            meta.append(f"<span>перед этим: {', '.join(self._short(id, question.url, '') for id in needs)}</span>")
        return (
            '<header class="question-card">'
            f'<p class="question-card__label" data-search-exclude>{question.label}</p>'
            f'<p class="question-card__wording">{html.escape(question.wording)}</p>'
            f'<p class="question-card__meta" data-search-exclude>{" · ".join(meta)}</p></header>'
        )
