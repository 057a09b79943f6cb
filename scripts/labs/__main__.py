"""`python -m scripts.labs [--all] [NAME …]`: execute the labs whose code has changed, rewrite those whose text has."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from scripts.labs import notebook, records, source
from scripts.labs.execution import CellFailed, Run, run
from scripts.labs.records import Files
from scripts.sources import ROOT


class Refused(Exception):
    """The lab cannot be committed as it is; the text says where and why."""


def execute(lab: Files) -> None:
    """Run the lab; only a run that succeeds replaces notebook, drawings and record."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            result = run(lab.make_notebook([]), Path(folder))
        except CellFailed as failure:
            line = lab.cells[failure.cell].line if failure.cell >= 0 else 1
            raise Refused(f"{lab.path}:{line}: cell {failure.cell + 1} fails: {failure}") from failure
        _refuse_costly(lab, result)
        shutil.rmtree(lab.drawings, ignore_errors=True)
        for drawing in Path(folder).glob("*.svg"):
            lab.drawings.mkdir(exist_ok=True)
            shutil.copyfile(drawing, lab.drawings / drawing.name)
    write(lab, result.outputs, {"seconds": round(result.seconds, 1), "megabytes": round(result.megabytes)})


def _refuse_costly(lab: Files, result: Run) -> None:
    if result.seconds > records.SECONDS:
        raise Refused(f"{lab.path}:1: it runs for {result.seconds:.0f} s; the limit is {records.SECONDS}")
    if result.megabytes > records.MEGABYTES:
        raise Refused(f"{lab.path}:1: it takes {result.megabytes:.0f} MB; the limit is {records.MEGABYTES}")


def write(lab: Files, outputs: list[notebook.Outputs], cost: dict[str, float]) -> None:
    lab.notebook.write_text(notebook.dumps(lab.make_notebook(outputs)), encoding="utf-8")
    records.record(lab, cost)


def rewrite(lab: Files) -> None:
    entry = records.read_manifest(lab.root)[lab.name]
    write(lab, notebook.outputs_of(lab.read_notebook()), {key: entry[key] for key in ("seconds", "megabytes")})


def update(lab: Files, force: bool) -> None:
    for line, message in source.mistakes(lab.text):
        raise Refused(f"{lab.path}:{line}: {message}")
    if reason := "asked to" if force else records.why_run(lab):
        print(f"lab {lab.name}: {reason}: executing it", flush=True)
        execute(lab)
        cost = records.read_manifest(lab.root)[lab.name]
        print(f"lab {lab.name}: {cost['seconds']} s, {cost['megabytes']} MB", flush=True)
    elif reason := records.why_write(lab):
        print(f"lab {lab.name}: {reason}: writing its notebook", flush=True)
        rewrite(lab)


def remove_orphans(labs: list[Files]) -> None:
    for path in records.orphans(labs):
        path.unlink()
        print(f"removed {path.relative_to(ROOT)}: its lab is gone")
    names = {lab.name for lab in labs}
    manifest = records.read_manifest()
    if manifest.keys() - names:
        records.write_manifest({name: entry for name, entry in manifest.items() if name in names})


def main() -> None:
    parser = argparse.ArgumentParser(description="Execute the labs that have changed since they were executed.")
    parser.add_argument("--all", action="store_true", help="the fresh ones too")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these, e.g. 01-backpropagation or 01")
    options = parser.parse_args()

    labs = records.all_labs()
    known = {lab.name for lab in labs} | {lab.name[:2] for lab in labs}
    if unknown := set(options.names) - known:
        parser.error(f"no such lab: {', '.join(sorted(unknown))}")
    refused = []
    for lab in labs:
        if not options.names or {lab.name, lab.name[:2]} & set(options.names):
            try:
                update(lab, options.all)
            except Refused as reason:
                refused.append(str(reason))
    if not options.names and not refused:
        remove_orphans(labs)
    if refused:
        sys.exit("\n".join(refused))


if __name__ == "__main__":
    main()
