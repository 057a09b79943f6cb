"""The search index, made smaller."""

import json
from pathlib import Path

INDEX = Path("search/search_index.json")


def rewrite_as_utf8(site: Path) -> None:
    """Write Cyrillic as itself: Material escapes each letter to six bytes."""
    path = site / INDEX
    index = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(index, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
