"""How the workflow runs a notebook: ``python -m ner_utils.experiments.notebook FILE LOG -r NAME TEXT``.

What papermill does, with the kernel's output on stderr, and three things besides: what ended the notebook is
one short message, and the whole traceback lies in LOG, the executed notebook; a kernel that the system killed
is called probably out of memory, with what would fit; and the notebook ends when the workflow that started it
was killed (``NER_BATCH`` holds the ids of its processes).
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ner_utils import files

LINES = 6  # of an exception's message at most
PERIOD = 1.0  # seconds between two looks at the workflow's processes


def run(notebook: Path, log: Path, parameters: dict[str, Any]) -> str:
    """Execute a notebook with parameters into ``log``; returns what went wrong, empty where nothing did."""
    from nbclient.exceptions import DeadKernelError
    from papermill import execute_notebook
    from papermill.exceptions import PapermillExecutionError

    try:
        with files.naming(log):
            execute_notebook(
                notebook, log, parameters, kernel_name="python3", progress_bar=False, log_output=True
            )
    except DeadKernelError:
        return (
            f"{notebook}: its process died: the system probably killed it, out of memory{_advice(parameters)}"
        )
    except PapermillExecutionError as error:
        said = [_printable(line[:1000]) for line in str(error.evalue).splitlines()[:LINES]]
        return f"{error.ename}: {os.linesep.join(said)}\n(the traceback is in {log})"
    except OSError as error:
        return f"{notebook}: {error}"
    return ""


def _printable(text: str) -> str:
    """Text without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _advice(parameters: dict[str, Any]) -> str:
    """What would fit, where the notebook is one that trains."""
    if "system" not in parameters or "seed" not in parameters:
        return ""
    from ner_utils import config
    from ner_utils.experiments.memory import fit

    names = ("study", "dataset", "system", "seed", "overrides")
    try:
        found = config.load_run(*(parameters[name] for name in names))
    except (KeyError, config.ConfigError):
        return ""
    return "" if found.members else f"; {fit.advice(found, 'prediction' if found.untrained else 'training')}"


def end_with(processes: list[int]) -> None:
    """End this process, and with it the kernel, soon after one of the ``processes`` ended (on Linux)."""

    def watch() -> None:
        while all(map(_runs, processes)):
            time.sleep(PERIOD)
        os._exit(1)

    if processes and Path("/proc/self").exists():
        threading.Thread(target=watch, daemon=True).start()


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def main() -> None:
    """Run the notebook that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("-r", nargs=2, action="append", default=[], metavar=("NAME", "TEXT"))
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "NUMBER"))
    options = parser.parse_args()
    if "SLURM_JOB_ID" not in os.environ:  # a job is the cluster's, and may be on another machine
        end_with([int(process) for process in os.environ.get("NER_BATCH", "").split()])
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # or the kernel warns about its debugger
    logging.basicConfig(level="INFO", format="%(message)s")
    numbers = {name: int(text) for name, text in options.p}
    if failed := run(options.notebook, options.log, dict(options.r) | numbers):
        sys.exit(f"error: {failed}")


if __name__ == "__main__":
    main()
