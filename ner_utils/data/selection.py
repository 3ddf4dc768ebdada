"""Which sentences of a corpus a run trains on and predicts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from ner_utils.config.run import Run
from ner_utils.data.corpus import Sentence
from ner_utils.data.perturb import perturb


def draw(sentences: Sequence[Sentence], number: int | None, seed: int) -> list[Sentence]:
    """A random sample of ``number`` sentences in random order; all, in their order, where there are no more.
    With the same seed, a larger sample contains every smaller one."""
    if number is None or number >= len(sentences):
        return list(sentences)
    return random.Random(seed).sample(list(sentences), len(sentences))[:number]


def training_sentences(run: Run, corpus: dict[str, list[Sentence]]) -> list[Sentence]:
    """The sentences that the run trains on: all of train, or a sample drawn with the run's seed; without
    mentions of held-out types."""
    return without_held_out(run, draw(corpus["train"], run.train_sentences, run.seed))


def sentences_to_label(run: Run, corpus: dict[str, list[Sentence]]) -> list[Sentence]:
    """The further sentences of train that another system labels for the run: those that its draw has next."""
    train, first = corpus["train"], run.train_sentences
    further = random.Random(run.seed).sample(train, len(train))[first:]
    return further[: run.labelled_sentences]


def without_held_out(run: Run, sentences: list[Sentence]) -> list[Sentence]:
    """The sentences without the mentions of the types that the run must not see in training."""
    if not run.held_out:
        return sentences
    return [
        replace(each, spans=tuple(span for span in each.spans if span.type not in run.held_out))
        for each in sentences
    ]


def test_sentences(run: Run, corpus: dict[str, list[Sentence]]) -> list[Sentence]:
    """The test sentences that the run predicts: all, or the study's sample, which is the same for all runs;
    perturbed where the run's configuration says so."""
    sentences = draw(corpus["test"], run.test_sentences, seed=0)
    return perturb(sentences, run.perturbed, corpus["train"]) if run.perturbed else sentences


def dev_sentences(run: Run, corpus: dict[str, list[Sentence]]) -> list[Sentence]:
    """The dev sentences that the run predicts in addition to test: the study's sample, which is the same for
    all runs, or none. A run on perturbed test sentences predicts none, because on dev it would repeat the
    predictions of the run whose weights it uses."""
    if run.perturbed or not run.dev_predictions:
        return []
    return draw(corpus["dev"], run.dev_predictions, seed=0)


def dev_sample(run: Run, dev: Sequence[Sentence]) -> Sequence[Sentence]:
    """The dev sentences on which a generator is evaluated during training: the first ones, or a sample drawn
    with the run's seed, as the model's ``dev_draw`` says."""
    if run.model.dev_draw == "first":
        return dev[: run.dev_sample]
    return draw(dev, run.dev_sample, run.seed)
