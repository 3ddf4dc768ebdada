"""Is everything at hand before a study starts, and will each of its steps work hours from now?

``python -m ner_utils.experiments.preflight STUDY [OVERRIDES]`` reads configurations, corpora and weights of
the runs that have no result yet, fetches what is missing, typesets the texts that the thesis will quote, and
tries prompts and grammars on the sentences. It prints what the study needs of the disk. It stops at the first
error, and warns where memory is short or sentences will be cut.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

from ner_utils import config, data, messages
from ner_utils.config.run import Run
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.data.corpus import DataError, Sentence
from ner_utils.experiments import model_check
from ner_utils.experiments.memory import fit
from ner_utils.models import weights
from ner_utils.rendering import latex_check
from ner_utils.results import findings, provenance, stale


def check_study(study: str, overrides: str = "") -> None:
    """Raise `ConfigError`, `DataError` or `WeightsError` for what would stop a run of the study or of its
    companion studies, or the probe of their language models."""
    runs = config.with_companions(study, overrides)
    if pending := [run for run in runs if not provenance.is_done(run)]:
        _check_labels(runs)
        check_runs(pending)
    generators = [run for run in runs if run.model.approach == "generation"]
    unfit = dict(stale.unfit_files(runs)) if generators else {}
    for run in generators:
        if findings.path(run.study, run.dataset_name, "contamination") in unfit:
            weights.resolve(run.model.weights)


def check_runs(pending: Sequence[Run]) -> None:
    """Raise what `check_study` raises, for some runs."""
    datasets = {run.dataset_name: run.dataset for run in pending}
    corpora = {name: data.load(name, dataset) for name, dataset in datasets.items()}
    for run in pending:
        _check_mentions(run, corpora[run.dataset_name])
    _warn(latex_check.check_texts(latex_check.quoted_texts(pending)))
    # A run that is done may be needed again for its labels.
    needed = (each for run in pending if not run.members for each in (run, run.labels) if each)
    pending = list({run.scratch: run for run in needed}.values())
    if here := [run for run in pending if run.has_weights]:
        needs = fit.needs_here(here)
        if os.environ.get("PROFILE", "local") == "local":  # elsewhere, jobs ask for their memory
            _warn(fit.warnings(here, needs))
        print(f"the study needs {fit.disk(here, needs)}", flush=True)
    for model in {run.model.weights: run.model for run in here}.values():  # in the study's order
        weights.check_architecture(weights.resolve(model.weights), model)
    # Seeds differ only in the sentences that they draw, so the first one is checked.
    for run in config.configurations(pending).values():
        corpus = corpora[run.dataset_name]
        same = [each for each in pending if each.configuration == run.configuration]
        labelled = [
            s for each in pending if each.labels in same for s in data.sentences_to_label(each, corpus)
        ]
        more = {"dev": data.dev_sentences(run, corpus), "labelled": labelled}
        more = {name: data.in_parts(run, sentences) for name, sentences in more.items()}
        _warn(model_check.check_run(run, more | _sentences_of(run, corpus), len(same)))


def _warn(lines: Iterable[str]) -> None:
    for line in lines:
        print(messages.visible(f"warning: {line}"), flush=True)


def _check_labels(runs: Sequence[Run]) -> None:
    """Tables show systems and corpora by their labels, so no two may have the same."""
    for what, key, label in (
        ("systems", lambda run: run.system, lambda run: run.label),
        ("datasets", lambda run: run.dataset_name, lambda run: run.dataset.label),
    ):
        names: dict[tuple[str, str], str] = {}
        for run in runs:
            other = names.setdefault((run.study, label(run)), key(run))
            if other != key(run):
                raise ConfigError(
                    f"params/studies/{run.study}.yaml: {what}: {other} and {key(run)} have one label, "
                    f"{label(run)!r}; give each its own"
                )


def _sentences_of(run: Run, corpus: dict[str, list[Sentence]]) -> dict[str, list[Sentence]]:
    """The sentences of each split that a run reads."""
    splits = {"test": data.test_sentences(run, corpus)}
    if not (run.untrained or run.base or run.members):
        splits |= {"train": data.training_sentences(run, corpus), "dev": corpus["dev"]}
    return {name: data.in_parts(run, sentences) for name, sentences in splits.items()}


def _check_mentions(run: Run, corpus: dict[str, list[Sentence]]) -> None:
    """A model needs mentions to learn from, to choose a checkpoint by, and to be scored on; and a labeller
    needs sentences."""
    if run.labels and not data.sentences_to_label(run, corpus):
        raise DataError(
            f"{run.dataset_name}: train leaves no sentence for {run.labels.system} to label; lower "
            f"{run.system}:train_sentences"
        )
    for split, sentences in _sentences_of(run, corpus).items():
        hidden = set(run.held_out) if split != "test" else set()
        if all(span.type in hidden for sentence in sentences for span in sentence.spans):
            number = f"{len(sentences)} of {len(corpus[split])} sentences"
            raise DataError(
                f"{run.dataset_name}: the {number} that {run.system} takes of {split} hold no mention"
                + (f" but of {', '.join(run.held_out)}, which are held out" if hidden else "")
                + "; look at the corpus' tags and types, or take more sentences"
            )


if __name__ == "__main__":
    with messages.errors_as_lines(ConfigError, DataError, weights.WeightsError):
        check_study(*sys.argv[1:])
