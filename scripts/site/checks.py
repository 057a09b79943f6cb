"""Everything that is checked before anything is built. `python -m scripts.site.checks` runs it alone, in a second."""

import sys
from dataclasses import dataclass
from pathlib import Path

from scripts.site import anatomy, clips, engine, figures, glossary, labs, links, listing, notes, programme, snippets
from scripts.site.glossary import Glossary
from scripts.site.labs import Lab
from scripts.site.listing import Listing
from scripts.site.problems import ContentError

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Content:
    listing: Listing
    glossary: Glossary
    labs: list[Lab]


def read_content(root: Path) -> Content:
    """Read and check the whole content; raises ContentError with all problems at once."""
    docs = root / "docs"
    found = notes.read_notes(docs)
    questions = programme.load(root)
    plans = listing.load_plans(root)
    terms, unreadable = glossary.load(root)
    problems = [
        *programme.check(questions, found),
        *anatomy.check(found),
        *links.check(found, questions, docs),
        *links.check_islands(found),
        *figures.check(found, root),
        *clips.check(found, root),
        *labs.check(found, questions, root),
        *snippets.check(found, root),
        *listing.check(found, plans, questions),
        *unreadable,
        *glossary.check(terms, found, questions),
        *engine.check(ROOT),
    ]
    if problems:
        raise ContentError(problems)
    return Content(Listing(questions, found, plans), terms, labs.read(found, root))


if __name__ == "__main__":
    try:
        read_content(ROOT)
    except ContentError as error:
        sys.exit(str(error))
