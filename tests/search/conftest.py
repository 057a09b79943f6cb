"""The built engine and, beside it, the theme's own, both on the index of the built site, in V8 inside this process."""

import json
from collections.abc import Iterator
from pathlib import Path

import material
import pytest
from py_mini_racer import MiniRacer

from scripts.engine import BUNDLE
from scripts.site import programme
from scripts.site.engine import WORKER

ROOT = Path(__file__).resolve().parents[2]
THEME = Path(material.__file__).parent / "templates/assets/javascripts"
# What a worker has and V8 alone has not. `ask` hands over one message and returns the answers to it.
WORKER_SCOPE = """
var self = globalThis, listeners = [], answers = [];
globalThis.addEventListener = (name, listener) => name === "message" && listeners.push(listener);
globalThis.postMessage = (message) => answers.push(message);
globalThis.importScripts = () => {};
globalThis.console = {warn() {}, info() {}, log() {}};
function firstPage(query) {
  ask({type: 2, data: query});
  const [first] = answers[0].data.items;
  return first ? first[0].location.split("#")[0] : null;
}
function ask(message) {
  answers = [];
  const event = {data: message};
  listeners.forEach((listener) => listener(event));
  if (typeof onmessage === "function") onmessage(event);
}
"""


class Engine:
    """A search worker: `answer(query)` is what the dialog would get."""

    def __init__(self, scripts: list[Path], index: dict):
        self.v8 = MiniRacer()
        self.v8.eval(WORKER_SCOPE)
        for script in scripts:
            self.v8.eval(script.read_text(encoding="utf-8"))
        self._ask({"type": 0, "data": index | {"options": {"suggest": True}}})

    def answer(self, query: str) -> dict:
        [message] = self._ask({"type": 2, "data": query})
        assert message["type"] == 3, message
        return message["data"]

    def first_page(self, query: str) -> str | None:
        """Address of the first page that is found, without a section."""
        items = self.answer(query)["items"]
        return items[0][0]["location"].partition("#")[0] if items else None

    def first_pages(self, queries: list[str]) -> list[str | None]:
        """The same for many queries, from an engine that answers at once, as ours does: what takes most of the time,
        to hand over whole answers, is left out."""
        return json.loads(self.v8.eval(f"JSON.stringify({json.dumps(queries)}.map(firstPage))"))

    def _ask(self, message: dict) -> list[dict]:
        self.v8.eval(f"ask({json.dumps(message)})")
        return json.loads(self.v8.eval("JSON.stringify(answers)"))


@pytest.fixture(scope="session")
def index(built_site: Path) -> dict:
    return json.loads((built_site / "search/search_index.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def engine(index: dict) -> Engine:
    return Engine([ROOT / BUNDLE], index)


@pytest.fixture(scope="session")
def stock_engine(index: dict) -> Iterator[Engine]:
    """The worker that the theme ships, with the stemmers that its settings ask for."""
    lunr = THEME / "lunr/min"
    languages = [lunr / f"lunr.{name}.min.js" for name in ("stemmer.support", "ru", "multi")]
    yield Engine([THEME.parent.parent / WORKER, *languages], {key: index[key] for key in ("config", "docs")})


@pytest.fixture(scope="session")
def addresses() -> dict[str, str]:
    """Programme id → address of the page."""
    return {question.id: question.url for question in programme.load(ROOT).questions}
