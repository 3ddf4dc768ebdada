"""How the workflow runs a notebook: ``python -m ner_utils.experiments.notebook FILE LOG -r NAME TEXT``.

papermill runs it, with the kernel's output on stderr. Three things are added. An error is one short message;
its traceback is in LOG, the executed notebook. If the system killed the kernel, the message says that memory
was probably short, and what would fit. And the notebook ends when the workflow that started it was killed
(``NER_BATCH`` holds the ids of its processes).
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Any

from ner_utils import config, files, messages, processes
from ner_utils.experiments.memory import fit


def run(notebook: Path, log: Path, parameters: dict[str, Any]) -> str:
    """Execute a notebook with parameters and write it to ``log``; returns the error's message, or nothing."""
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
        return f"{error.ename}: {messages.few_lines(str(error.evalue))}\n(the traceback is in {log})"
    except OSError as error:
        return f"{notebook}: {error}"
    return ""


def _advice(parameters: dict[str, Any]) -> str:
    """What would fit, if the notebook is one that trains."""
    if "system" not in parameters or "seed" not in parameters:
        return ""
    names = ("study", "dataset", "system", "seed", "overrides")
    try:
        trained = config.load_run(*(parameters[name] for name in names))
    except (KeyError, config.ConfigError):
        return ""
    if not trained.has_weights:
        return ""
    return f"; {fit.advice(trained, 'prediction' if trained.untrained else 'training')}"


def main() -> None:
    """Run the notebook that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("-r", nargs=2, action="append", default=[], metavar=("NAME", "TEXT"))
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "NUMBER"))
    options = parser.parse_args()
    if "SLURM_JOB_ID" not in os.environ:  # a job is the cluster's, and may be on another machine
        processes.end_with([int(process) for process in os.environ.get("NER_BATCH", "").split()])
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # or the kernel warns about its debugger
    logging.basicConfig(level="INFO", format="%(message)s")
    numbers = {name: int(text) for name, text in options.p}
    if failed := run(options.notebook, options.log, dict(options.r) | numbers):
        sys.exit(f"error: {failed}")


if __name__ == "__main__":
    main()
