"""Records of experiments: read while the code is the same, made anew when it changes, never made by a test."""

import importlib.util
import textwrap

import numpy as np
import pytest

from scripts.experiments import recorded

EXPERIMENT = """
import numpy as np
from scripts.experiments.recorded import recorded

@recorded
def trial(steps: int) -> dict[str, object]:
    return {"curve": np.arange(steps) * FACTOR, "best": 0.5}
"""


@pytest.fixture(autouse=True)
def no_experiment():
    """The experiments of these tests are short and may run."""


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """`trial(factor)` is the experiment as a fresh process would import it, its code holding `factor`."""
    monkeypatch.setattr(recorded, "ROOT", tmp_path)
    monkeypatch.setattr(recorded, "sources_hash", lambda modules: (tmp_path / modules[0]).read_text(encoding="utf-8"))

    def load(factor: int):
        path = tmp_path / "trials.py"
        path.write_text(textwrap.dedent(EXPERIMENT).replace("FACTOR", str(factor)), encoding="utf-8")
        spec = importlib.util.spec_from_file_location("trials", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.trial

    return load


def test_an_unchanged_experiment_is_read_from_its_record(trial, tmp_path):
    np.testing.assert_array_equal(trial(2)(3)["curve"], [0, 2, 4])
    assert [path.name for path in (tmp_path / "data/records/trials").iterdir()] == ["trial-3.npz"]
    with recorded.reading_only():
        found = trial(2)(3)
    np.testing.assert_array_equal(found["curve"], [0, 2, 4])
    assert found["best"] == 0.5


def test_a_changed_experiment_runs_again(trial):
    trial(2)(3)
    np.testing.assert_array_equal(trial(5)(3)["curve"], [0, 5, 10])


def test_a_missing_or_stale_record_is_told_where_nothing_may_run(trial):
    with recorded.reading_only(), pytest.raises(recorded.StaleRecord, match=r"trial-3\.npz .* `make figures`"):
        trial(2)(3)
    trial(2)(3)
    with recorded.reading_only(), pytest.raises(recorded.StaleRecord):
        trial(5)(3)


@pytest.mark.parametrize("record", recorded.committed(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_committed_record_is_fresh(record):
    assert recorded.is_fresh(record)
