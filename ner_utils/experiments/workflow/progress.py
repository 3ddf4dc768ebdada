"""What does a person see while a study runs? A line for each run and evaluation; the rest goes to log files.

Each step of the workflow, on whatever machine it runs, adds lines to the file that ``NER_PROGRESS`` names,
and `batch` shows them. A line that begins with a carriage return is a state: terminals show the last one
alone.
"""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path
from typing import Any

from ner_utils import config, messages, paths
from ner_utils.config.run import Run
from ner_utils.results import provenance

STATE = "\r"
_STEP = re.compile(r"step (\d+)/(\d+), (\d+) s of training left")
_EVALUATION = re.compile(r"evaluation (\d+/\d+) on dev: (F1 [\d.]+), loss .*")
_STATES = re.compile(r"(?:generated|answered) \d+/\d+ sentences(?:, \$[\d.]+)?")
DOUBT = "times are not to be trusted"
_SAID = re.compile(r"warning: |out of memory|going on from |.*so it is made again")


def schedule_file(study: str) -> Path:
    """Where the expected seconds of a study's missing runs are, by their manifests."""
    return paths.RUNS / study / "schedule.json"


def tell(line: str) -> None:
    """Add a line to the progress of the study that runs; without one, print it."""
    file = os.environ.get("NER_PROGRESS")
    if not file:
        print(line.lstrip(STATE), flush=True)
        return
    with Path(file).open("a", encoding="utf-8") as whole:
        whole.write(messages.visible(line, keep=STATE) + "\n")


def duration(seconds: float) -> str:
    """Seconds in words: ``40 s``, ``12 min``, ``2.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class RunProgress(logging.Handler):
    """Takes what a notebook prints, writes it to a log file, and tells what a person wants to know of it."""

    def __init__(self, log: Path, run: Run | None) -> None:
        super().__init__()
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log, self._run = log.open("w", encoding="utf-8"), run
        self._left, self._others, self._began, self._doubted = 0.0, 0.0, False, False
        expected = schedule_file(os.environ.get("STUDY", "")) if run else None
        self._schedule: dict[str, float] = {}
        if expected and expected.is_file():
            self._schedule = json.loads(expected.read_text(encoding="utf-8"))
        if run:
            self._begin(paths.relative(provenance.manifest_path(run)))

    def _begin(self, manifest: str) -> None:
        missing = [name for name in self._schedule if not (paths.ROOT / name).is_file()]
        self._left = self._schedule.get(manifest, 0.0)
        self._others = sum(self._schedule[name] for name in missing if name != manifest)
        if manifest in missing:
            number = len(self._schedule) - len(missing) + 1
            tell(f"[{number}/{len(self._schedule)}] {title(self._run)}: {self._times()}")

    def _times(self) -> str:
        unknown = "predictions left" if self._began else "time not known"
        left = f"about {duration(self._left)} left" if self._left else unknown
        return f"{left}, {duration(self._left + self._others)} for all runs" if self._others else left

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self._log.write(text if text.endswith("\n") else f"{text}\n")
        self._log.flush()
        for line in text.splitlines() if self._run else ():
            self._tell(line)

    def _tell(self, line: str) -> None:
        if found := _STEP.fullmatch(line):
            self._left, self._began = float(found[3]), True
            tell(f"{STATE}      step {found[1]} of {found[2]}; {self._times()}")
        elif found := _EVALUATION.fullmatch(line):
            tell(f"      evaluation {found[1]}: {found[2]} on dev; {self._times()}")
        elif _STATES.fullmatch(line):
            tell(f"{STATE}      {line}")
        elif _SAID.match(line) and not (DOUBT in line and self._doubted):
            self._doubted |= DOUBT in line  # once a run: the thesis lists all
            tell(f"      {line}")

    def close(self) -> None:
        self._log.close()
        super().close()


def title(run: Run) -> str:
    """The title of a run, with its study unless this is the one that runs."""
    of = "" if run.study == os.environ.get("STUDY", run.study) else f" (study {run.study})"
    return f"{run.title}{of}"


def run_of(parameters: dict[str, Any]) -> Run | None:
    """The run of a notebook's parameters, if they name one."""
    names = ("study", "dataset", "system", "seed", "overrides")
    try:
        return config.load_run(*(parameters[name] for name in names))
    except (KeyError, config.ConfigError):
        return None
