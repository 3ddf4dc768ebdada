"""What is computed from a study's predictions and the corpus, and stored without the corpus' text.

``results/<study>/<dataset>/<name>.json`` holds it with the identity of the runs that it is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ner_utils import config, paths, sealed, stages
from ner_utils.config.run import Run
from ner_utils.results import provenance
from ner_utils.results.study import Results, computed_once
from ner_utils.sealed import ResultError

NAMES = ("differences", "confidence", "contamination")


def path(study: str, dataset: str, name: str) -> Path:
    """The file of stored findings."""
    return paths.RESULTS / study / dataset / f"{name}.json"


def write_findings(name: str, runs: Sequence[Run], values: dict[str, Any]) -> dict[str, Any]:
    """Store findings about all runs of a study on a corpus; returns what is stored."""
    values = {"stages": stages.numbers(name), **_identity(name, runs), **values}
    sealed.write_json(path(runs[0].study, runs[0].dataset_name, name), values)
    return values


def load_findings(name: str, runs: Sequence[Run]) -> dict[str, Any]:
    """The stored findings about these runs. Raises `ResultError` where there are none, where they are of
    other predictions or of another protocol, made by other rules, or were changed since."""
    study = runs[0].study
    file, again = path(study, runs[0].dataset_name, name), f"run make study STUDY={study}"
    values = sealed.read_made(file, stages.numbers(name), again)
    for key, expected in _identity(name, runs).items():
        if values.get(key) != expected:
            other = "predictions" if key == "runs" else key
            raise ResultError(f"{paths.relative(file)}: of other {other}; {again}")
    return values


@computed_once
def study_findings(results: Results, name: str) -> dict[str, dict[str, Any]]:
    """The stored findings on each corpus of a study, by its id."""
    runs = {dataset: [] for dataset in results.study.datasets}
    for item in (results.whole or results).undisturbed.stored:
        runs[item.run.dataset_name].append(item.run)
    return {dataset: load_findings(name, each) for dataset, each in runs.items()}


def runs_on(study: str, dataset: str, overrides: str) -> list[Run]:
    """The runs of a study that were tested on a corpus as it is."""
    return undisturbed(config.runs_of(study, overrides, dataset))


def undisturbed(runs: Sequence[Run]) -> list[Run]:
    """The runs that were tested on sentences as they are."""
    return [run for run in runs if not run.perturbed]


def labels(results: Results) -> dict[str, str]:
    """The labels of the systems that were tested on sentences as they are, by the systems' ids."""
    return {run.system: run.label for run in results.undisturbed.systems}


def _identity(name: str, runs: Sequence[Run]) -> dict[str, Any]:
    """What findings depend on: checksums of the runs' predictions, and the protocol; for contamination, which
    reads pretrained models and the corpus alone, the fingerprints of the runs and the corpus' files."""

    def identity(run: Run) -> str:
        manifest = provenance.read_manifest(run)
        if name == "contamination":
            return " ".join([run.fingerprint, *manifest["inputs"]["data"].values()])
        return provenance.content(manifest)

    values: dict[str, Any] = {"runs": {f"{run.system}, seed {run.seed}": identity(run) for run in runs}}
    if name != "contamination":
        values["resamples"] = runs[0].resamples
    if name == "differences":
        values["comparisons"] = runs[0].comparisons
    return values
