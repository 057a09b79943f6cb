"""Running a notebook in a kernel of its own, and what that costs."""

import os
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from scripts.labs.notebook import Notebook, Outputs, dumps, plain_outputs
from scripts.sources import ROOT

# For one cell, on a machine that is busy with other things: the limits on a lab are `records.SECONDS` and `MEGABYTES`.
TIMEOUT = 300
# Seconds of the processor, which a busy machine does not stretch, and the largest memory in bytes. On Linux ru_maxrss
# is never less than that of the process from which the kernel was forked; VmHWM is the kernel's own.
USAGE = """\
import pathlib, resource
usage = resource.getrusage(resource.RUSAGE_SELF)
status = pathlib.Path("/proc/self/status")
own = int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024 if status.exists() else usage.ru_maxrss
print(usage.ru_utime + usage.ru_stime, own)"""


class CellFailed(Exception):
    """`cell` counts the lab's cells from 0; the text is the last line of the error."""

    def __init__(self, cell: int, message: str):
        self.cell = cell
        super().__init__(message)


@dataclass(frozen=True)
class Run:
    """The outputs of the lab's code cells, in order; seconds and megabytes of the kernel's process."""

    outputs: list[Outputs]
    seconds: float
    megabytes: float


def run(notebook: Notebook, drawings: Path) -> Run:
    """Execute a notebook of `notebook.make`; its figures are drawn into the folder. Raises CellFailed."""
    executed = nbformat.reads(dumps(notebook), as_version=4)
    nbformat.validate(executed)
    executed.cells.append(nbformat.v4.new_code_cell(USAGE))
    client = NotebookClient(
        executed,
        kernel_name="python3",
        timeout=TIMEOUT,
        resources={"metadata": {"path": str(ROOT)}},
        extra_arguments=["--log-level=ERROR"],
    )
    with client.setup_kernel(env=_environment(drawings)):
        for number, cell in enumerate(executed.cells):
            _execute(client, cell, number)
    usage = executed.cells.pop().outputs[0].text.split()
    outputs = [plain_outputs(cell.outputs) for cell in executed.cells if cell.cell_type == "code"][1:]
    return Run(outputs, float(usage[0]), float(usage[1]) / 2**20)


def _execute(client: NotebookClient, cell: nbformat.NotebookNode, number: int) -> None:
    lab_cell = number - 1  # the first one is not the lab's
    try:
        client.execute_cell(cell, number)
    except CellExecutionError as error:
        raise CellFailed(lab_cell, f"{error.ename}: {error.evalue}".strip().splitlines()[-1]) from error
    except CellTimeoutError as error:
        raise CellFailed(lab_cell, f"it runs for more than {TIMEOUT} s") from error
    except DeadKernelError as error:
        raise CellFailed(lab_cell, "the kernel has died, perhaps for want of memory") from error
    warnings = [output.text for output in cell.get("outputs", []) if output.get("name") == "stderr"]
    if warnings:
        raise CellFailed(lab_cell, f"it writes to stderr: {''.join(warnings).strip().splitlines()[-1]}")


def _environment(drawings: Path) -> dict[str, str]:
    own = {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # the debugger that comes with the kernel warns about itself
        "LAB_DRAWINGS": str(drawings),
    }
    return {name: value for name, value in os.environ.items() if name != "LAB_REDUCED"} | own
