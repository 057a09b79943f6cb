"""Texts in the public domain, kept in `data/texts`: what each one is and where it is from stands in its first lines."""

from functools import cache
from pathlib import Path

TEXTS = Path(__file__).resolve().parents[2] / "data" / "texts"


@cache
def chapters(name: str) -> tuple[str, ...]:
    """Chapters of `data/texts/<name>.txt`, such as tolstoy.ru, without the lines that tell the source."""
    lines = (TEXTS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    body = "\n".join(line for line in lines if not line.startswith("#"))
    return tuple(chapter.strip() for chapter in body.split("***"))
