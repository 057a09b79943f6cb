"""Keep the result of a long experiment together with a hash of the code that found it.

    @recorded
    def transfer(labels: int) -> dict[str, np.ndarray]: ...

The first call runs the experiment and writes `data/records/<module>/transfer-3.npz`; later calls read it, as long as
neither the module nor anything of `scripts/` that it imports has changed. `make figures` runs again what is stale and
drawn, `make records` what tests read. Tests only read: inside `reading_only()` a missing or stale record is an error.
"""

import functools
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from scripts.sources import ROOT, sources_hash

RECORDS = Path("data/records")
CODE = "code"  # the name under which the hash stands in a record

Result = dict[str, np.ndarray]
_may_run = True


class StaleRecord(RuntimeError):
    """A record is missing or older than the code that makes it."""


def recorded(experiment: Callable[..., dict[str, object]]) -> Callable[..., Result]:
    """Read what `experiment` found before, or run it and keep what it finds.

    `experiment` takes numbers and strings and returns a dict of arrays or scalars, which come back as arrays. Equal
    calls in one process give the same object: do not change it.
    """
    module = Path(experiment.__code__.co_filename).resolve().relative_to(ROOT)

    @functools.cache
    def call(*arguments: str | float) -> Result:
        path = ROOT / RECORDS / module.stem / (_stem(experiment.__name__, arguments) + ".npz")
        code = sources_hash([module])
        found = _read(path)
        if found is None or found.pop(CODE).item() != code:
            _require_permission(path)
            found = {name: np.asarray(value) for name, value in experiment(*arguments).items()}
            _write(path, found | {CODE: np.asarray(code)})
        return found

    return functools.update_wrapper(call, experiment)


@contextmanager
def reading_only() -> Iterator[None]:
    """Let no experiment run.

    Raises:
        StaleRecord: at the call whose record is missing or stale.
    """
    global _may_run
    before, _may_run = _may_run, False
    try:
        yield
    finally:
        _may_run = before


def committed() -> list[Path]:
    """All records that are kept."""
    return sorted((ROOT / RECORDS).glob("*/*.npz"))


def is_fresh(record: Path) -> bool:
    """Whether the module that made `record` is still there and unchanged."""
    module = Path(__file__).parent / f"{record.parent.name}.py"
    found = _read(record)
    return module.is_file() and found is not None and found[CODE].item() == sources_hash([module.relative_to(ROOT)])


def _stem(name: str, arguments: tuple[str | float, ...]) -> str:
    return "-".join([name.replace("_", "-"), *(re.sub(r"[^\w.]+", "-", str(argument)) for argument in arguments)])


def _require_permission(path: Path) -> None:
    if not _may_run:
        name = path.relative_to(ROOT)
        raise StaleRecord(f"{name} is missing or older than its code: run `make figures` or `make records`, commit it")


def _read(path: Path) -> Result | None:
    if not path.is_file():
        return None
    with np.load(path) as archive:
        return dict(archive)


def _write(path: Path, result: Result) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")  # whole, or not there: several processes may draw at once
    with partial.open("wb") as file:
        np.savez_compressed(file, **result)
    partial.replace(path)
