"""The navigation, made from the programme, in the examiners' order."""

from scripts.site import lab_pages
from scripts.site.labs import Lab
from scripts.site.listing import Listing
from scripts.site.programme import THEORY_MINIMUM, TICKETS

TITLES = {TICKETS: "Билеты", THEORY_MINIMUM: "Теоретический минимум"}
REFERENCE = {"Справочник": ["glossary.md", "notation.md"]}


def tree(content: Listing, labs: list[Lab]) -> list:
    """The `nav` setting of MkDocs."""
    parts = ({title: _part(part, content)} for part, title in TITLES.items())
    pages = [{f"{lab.number}. {lab.note.title}": lab.note.uri} for lab in labs]
    return [{"Начало": "index.md"}, *parts, {"Лабораторные": [lab_pages.INDEX, *pages]}, REFERENCE]


def _part(part: str, content: Listing) -> list:
    pages = [
        {f"{question.number}. {content.notes[question.uri].title}": question.uri}
        for question in content.programme.part(part)
    ]
    return [f"{part}/index.md", *pages]
