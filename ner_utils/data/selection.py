"""Which sentences of a corpus a run trains on and predicts."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from ner_utils.config.run import Run
from ner_utils.data.corpus import Sentence
from ner_utils.data.perturb import perturb
from ner_utils.data.predictions import STATUSES, Prediction
from ner_utils.data.spans import Span


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


# ---------------------------------------------------------------------------- windows
class Part(NamedTuple):
    """Words of a sentence, of which ``start`` is the first, as a sentence of their own."""

    start: int
    sentence: Sentence


def parts_of(run: Run, sentence: Sentence) -> list[Part]:
    """What a run reads of a sentence at a time: all of it, or overlapping windows of a long one, each with
    the mentions that are whole in it."""
    length = len(sentence.tokens)
    if not run.window or length <= run.window.words:
        return [Part(0, sentence)]
    words, step = run.window.words, run.window.words - run.window.overlap
    starts = [min(start, length - words) for start in range(0, length - run.window.overlap, step)]
    parts = []
    for number, start in enumerate(starts):
        end = start + words
        inside = (span for span in sentence.spans if start <= span.start and span.end <= end)
        spans = tuple(Span(span.start - start, span.end - start, span.type) for span in inside)
        tokens, name = sentence.tokens[start:end], f"{sentence.id}.{number}"
        parts.append(Part(start, replace(sentence, id=name, tokens=tokens, spans=spans, offsets=None)))
    return parts


def in_parts(run: Run, sentences: Iterable[Sentence]) -> list[Sentence]:
    """All parts of sentences, one after the other."""
    return [part.sentence for sentence in sentences for part in parts_of(run, sentence)]


def join_predictions(
    run: Run, sentences: Iterable[Sentence], predicted: Iterable[Prediction]
) -> list[Prediction]:
    """The predictions of sentences from those of their parts, in order. Where two windows overlap, each
    counts on its side of the middle: for mentions whose middle is there. Of two mentions that still overlap,
    the first counts."""
    following = iter(predicted)
    joined = []
    for sentence in sentences:
        parts = parts_of(run, sentence)
        rows = list(itertools.islice(following, len(parts)))
        joined.append(rows[0] if len(parts) == 1 else _join(sentence, parts, rows))
    return joined


def _join(sentence: Sentence, parts: Sequence[Part], rows: Sequence[Prediction]) -> Prediction:
    ends = [part.start + len(part.sentence.tokens) for part in parts]
    middles = [(part.start + end) / 2 for part, end in zip(parts[1:], ends, strict=False)]
    borders = [0.0, *middles, float(len(sentence.tokens))]
    chosen: list[tuple[Span, bool, float]] = []
    for part, row, low, high in zip(parts, rows, borders, borders[1:], strict=False):
        repaired = set(row.repaired or ())
        for place, span in enumerate(row.spans):
            moved = Span(span.start + part.start, span.end + part.start, span.type)
            last = chosen[-1][0].end if chosen else 0
            if low <= (moved.start + moved.end) / 2 < high and moved.start >= last:
                confidence = row.confidences[place] if row.confidences is not None else 0.0
                chosen.append((moved, place in repaired, confidence))
    dropped = None
    if rows[0].dropped is not None:
        dropped = {reason: sum(row.dropped[reason] for row in rows) for reason in rows[0].dropped}
    return Prediction(
        sentence.id,
        tuple(span for span, _, _ in chosen),
        status=max((row.status for row in rows), key=STATUSES.index) if rows[0].status else None,
        dropped=dropped,
        repaired=None
        if rows[0].repaired is None
        else tuple(place for place, (_, repaired, _) in enumerate(chosen) if repaired),
        confidences=None if rows[0].confidences is None else tuple(each for _, _, each in chosen),
    )
