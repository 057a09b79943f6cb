"""The automatic checks: valid workflows of official, pinned actions that run the README's own commands."""

import re
import subprocess
import sysconfig
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
USES = re.compile(r"^\s*(?:- )?uses: (?P<action>\S+)(?P<comment>.*)$", re.MULTILINE)
PINNED = re.compile(r"actions/[a-z-]+@[0-9a-f]{40}\Z")

BROKEN = """\
on: push
jobs:
  test:
    runs-on: ubuntu-24.04
    needs: biuld
    steps:
      - run: echo ${{ github.event.pull_request.title }}
"""


def actionlint(*files: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sysconfig.get_path("scripts")) / "actionlint"
    # The scripts of `run:` steps are one command long: the result must not depend on a shellcheck on PATH.
    return subprocess.run([program, "-shellcheck=", "-pyflakes=", *files], cwd=ROOT, capture_output=True, text=True)


def jobs(name: str) -> dict[str, dict]:
    return yaml.safe_load((ROOT / ".github/workflows" / name).read_text("utf-8"))["jobs"]


def test_actionlint_accepts_the_workflows() -> None:
    run = actionlint(*WORKFLOWS)
    assert run.returncode == 0, run.stdout + run.stderr


def test_actionlint_refuses_a_broken_workflow(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text(BROKEN, "utf-8")
    run = actionlint(broken)
    assert run.returncode == 1
    assert 'needs job "biuld"' in run.stdout
    assert "potentially untrusted" in run.stdout


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_official_and_pinned_by_commit(workflow: Path) -> None:
    found = [match for match in USES.finditer(workflow.read_text("utf-8")) if not match["action"].startswith("./")]
    assert found
    for match in found:
        assert PINNED.match(match["action"]), match["action"]
        assert re.match(r" # v\d+\.\d+\.\d+$", match["comment"]), f"{match['action']}: say the version"


def test_only_the_deployment_may_write() -> None:
    assert yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text("utf-8"))["permissions"] == {}
    for name, job in jobs("publish.yml").items():
        writes = {scope for scope, level in job["permissions"].items() if level == "write"}
        assert writes == ({"pages", "id-token"} if name == "deploy" else set())


def test_nothing_is_published_that_fails_the_check() -> None:
    publish = jobs("publish.yml")
    assert set(publish["deploy"]["needs"]) == {"check", "build"}
    assert publish["check"]["uses"] == "./.github/workflows/check.yml"


def test_the_check_runs_the_test_command_of_the_readme() -> None:
    commands = [step["run"] for step in jobs("check.yml")["test"]["steps"] if "run" in step]
    assert commands == ["make test"]
    assert "make test" in (ROOT / ".ci/run").read_text("utf-8").splitlines()
    assert "make test" in (ROOT / "README.md").read_text("utf-8")


def test_every_command_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for document in ("README.md", "CONTRIBUTING.md"):
        named = set(re.findall(r"`make ([a-z-]+)", (ROOT / document).read_text("utf-8")))
        assert named <= targets, f"{document}: {named - targets}"


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_requirements_are_pinned(name: str) -> None:
    lines = [line.partition("#")[0].strip() for line in (ROOT / name).read_text("utf-8").splitlines()]
    loose = [line for line in lines if line and not line.startswith("-r ") and "==" not in line]
    assert not loose
