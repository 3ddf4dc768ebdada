"""Runs the workflow of a study and shows a person what happens: ``python -m
ner_utils.experiments.workflow.batch STUDY OVERRIDES [snakemake's arguments]``.

Snakemake's own output goes to ``runs/<study>/snakemake.log``, that of each notebook to a log file of its own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from ner_utils import config, messages, paths
from ner_utils.config.run import Run
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.data.corpus import DataError
from ner_utils.experiments import preflight
from ner_utils.experiments.memory import fit
from ner_utils.experiments.workflow import progress
from ner_utils.models.weights import WeightsError
from ner_utils.results import evaluation, provenance
from ner_utils.sealed import ResultError

SHOWN = 8  # last lines of a log that a failure shows
LISTED = 3  # runs that a warning names
OVERHEAD = 20  # seconds of a run besides its training and prediction
SLACK = 2  # how much longer a run takes than the bound that is estimated


def main(study: str, overrides: str, arguments: Sequence[str]) -> int:
    """Run or describe what is missing; returns the exit code."""
    command = ["snakemake", *arguments]
    runs = config.with_companions(study, overrides)
    missing = [run for run in runs if not provenance.is_done(run)]
    if "--dry-run" in arguments:
        return _describe(runs, missing, command)
    if "from_results=1" not in arguments:
        preflight.check_study(study, overrides)
    began, folder = time.time(), paths.RUNS / study
    folder.mkdir(parents=True, exist_ok=True)
    log, shown = folder / "snakemake.log", folder / "progress.log"
    shown.write_text("")
    os.environ["NER_PROGRESS"] = str(shown)
    if "from_results=1" not in arguments:
        _write_schedule(study, runs, missing)
    code = _follow(command, log, shown)
    return _end(study, runs, code, log, shown, began)


# --------------------------------------------------------------------- before the runs
def expected(run: Run, done: Sequence[Run], trained: bool = False) -> float:
    """The seconds that a run will take, without training if that is ``trained`` for another system: those of
    another seed, or a bound by its operations with some slack; 0 where nothing is known. Raises `ResultError`
    where the result of the other seed is damaged."""
    if run.members:  # it votes on stored predictions; its stored cost is that of its members
        return OVERHEAD
    for other in done:
        if other.configuration == run.configuration:
            provenance.read_manifest(other)  # refuses a damaged file
            cost = evaluation.load_cost(other)
            learning = 0 if trained else cost.get("training_seconds", 0) + cost.get("looks_seconds", 0)
            return learning + sum(cost["prediction_seconds"].values()) + OVERHEAD
    if not run.has_weights or not run.model.architecture:
        return 0.0
    on_cpu = not fit.this_machine().gpu
    need = fit.estimate(run.model_copy(update={"untrained": True}) if trained else run, not on_cpu)
    card = fit.cpu() if on_cpu else need.smallest_card or fit.CARDS[-1]
    return SLACK * 60 * need.minutes(card) + OVERHEAD


def _schedule(runs: Sequence[Run], missing: Sequence[Run]) -> dict[str, float]:
    """The expected seconds of the runs that are missing, by their manifests."""
    done = [run for run in runs if provenance.is_done(run)]
    # All seeds take as long.
    first = config.configurations(missing)
    seconds = {key: expected(run, done, _is_trained(run, first)) for key, run in first.items()}
    return {paths.relative(provenance.manifest_path(run)): seconds[run.configuration] for run in missing}


def _is_trained(run: Run, missing: Collection[tuple[str, str, str]]) -> bool:
    """Whether a run finds the training that it shares with another system, whose run may be missing, too."""
    return run.base is not None and (run.base.configuration in missing or run.training_record.is_file())


def _time(seconds: Collection[float]) -> str:
    """The time of runs in words; seconds are 0 where nothing is known."""
    unknown = sum(not each for each in seconds)
    if unknown == len(seconds):
        return "time not known"
    more = f", and {unknown} run{'s' * (unknown > 1)} of unknown time" if unknown else ""
    return f"about {progress.duration(sum(seconds))}{more}"


def _write_schedule(study: str, runs: Sequence[Run], missing: Sequence[Run]) -> None:
    schedule = _schedule(runs, missing)
    progress.schedule_file(study).write_text(json.dumps(schedule))
    if missing:
        number = f"{len(missing)} run{'s' * (len(missing) > 1)}"
        print(f"{number} to make, {_time(schedule.values())}; all output: runs/{study}/", flush=True)
    _warn_of_replacement(missing)


def _warn_of_replacement(missing: Sequence[Run]) -> None:
    if replaced := [progress.title(run) for run in missing if provenance.replaces_result(run)]:
        more = f"; and {len(replaced) - LISTED} more" if len(replaced) > LISTED else ""
        print(
            "warning: stored results of other settings will be replaced: "
            f"{'; '.join(replaced[:LISTED])}{more}. To keep them, stop, and give these settings a study of "
            "their own",
            flush=True,
        )


def _describe(runs: Sequence[Run], missing: Sequence[Run], command: list[str]) -> int:
    """What would be done and why, then the runs in the study's order with their times, and the disk."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    # A reason may name a hundred files; the first ones are enough.
    print(re.sub(r"(?m)^(\s*[Rr]eason: .{200}).+$", r"\1 …", done.stdout), end="")
    schedule = _schedule(runs, missing) if not done.returncode else {}
    for run, seconds in zip(missing, schedule.values(), strict=False):
        print(f"{progress.title(run)}: {_time([seconds])}")
    if schedule:
        here = [run for run in missing if run.has_weights]
        print(f"{len(missing)} runs, {_time(schedule.values())}")
        print(f"the study needs {fit.disk(here, fit.needs_here(here))}" if here else "")
    _warn_of_replacement(missing)
    return done.returncode


# ---------------------------------------------------------------------- during the runs
def _follow(command: list[str], log: Path, shown: Path) -> int:
    """Run the command, its output in a log, and show the lines of progress; returns its exit code."""
    terminal = sys.stdout.isatty()
    with log.open("w", encoding="utf-8") as whole, shown.open(encoding="utf-8", newline="\n") as lines:
        workflow = subprocess.Popen(command, stdout=whole, stderr=subprocess.STDOUT)
        state, ended = "", False
        while not ended:
            try:
                ended = workflow.poll() is not None
                if not ended:
                    time.sleep(0.3)
            except KeyboardInterrupt:
                print("\nstopping: what is finished stays, and the same command goes on", flush=True)
                workflow.wait()
            for line in lines:
                width = shutil.get_terminal_size().columns
                if line.startswith(progress.STATE):
                    if terminal:
                        print(f"\r{line.strip()[: width - 1]:<{width - 1}}", end="", flush=True)
                        state = line
                    continue
                print((f"\r{'':{width - 1}}\r" if state else "") + line.rstrip("\n"), flush=True)
                state = ""
        if state:
            print()
    return workflow.returncode


# ----------------------------------------------------------------------- after the runs
def _end(study: str, runs: Sequence[Run], code: int, log: Path, shown: Path, began: float) -> int:
    """What came out, or what is missing and which file says why."""
    if code:
        missing = [progress.title(run) for run in runs if not provenance.is_done(run)]
        if missing:
            print(f"missing: {len(missing)} of {len(runs)} runs: {'; '.join(missing[:12])}")
        failed = re.findall(r"; log: (\S+)", shown.read_text(encoding="utf-8"))
        file = paths.ROOT / failed[-1] if failed else log
        said = file.read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line for line in said if re.match(r"(error|.*Error|.*Exception)\b", line)]
        for line in said[-SHOWN:] if failed else (errors or said)[-SHOWN:]:
            print(f"  {messages.visible(messages.shortened(line, 200))}")
        print(f"error: see {paths.relative(file)}; make study STUDY={study} goes on from here")
        return code
    if "Nothing to be done" in log.read_text(encoding="utf-8", errors="replace"):
        print("Nothing to be done: everything is there")
    for line in _scores(run for run in runs if run.study == study):
        print(line)
    size = sum(file.stat().st_size for file in (paths.RUNS / study).rglob("*") if file.is_file())
    print(f"done in {progress.duration(time.time() - began)}; runs/{study} has {size / 1e9:.1f} GB")
    print(f"The thesis of study {study}: {paths.relative(paths.thesis_pdf(study))}")
    return 0


def _scores(runs: Iterator[Run]) -> Iterator[str]:
    """A line for each system: its F1 on test, of each seed."""
    found: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        f1 = 100 * evaluation.load_metrics(run)["micro"]["f1"]
        found.setdefault((run.dataset_name, run.label), []).append(f1)
    width = max((len(label) for _, label in found), default=0)
    for (dataset, label), scores in found.items():
        seeds = f"  seeds {', '.join(f'{score:.1f}' for score in scores)}" if len(scores) > 1 else ""
        yield f"  {label:{width}}  F1 {sum(scores) / len(scores):5.1f} on {dataset}{seeds}"


if __name__ == "__main__":
    with messages.errors_as_lines(ConfigError, DataError, ResultError, WeightsError):
        sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
