"""The two builds: where each is made, with which settings, and how long it takes."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml
from mkdocs.config import load_config

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ("clips", "data", "docs", "figures", "overrides", "scripts", "search", "vendor", "mkdocs.yml")
BUILD, CLIENT = "in the build", "in the browser"
CLIENT_SCRIPTS = {
    "katex.min.js": ROOT / "vendor/katex/katex.min.js",
    "auto-render.min.js": ROOT / "vendor/katex/auto-render.min.js",
    "client.js": Path(__file__).with_name("client.js"),
}


@dataclass(frozen=True)
class Duration:
    """Seconds on the clock and on the processor."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Variant:
    name: str
    project: Path

    @property
    def site(self) -> Path:
        return self.project / "site"

    def build(self, cold: bool) -> Duration:
        """Build once; `cold` forgets the formulas of earlier builds."""
        if cold:
            shutil.rmtree(self.project / ".cache", ignore_errors=True)
        begin = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--config-file", "bench.yml"],
            cwd=self.project,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"the site does not build with formulas rendered {self.name}")
        return Duration(time.perf_counter() - begin, usage.ru_utime + usage.ru_stime)

    def fastest(self, cold: bool, repeats: int) -> Duration:
        runs = [self.build(cold) for _ in range(repeats)]
        return Duration(min(run.wall for run in runs), min(run.cpu for run in runs))


def prepare(name: str, folder: Path, site_url: str) -> Variant:
    """A copy of the project in `folder`, set up for the variant `name`."""
    copy_project(folder)
    settings: dict[str, object] = {"INHERIT": "mkdocs.yml", "site_url": site_url}
    if name == CLIENT:
        for script, source in CLIENT_SCRIPTS.items():
            shutil.copyfile(source, folder / "docs/assets/katex" / script)
        settings["extra"] = {"formulas": "client"}
        settings["extra_javascript"] = [
            {"path": path, "defer": True}
            for path in [
                *(f"assets/katex/{script}" for script in CLIENT_SCRIPTS),
                *(script.path for script in load_config(str(ROOT / "mkdocs.yml")).extra_javascript),
            ]
        ]
    (folder / "bench.yml").write_text(yaml.safe_dump(settings), "utf-8")
    return Variant(name, folder)


def copy_project(folder: Path) -> None:
    """Copy what a build reads."""
    for part in PROJECT:
        source, target = ROOT / part, folder / part
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
