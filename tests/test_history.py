"""What may only grow or only shrink, compared with every commit so far."""

import subprocess
from pathlib import Path

import pytest

from scripts.site import addresses

ROOT = Path(__file__).parents[1]


def versions(path: Path) -> list[str]:
    """All committed versions of a file; skips where there is no history to look at."""
    log = ["git", "log", "--format=%H", "--", path.as_posix()]
    commits = subprocess.run(log, cwd=ROOT, capture_output=True, text=True)
    if commits.returncode:
        pytest.skip("not a git checkout")
    shown = (
        subprocess.run(["git", "show", f"{commit}:{path.as_posix()}"], cwd=ROOT, capture_output=True, text=True)
        for commit in commits.stdout.split()
    )
    return [version.stdout for version in shown if version.returncode == 0]


def test_the_list_of_published_addresses_only_grows():
    published = addresses.published()
    for version in versions(addresses.PUBLISHED):
        assert set(version.split()) <= published, "an address was struck from data/published.txt"


def test_every_published_address_still_exists_and_every_address_is_listed(built_site):
    existing = addresses.of_site(built_site)
    vanished = sorted(addresses.published() - existing)
    assert not vanished, f"published addresses vanished: {vanished}; bring the page or the heading's id back"
    unlisted = sorted(existing - addresses.published())
    assert not unlisted, f"not in data/published.txt yet: {unlisted}; run `make addresses`"
