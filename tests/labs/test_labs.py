"""The labs run, from the first cell to the last, on what is installed here.

Shortened, and as scripts, which saves starting a kernel: the cells run in the same order. What they print in full
length stands in their notebooks, and the build checks that those are fresh.
"""

import os
import subprocess
import sys
from gzip import compress
from pathlib import Path

import pytest

from scripts.labs import records
from scripts.labs.records import MEGABYTES, SECONDS, Files
from scripts.sources import ROOT

LABS = records.all_labs()
# Digests of labs that have run here. The automatic check starts with none and does not look.
PASSED = ROOT / ".cache/labs"
TIMEOUT = 120


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_a_shortened_run_succeeds(lab: Files, tmp_path: Path):
    # One after the other, on one worker: tests of one file share it (tests/conftest.py).
    passed = PASSED / records.code_digest(lab)
    if passed.exists() and not os.environ.get("CI"):
        return
    own = {"LAB_REDUCED": "1", "LAB_DRAWINGS": str(tmp_path), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, str(lab.source)],
        cwd=ROOT,
        env=os.environ | own,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-4000:]
    assert run.stdout.count("✓") > 0
    assert {path.name for path in tmp_path.glob("*.svg")} == {path.name for path in lab.drawings.glob("*.svg")}
    passed.parent.mkdir(parents=True, exist_ok=True)
    passed.touch()


def test_the_full_runs_keep_to_their_budget():
    for lab in LABS:
        entry = records.read_manifest()[lab.name]
        assert entry["seconds"] < SECONDS, lab.name
        assert entry["megabytes"] < MEGABYTES, lab.name


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_drawings_are_light(lab: Files):
    for path in lab.drawings.glob("*.svg"):
        assert len(compress(path.read_bytes())) < 60 * 1024, path.name
