"""Published addresses never vanish: readers have bookmarked them and other groups link to them.

`data/published.txt` lists every page and every section that was ever published. `python -m scripts.site.addresses SITE`
adds those of a built site; a test compares.
"""

import re
import sys
from pathlib import Path

from scripts.site.programme import is_question_page

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = Path("data/published.txt")
HEADING_ID = re.compile(r'<h[23] id="([^"]+)"')


def of_site(site: Path) -> set[str]:
    """Addresses of a built site, below its root: each page, and each section of a question page or a lab."""
    found = set()
    for file in site.rglob("index.html"):
        page = file.parent.relative_to(site).as_posix()
        url = "" if page == "." else page + "/"
        found.add(url or "./")
        if is_question_page(url) or url.startswith("labs/"):
            found |= {f"{url}#{id}" for id in HEADING_ID.findall(file.read_text(encoding="utf-8"))}
    return found


def published(root: Path = ROOT) -> set[str]:
    return set((root / PUBLISHED).read_text(encoding="utf-8").split())


def main() -> None:
    addresses = published() | of_site(Path(sys.argv[1]))
    (ROOT / PUBLISHED).write_text("\n".join(sorted(addresses)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
