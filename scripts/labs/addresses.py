"""Where the site and its repository are, as mkdocs.yml says when no environment variable overrides it.

The committed notebooks carry these; a site built for other addresses puts its own in place (scripts/site/lab_pages.py).
"""

import re
from dataclasses import dataclass
from pathlib import Path

SETTING = r'^{name}: !ENV \[{variable}, "(?P<default>[^"]+)"\]$'


@dataclass(frozen=True)
class Addresses:
    repository: str
    site: str


def read_addresses(root: Path) -> Addresses:
    settings = (root / "mkdocs.yml").read_text(encoding="utf-8")
    return Addresses(_default(settings, "repo_url", "REPO_URL"), _default(settings, "site_url", "SITE_URL"))


def _default(settings: str, name: str, variable: str) -> str:
    found = re.search(SETTING.format(name=name, variable=variable), settings, re.MULTILINE)
    if not found:
        raise ValueError(f'mkdocs.yml has no line `{name}: !ENV [{variable}, "https://…"]`')
    return found["default"].rstrip("/")
