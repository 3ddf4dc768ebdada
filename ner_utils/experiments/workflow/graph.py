"""Which files a study's workflow makes, and what each of its jobs needs. The Snakefile asks here."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ner_utils import config, paths
from ner_utils.config.run import Run
from ner_utils.experiments.memory.estimate import resources
from ner_utils.results import findings, provenance, stale

# By approach, the notebook that trains and predicts.
NOTEBOOKS = {
    "tagging": "02_encoder",
    "gliner": "02_encoder",
    "generation": "03_qlora",
    "endpoint": "18_endpoints",
}
NOTHING = "(?!)"  # a regular expression that matches no text


class Workflow:
    """The runs of a study and of its companion studies, with their files below the project's folder.

    ``wildcards`` are Snakemake's: their attributes are study, dataset, system and seed, as far as a step's
    files name them. With ``from_results`` nothing is made again, so that no stored file may be stale. Raises
    `ConfigError`, and `ResultError` where stored predictions are damaged or were made from other files.
    """

    def __init__(self, study: str, overrides: str = "", from_results: bool = False) -> None:
        runs = config.with_companions(study, overrides)
        # Checked before anything runs: a PDF from stale results must not pass for this configuration's.
        stale.check_predictions(runs if from_results else filter(provenance.is_done, runs))
        unfit = dict(stale.unfit_files(runs))
        if from_results and unfit:
            raise next(iter(unfit.values()))
        self.runs = {paths.relative(run.results): run for run in runs}
        self.studies = list(dict.fromkeys(run.study for run in runs))
        self.stale = {paths.relative(file) for file in unfit if file.is_file()}
        corpora = sorted({f"results/{run.study}/{run.dataset_name}" for run in runs})
        self.manifests = manifests(runs)
        self.metrics = [f"{folder}/metrics.json" for folder in self.runs]
        self.audits = [f"{folder}/audit.json" for folder in corpora]
        self.comparisons = [f"{folder}/{name}.json" for folder in corpora for name in findings.NAMES]

    # -------------------------------------------------------------------------- files
    def run(self, wildcards: Any) -> Run:
        """The run of a step."""
        return self.runs[f"{_folder(wildcards)}{wildcards.system}/seed{wildcards.seed}"]

    def manifest(self, wildcards: Any) -> list[str]:
        """The manifest of a step's run."""
        return manifests([self.run(wildcards)])

    def needed(self, wildcards: Any) -> list[str]:
        """Manifests of the runs whose weights or labels a step's run uses."""
        run = self.run(wildcards)
        return manifests(filter(None, (run.base, run.labels)))

    def members(self, wildcards: Any) -> list[str]:
        """Manifests of the members of an ensemble."""
        return manifests(self.run(wildcards).members)

    def manifests_on(self, wildcards: Any) -> list[str]:
        """Manifests of all runs on a study's corpus."""
        return [file for file in self.manifests if file.startswith(_folder(wildcards))]

    def metrics_on(self, wildcards: Any) -> list[str]:
        """Scores of all runs on a study's corpus."""
        return [file for file in self.metrics if file.startswith(_folder(wildcards))]

    def training_notebook(self, wildcards: Any) -> list[str]:
        """The notebook that trains a step's run."""
        return [f"notebooks/{NOTEBOOKS[self.run(wildcards).model.approach]}.ipynb"]

    def first_system(self, wildcards: Any) -> str:
        """The first system of a study that reads its sentences as they are: notebooks show these."""
        runs = (run for run in self.runs.values() if run.study == wildcards.study and not run.perturbed)
        return next(runs).system

    # ----------------------------------------------------------------- regular expressions
    def ensembles(self) -> str:
        """Matches ``study/dataset/system/`` where the system is an ensemble."""
        members = {
            f"{run.study}/{run.dataset_name}/{run.system}/" for run in self.runs.values() if run.members
        }
        return "|".join(map(re.escape, sorted(members))) or NOTHING

    def studies_with_generators(self) -> str:
        """Matches the name of a study that has a language model."""
        return "|".join(map(re.escape, sorted({run.study for run in self._generators()}))) or NOTHING

    def _generators(self) -> list[Run]:
        return [run for run in self.runs.values() if run.model.approach == "generation"]

    # --------------------------------------------------------------------------- jobs
    def resources(self) -> dict[str, Callable[[Any], int]]:
        """What a job asks of a cluster, by Snakemake's names: for its run, or for the largest generator of
        its study. These are functions, because estimates of jobs that do not run would take time."""
        return {name: functools.partial(self._resource, name) for name in ("mem_mb", "gpu", "runtime")}

    def _resource(self, name: str, wildcards: Any) -> int:
        if hasattr(wildcards, "system"):
            return resources(self.run(wildcards))[name]
        runs = [run for run in self._generators() if run.study == wildcards.study]
        return max((resources(run)[name] for run in runs), default=0)

    # -------------------------------------------------------------------------- stale
    def mark_stale(self, marker: Path) -> Callable[[str], Callable[[Any], list[str]]]:
        """Write a file that is younger than every stale file. Returns the function that makes it an input of
        a step whose output, a pattern with wildcards, is stale."""
        if self.stale:
            marker.parent.mkdir(exist_ok=True)
            marker.write_text(str(time.time_ns()))  # Snakemake ignores a younger file with the same content
        return lambda output: (
            lambda wildcards: [str(marker)] if output.format(**wildcards) in self.stale else []
        )


def manifests(runs: Iterable[Run]) -> list[str]:
    """Files of manifests."""
    return [paths.relative(provenance.manifest_path(run)) for run in runs]


def _folder(wildcards: Any) -> str:
    return f"results/{wildcards.study}/{wildcards.dataset}/"
