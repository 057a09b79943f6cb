"""One build of the site and one server of it, shared by all tests that look at the result."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from scripts.browser.serving import SiteServer
from scripts.experiments.recorded import reading_only

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-experiments", action="store_true", help="run stale experiments and keep what they find")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests share a worker: those of one page, so that what its figures compute is computed once, and those
    of one file, but for the browser's, each of which takes long and needs only the site."""
    for item in items:
        if item.path.parent.name != "browser":
            item.add_marker(pytest.mark.xdist_group(_shared_work(item)))


def _shared_work(item: pytest.Item) -> str:
    figure = getattr(item, "callspec", None) and item.callspec.params.get("figure")
    return figure.page if figure else item.path.stem.removeprefix("test_").replace("_", "-")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests measured (`record_property("printed", …)`), which pytest-xdist would swallow."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, text in report.user_properties:
            if name == "printed" and report.when == "call":
                terminalreporter.write_line(f"\n{text}")


@pytest.fixture(autouse=True)
def no_experiment(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests take the results of long experiments from their records, unless they are run to make those records."""
    with nullcontext() if request.config.getoption("run_experiments") else reading_only():
        yield


@pytest.fixture(scope="session")
def _server() -> Iterator[SiteServer]:
    server = SiteServer()
    yield server
    server.server_close()


@pytest.fixture(scope="session")
def built_site(_server: SiteServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, built strictly for the address of `site_server`."""
    site = tmp_path_factory.mktemp("built") / "site"
    build = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=ROOT,
        env={**os.environ, "SITE_URL": _server.url},
        capture_output=True,
        text=True,
    )
    assert build.returncode == 0, f"the site does not build:\n{build.stdout}{build.stderr}"
    return site


@pytest.fixture(scope="session")
def site_server(_server: SiteServer, built_site: Path) -> Iterator[SiteServer]:
    """The built site at `site_server.url`; `site_server.requests` lists the paths that were asked for."""
    _server.serve(built_site)
    yield _server
    _server.shutdown()
