"""The thin layer that plugs the modules of scripts/site into MkDocs. No decisions are made here."""

import logging
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import CountHandler

ROOT = Path(__file__).resolve().parents[2]
# MkDocs loads a hook by its path, so the repository is not on the module path yet.
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from scripts.site import (  # noqa: E402
    checks,
    clips,
    engine,
    figures,
    formulas,
    glossary,
    lab_pages,
    links,
    navigation,
    search,
    sections,
    staging,
    terms,
)
from scripts.site.glossary import Glossary  # noqa: E402
from scripts.site.labs import Lab  # noqa: E402
from scripts.site.listing import Listing  # noqa: E402
from scripts.site.problems import ContentError, Problem  # noqa: E402
from scripts.site.programme import is_question_page  # noqa: E402

CACHE = ROOT / ".cache/formulas.sqlite"


class Build:
    """What one build knows; made anew by each `on_config`."""

    def __init__(self, root: Path, site: Path):
        self.root = root
        self.site = site
        content = checks.read_content(root)
        self.content: Listing = content.listing
        self.glossary: Glossary = content.glossary
        self.labs: dict[str, Lab] = {lab.note.uri: lab for lab in content.labs}
        self.terms = terms.Terms(content.glossary)
        self.katex = formulas.Katex(ROOT / formulas.ENGINE, CACHE)
        self.problems: list[Problem] = []


build: Build


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    global build
    root = Path(config.docs_dir).parent
    try:
        build = Build(root, Path(config.site_dir))
    except ContentError as error:
        raise _failure(error) from error
    config.nav = navigation.tree(build.content, list(build.labs.values()))
    config.site_dir = str(staging.folder_for(build.site))
    config.markdown_extensions += [figures.FigureExtension(root), clips.ClipExtension()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    notes = build.content.notes
    labs = build.labs.values()
    drawings = {uri: path for lab in labs for uri, path in lab.drawings().items()}
    for uri, path in (figures.used_files(notes, build.root) | clips.used_files(notes, build.root) | drawings).items():
        files.append(File.generated(config, uri, abs_src_path=str(path)))
    for uri, text in lab_pages.downloads(list(labs), config.repo_url, config.site_url).items():
        files.append(File.generated(config, uri, content=text))
    try:
        engine.replace_worker(files, config, ROOT)
    except ContentError as error:
        raise _failure(error) from error
    return files


# After mkdocs-jupyter, which makes the notebooks pages and gives each here a `render` of its own with HTML of
# nbconvert. Without that the page is rendered as every other one, from the Markdown of `on_page_read_source`.
@event_priority(-100)
def on_pre_page(page: Page, **_: object) -> Page:
    if page.file.src_uri in build.labs:
        vars(page).pop("render", None)
        page.edit_url = page.edit_url and page.edit_url.replace(".ipynb", ".py")
    return page


def on_page_read_source(page: Page, **_: object) -> str | None:
    lab = build.labs.get(page.file.src_uri)
    return lab_pages.markdown(lab) if lab else None


def on_page_content(html: str, page: Page, config: MkDocsConfig, **_: object) -> str:
    uri = page.file.src_uri
    note = build.content.notes.get(uri)
    if note is None:
        return html
    build.problems += formulas.left_over_delimiters(note, html)
    html = search.without_code(links.without_heading_previews(html))
    content = build.content
    html = content.fill(html, page.url)
    html = glossary.fill(html, page.url, build.glossary, content.notes, content.programme)
    html = lab_pages.fill(html, note, list(build.labs.values()), content)
    if is_question_page(uri):
        html = terms.mark(html, content.programme.by_uri[uri], build.terms, content.programme)
        html = sections.wrap(clips.resolve_addresses(html, page.url))
        html = html.replace("</h1>", "</h1>" + content.card(note), 1)
        html += links.related_html(note, content.notes, content.programme)
    if lab := build.labs.get(uri):
        html = sections.wrap(html).replace("</h1>", "</h1>" + lab_pages.card(lab, content, config.repo_url), 1)
        html += links.related_html(note, content.notes, content.programme)
    return html


# Before any plugin that might rewrite the markup, after the search plugin has read the page.
@event_priority(100)
def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    # The benchmark builds the same notes for KaTeX in the browser.
    if config.extra.get("formulas") == "client":
        return output
    output, rejected = formulas.render_page(output, build.katex)
    if rejected:
        build.problems += formulas.rejected_problems(build.content.notes[page.file.src_uri], rejected)
    return output


# After every plugin that still writes to the folder.
@event_priority(-100)
def on_post_build(config: MkDocsConfig) -> None:
    staged = Path(config.site_dir)
    config.site_dir = str(build.site)
    if build.problems:
        raise _failure(ContentError(build.problems))
    search.rewrite(staged, build.glossary, build.content.programme, _labels())
    if not _strict_mode_will_abort():
        staging.publish(staged, build.site)


def _labels() -> dict[str, str]:
    """Address of a page → what it is called before its title."""
    questions = {question.url: question.label for question in build.content.programme.questions}
    return questions | {lab.url: lab.label for lab in build.labs.values()}


def _failure(error: ContentError) -> PluginError:
    return PluginError(f"mistakes in the content: {len(error.problems)}\n{error}")


def _strict_mode_will_abort() -> bool:
    """MkDocs ends a strict build with warnings only after this event, too late to keep the last good site."""
    handlers = logging.getLogger("mkdocs").handlers
    return any(isinstance(handler, CountHandler) and handler.get_counts() for handler in handlers)
