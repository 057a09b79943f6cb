"""Small content for the unit tests."""

from scripts.site.notes import Note, parse_note
from scripts.site.programme import Programme, Question

TICKET = Question("ticket-01", "tickets", "01-first", "Первый билет.", {"idea": "идея", "formulas": "формулы"})
THEORY = Question("tm-01", "theory-minimum", "01-first", "Первый вопрос?", {"why": "почему"})
PROGRAMME = Programme((TICKET, THEORY))


def note(text: str, uri: str = "tickets/01-first.md") -> Note:
    return parse_note(text, uri)


def notes(*content: Note) -> dict[str, Note]:
    return {each.uri: each for each in content}
