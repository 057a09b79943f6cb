"""The rules of CONTRIBUTING.md and the ones that the build cites are the same."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RULE = re.compile(r"^- \*\*(?P<id>[A-Z]\d+)\*\*(?P<checked> ✓)?", re.MULTILINE)
CITED = re.compile(r'"([A-Z]\d+)"')
# Checked by a test, by ruff: nothing in scripts/site says their ids.
CHECKED_ELSEWHERE = {"L4", "C3"}

RULES = list(RULE.finditer((ROOT / "CONTRIBUTING.md").read_text("utf-8")))


def test_rules_are_numbered_in_order() -> None:
    ids = [rule["id"] for rule in RULES]
    for letter in dict.fromkeys(id[0] for id in ids):
        numbers = [int(id[1:]) for id in ids if id[0] == letter]
        assert numbers == list(range(1, len(numbers) + 1)), letter


def test_cited_rules_are_the_checked_ones() -> None:
    cited = {id for file in (ROOT / "scripts/site").glob("*.py") for id in CITED.findall(file.read_text("utf-8"))}
    checked = {rule["id"] for rule in RULES if rule["checked"]}
    assert cited == checked - CHECKED_ELSEWHERE
