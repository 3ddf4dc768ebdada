"""What in ``runs/`` does nothing need any more? ``python -m ner_utils.experiments.clean_runs [--yes]``

For a run with a result: unchosen checkpoints, optimizer states and merged weights. For a configuration that
no study has: all weights. Runs that a process works on, answers, replies that were paid for, logs, and
folders that are not the kit's are kept.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from ner_utils import config, paths, processes
from ner_utils.config.run import Run
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.experiments import experiment
from ner_utils.results import evaluation, provenance


def unneeded() -> dict[Path, str]:
    """Files and folders, each with the reason why nothing needs it."""
    found: dict[Path, str] = {}
    for study in config.names("studies"):
        try:
            runs = config.runs_of(study)
        except ConfigError as error:  # such as a search that is not finished
            print(f"{study} is left alone: {error}")
            continue
        for run in runs:
            if not provenance.is_done(run) or processes.is_locked(run.scratch / "lock"):
                continue
            done = experiment.leftovers(run, evaluation.load_cost(run))
            found |= {path: "its run has a result" for path in done if path.exists()}
        found |= dict.fromkeys(_of_no_run(study, runs), "no study has this configuration")
    return found


def _of_no_run(study: str, runs: list[Run]) -> list[Path]:
    """Weights below a study's folder that belong to none of its runs."""
    known = {each.scratch for run in runs for each in (run, run.base, run.labels, *run.members) if each}
    scratch = [path for path in (paths.RUNS / study).glob("*/*/seed*/*") if path not in known]
    scratch = [path for path in scratch if re.fullmatch("[0-9a-f]{12}", path.name)]
    scratch = [path for path in scratch if not processes.is_locked(path / "lock")]
    return [folder for path in scratch for folder in paths.weight_folders(path)]


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    inside = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in inside if file.is_file())


def main() -> None:
    """List what nothing needs, and delete it with ``--yes``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--yes", action="store_true", help="delete it")
    options = parser.parse_args()
    # A run is locked while it trains; its study, while any of its steps runs.
    if options.yes and processes.is_locked(paths.RUNS / ".lock"):
        sys.exit("error: a study is running in this folder")
    found = unneeded()
    for path, reason in found.items():
        print(f"{size(path) / 1e6:9,.1f} MB  {paths.relative(path)} ({reason})")
    whole = sum(map(size, found))
    if options.yes:
        experiment.delete(list(found))
    what = "were freed" if options.yes else "can be freed: make clean-runs YES=1"
    print(f"{whole / 1e6:9,.1f} MB  {what}; runs/ holds {size(paths.RUNS) / 1e6:,.1f} MB")


if __name__ == "__main__":
    main()
