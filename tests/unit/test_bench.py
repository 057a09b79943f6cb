"""The benchmark builds a copy of the project: everything that a build reads has to be in it."""

import yaml

from scripts.bench.variants import PROJECT, ROOT
from scripts.site.engine import BUNDLE


class Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, whose `!ENV` are of no interest here."""


Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


def test_the_copy_holds_what_a_build_reads():
    settings = yaml.load((ROOT / "mkdocs.yml").read_text("utf-8"), Loader)
    assert {*settings["watch"], "docs", "mkdocs.yml", BUNDLE.parts[0]} <= set(PROJECT)
