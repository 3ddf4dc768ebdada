"""Which stored scores, audits and findings do not follow from today's predictions, corpus and code?

Checksums and stage numbers decide this, not the times of files: a fresh clone has nothing to make again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ner_utils import data, paths
from ner_utils.config.run import Run
from ner_utils.data import audit
from ner_utils.results import evaluation, findings, provenance
from ner_utils.sealed import ResultError


def check_predictions(runs: Iterable[Run]) -> None:
    """Raise `ResultError` where the stored predictions of a run are missing or damaged, or were made from
    other files than today's."""
    for run in runs:
        provenance.check_inputs(run, provenance.read_manifest(run))


def unfit_files(runs: Sequence[Run]) -> Iterator[tuple[Path, ResultError]]:
    """Each file of scores, audit or findings that is missing, damaged or stale, of the studies to which the
    runs belong, and why."""
    uses = [(run.results / "metrics.json", evaluation.load_metrics, [run]) for run in runs]
    for study, dataset in dict.fromkeys((run.study, run.dataset_name) for run in runs):
        here = [run for run in runs if (run.study, run.dataset_name) == (study, dataset)]
        uses.append((audit.audit_file(study, dataset), _load_audit, here[:1]))
        for name in findings.NAMES:
            compared = findings.undisturbed(here)
            uses.append((findings.path(study, dataset, name), findings.load_findings, [name, compared]))
    for file, load, arguments in uses:
        try:
            load(*arguments)
        except ResultError as error:
            yield file, error


def _load_audit(run: Run) -> None:
    """Raise `ResultError` where the files of a corpus, or its settings, are not those of its audit."""
    stored = audit.load_audit(run.study, run.dataset_name)
    file = paths.relative(audit.audit_file(run.study, run.dataset_name))
    if stored.get("settings") != run.dataset.identity:
        raise ResultError(f"{file}: audit of other settings of the corpus")
    for name in provenance.changed(stored["inputs"], data.digests(run.dataset_name, run.dataset)):
        raise ResultError(f"{file}: audit of another {name}")
