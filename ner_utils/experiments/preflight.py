"""Before a study starts: is everything there that it will need hours from now, and will each step of it work?

``python -m ner_utils.experiments.preflight STUDY [OVERRIDES]`` reads configurations, corpora and weights of
the runs that are still to be made, fetches what is missing, typesets what the thesis will quote, and tries
prompts and grammars on the sentences. One clear message, or silence; a line of warning for what works, but
not well: too little memory, sentences that are cut.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

from ner_utils import config, data, messages
from ner_utils.config.run import Run
from ner_utils.config.sections import ConfigError
from ner_utils.data.corpus import DataError, Sentence
from ner_utils.experiments import rehearsal, typesetting
from ner_utils.models import weights
from ner_utils.results import provenance

Corpus = dict[str, list[Sentence]]


def check(study: str, overrides: str = "") -> None:
    """Raise `ConfigError`, `DataError` or `WeightsError` for whatever a run would stumble over."""
    runs = config.with_companions(study, overrides)
    pending = [run for run in runs if not provenance.is_done(run)]
    if not pending:
        return
    _check_labels(runs)
    corpora: dict[str, Corpus] = {}
    for name, dataset in {run.dataset_name: run.dataset for run in pending}.items():
        corpora[name] = data.load(name, dataset)
        _check_characters(name, corpora[name])
    for run in pending:
        _check_mentions(run, corpora[run.dataset_name])
    _warn(typesetting.check(typesetting.texts(pending)))
    pending = [run for run in pending if not run.members]  # an ensemble has no weights of its own
    if pending and os.environ.get("PROFILE", "local") == "local":  # jobs elsewhere ask for what they need
        from ner_utils.experiments.memory import fit  # late: what it traces with takes seconds to import

        _warn(fit.warnings(pending))
    for model in {run.model.weights: run.model for run in pending}.values():  # in the study's order
        weights.check_architecture(weights.resolve(model.weights), model)
    # Seeds differ in the sentences that they draw, and in nothing that could fail.
    for run in {(run.study, run.dataset_name, run.system): run for run in reversed(pending)}.values():
        _warn(rehearsal.check(run, corpora[run.dataset_name]))


def _warn(lines: Iterable[str]) -> None:
    for line in lines:
        print(messages.visible(f"warning: {line}"), flush=True)


def _check_labels(runs: Sequence[Run]) -> None:
    """Tables tell systems and corpora apart by their labels."""
    for what, key, label in (
        ("systems", lambda run: run.system, lambda run: run.label),
        ("datasets", lambda run: run.dataset_name, lambda run: run.dataset.label),
    ):
        named: dict[tuple[str, str], str] = {}
        for run in runs:
            other = named.setdefault((run.study, label(run)), key(run))
            if other != key(run):
                raise ConfigError(
                    f"params/studies/{run.study}.yaml: {what}: {other} and {key(run)} have one label, "
                    f"{label(run)!r}; give each its own"
                )


def _check_characters(name: str, corpus: Corpus) -> None:
    for split, sentences in corpus.items():
        for sentence in sentences:
            try:
                sentence.text.encode()
            except UnicodeEncodeError as error:
                raise DataError(
                    f"{name}, {split}: sentence {sentence.id} holds a lone surrogate, "
                    f"U+{ord(sentence.text[error.start]):04X}, which is no character"
                ) from None


def _check_mentions(run: Run, corpus: Corpus) -> None:
    """Without mentions there is nothing to learn, to choose a checkpoint by, or to find."""
    samples = {"test": data.test_sentences(run, corpus)}
    if not (run.untrained or run.base or run.members):
        samples |= {"train": data.training_sentences(run, corpus), "dev": corpus["dev"]}
    for split, sentences in samples.items():
        hidden = set(run.held_out) if split != "test" else set()
        if all(span.type in hidden for sentence in sentences for span in sentence.spans):
            drawn = (
                f"the {len(sentences)} of {len(corpus[split])} sentences that {run.system} takes of {split}"
            )
            raise DataError(
                f"{run.dataset_name}: {drawn} hold no mention"
                + (f" but of {', '.join(run.held_out)}, which are held out" if hidden else "")
                + "; look at the corpus' tags and types, or take more sentences"
            )


if __name__ == "__main__":
    try:
        check(*sys.argv[1:])
    except (ConfigError, DataError, weights.WeightsError) as error:
        sys.exit(messages.visible(f"error: {error}"))
