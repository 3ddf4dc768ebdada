"""What is compiled from a study's stored predictions on a corpus, beside the corpus and without its text.

``results/<study>/<dataset>/<name>.json`` holds it with what identifies the runs that it is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ner_utils import config, paths, sealed, stages
from ner_utils.config.run import Run
from ner_utils.results import provenance
from ner_utils.results.study import Results
from ner_utils.sealed import ResultError

NAMES = ("differences", "confidence", "contamination")


def path(study: str, dataset: str, name: str) -> Path:
    """The file of something compiled."""
    return paths.RESULTS / study / dataset / f"{name}.json"


def write(name: str, runs: Sequence[Run], found: dict[str, Any]) -> dict[str, Any]:
    """Store what was found about all runs of a study on a corpus; returns what is stored."""
    found = {"stages": stages.numbers("analysis"), "runs": _identified(name, runs), **found}
    sealed.write_json(path(runs[0].study, runs[0].dataset_name, name), found)
    return found


def load(name: str, runs: Sequence[Run]) -> dict[str, Any]:
    """What was stored about these runs. Raises `ResultError` where nothing was, or of other predictions, or
    by other rules, or where it was changed since."""
    study = runs[0].study
    file, again = path(study, runs[0].dataset_name, name), f"run make study STUDY={study}"
    where = paths.relative(file)
    if not file.is_file():
        raise ResultError(f"{where}: not compiled; {again}")
    found = sealed.read_json(file, again)
    if found["stages"] != stages.numbers("analysis"):
        raise ResultError(f"{where}: made by other rules; {again}")
    if found["runs"] != _identified(name, runs):
        raise ResultError(f"{where}: of other predictions; {again}")
    return found


def runs_on(study: str, dataset: str, overrides: str) -> list[Run]:
    """The runs of a study on a corpus that met the same sentences."""
    return undisturbed(config.runs_of(study, overrides, dataset))


def undisturbed(runs: Sequence[Run]) -> list[Run]:
    """The runs that met the same sentences."""
    return [run for run in runs if not run.perturbed]


def of_study(results: Results, name: str) -> dict[str, dict[str, Any]]:
    """What was compiled of each corpus of a study, by its id."""
    found = {}
    for dataset in results.study.datasets:
        runs = [item.run for item in results.stored if item.run.dataset_name == dataset]
        found[dataset] = load(name, undisturbed(runs))
    return found


def labels(results: Results) -> dict[str, str]:
    """The labels of the systems that met the same sentences, by their names."""
    return {run.system: run.label for run in undisturbed([item.run for item in results.stored])}


def _identified(name: str, runs: Sequence[Run]) -> dict[str, str]:
    """What must not change under something compiled: the runs' predictions, or, where pretrained models alone
    were asked, the runs' configurations."""

    def identity(run: Run) -> str:
        asks_models = name == "contamination"
        return run.fingerprint if asks_models else provenance.content(provenance.read_manifest(run))

    return {f"{run.system}, seed {run.seed}": identity(run) for run in runs}
