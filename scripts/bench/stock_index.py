"""A hook for the benchmark alone: keeps the index that Material's plugin has made before ours takes its place."""

import shutil
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority

from scripts.site.search import INDEX


# After the plugin, which writes the index (0), and before our hook (-100).
@event_priority(-50)
def on_post_build(config: MkDocsConfig) -> None:
    index = Path(config.site_dir) / INDEX
    shutil.copyfile(index, index.with_name("stock.json"))
