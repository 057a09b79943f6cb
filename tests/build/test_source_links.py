"""Every question page leads to its source in the repository."""

from bs4 import BeautifulSoup
from mkdocs.config import load_config

from scripts.site import programme
from tests.conftest import ROOT


def test_pages_link_to_their_source(built_site, subtests):
    repository = load_config(str(ROOT / "mkdocs.yml")).repo_url.rstrip("/")
    for question in programme.load(ROOT).questions:
        with subtests.test(question.id):
            page = BeautifulSoup((built_site / question.url / "index.html").read_text("utf-8"), "html.parser")
            edit = page.select_one("a[rel~=edit], a.md-content__button[href*='/edit/']")["href"]
            source = edit.removeprefix(f"{repository}/edit/main/")
            assert source == f"docs/{question.uri}"
            assert (ROOT / source).is_file()
            assert page.select_one("a.md-source")["href"].rstrip("/") == repository
