"""How the workflow runs a notebook: ``python -m ner_utils.experiments.workflow.notebook FILE LOG ...``.

papermill runs it. Four things are added. What the kernel prints goes to a text file next to LOG, the executed
notebook, and `progress` tells a person what matters. An error is one short message; its traceback is in the
text file. If the system killed the kernel, the message says that memory was probably short, and what would
fit. And the notebook ends when the workflow that started it was killed (``NER_BATCH`` holds the ids of its
processes).
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Any

from ner_utils import files, messages, paths, processes
from ner_utils.experiments.memory import fit
from ner_utils.experiments.workflow import progress


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
        logging.getLogger("papermill").error("%s", error)
        return f"{error.ename}: {messages.few_lines(str(error.evalue))}"
    except OSError as error:
        return f"{notebook}: {error}"
    return ""


def _advice(parameters: dict[str, Any]) -> str:
    """What would fit, if the notebook is one that trains."""
    trained = progress.run_of(parameters)
    if not trained or not trained.has_weights:
        return ""
    return f"; {fit.advice(trained, 'prediction' if trained.untrained else 'training')}"


def _listen(log: Path, parameters: dict[str, Any], text: Path) -> progress.RunProgress:
    """Let what the notebook prints go to a text file, and to those who wait for it."""
    trains = log.name.startswith(("train-", "vote-"))
    handler = progress.RunProgress(text, progress.run_of(parameters) if trains else None)
    library = logging.getLogger("papermill")
    library.handlers, library.propagate = [handler], False
    library.setLevel("INFO")
    return handler


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
    parameters = dict(options.r) | {name: int(text) for name, text in options.p}
    text = options.log.with_suffix(".txt")
    handler = _listen(options.log, parameters, text)
    try:
        failed = run(options.notebook, options.log, parameters)
    finally:
        handler.close()
    if failed:
        about = progress.run_of(parameters)
        what = f"{progress.title(about)}, {options.notebook.stem}" if about else options.notebook.stem
        first, file = failed.splitlines()[0], paths.relative(text.resolve())
        progress.tell(f"FAILED: {what}: {messages.shortened(first, 160)}; log: {file}")
        sys.exit(f"error: {failed}\n(all output is in {file})")


if __name__ == "__main__":
    main()
