"""Which mentions do the test sentences of a study have, and what does each system predict for them?"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pandas as pd

from ner_utils import config, data, messages
from ner_utils.config.run import Run
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.data.predictions import Prediction
from ner_utils.data.sentence import Sentence
from ner_utils.data.spans import Span, surface, times_in
from ner_utils.results import evaluation
from ner_utils.scoring import error_types
from ner_utils.scoring.breakdown import Sorter

Key = tuple[int, int, int, str]  # of a mention: sentence, start, end and type
Shown = tuple[str, str, float | None]  # of a predicted span, see `shown_spans`


@dataclass(frozen=True)
class StudyMentions:
    """The test sentences of a corpus as some systems of a study predicted them, each with one run.

    ``mentions`` has a row for each span that gold or a system has, in the order of the text: ``sentence``
    (its place), ``id``, ``document``, ``start``, ``end`` (tokens, exclusive), ``type``, ``words``, ``gold``
    (whether gold has it), ``length`` (tokens), ``seen``, ``ambiguous`` (its words have several types in
    train), ``repeated`` (in its sentence). For each system, a column with its id has the outcome: one of
    `error_types.KINDS`, or "" where neither gold nor the system has the span; and ``<id> confidence`` its
    confidence in the span, or in the one that it predicted in place of a gold one, from 0 to 1. Both spans of
    an error of type or boundary have a row; errors are counted once in the rows of gold mentions and those
    that are ``spurious``.
    """

    dataset: str
    gold: list[Sentence]
    runs: dict[str, Run]
    predicted: dict[str, list[Prediction]]
    mentions: pd.DataFrame


def load_mentions(
    study: str, dataset: str | None = None, systems: Sequence[str] = (), seed: int | None = None
) -> StudyMentions:
    """The sentences and mentions of a study on a corpus (default: its first), with a run of each system: the
    one with the given seed, or else its first. Systems that read disturbed sentences are left out.

    Raises `ConfigError` for unknown names or seeds, `ResultError` where a result is missing or does not fit,
    and `DataError` where the corpus is not on this machine.
    """
    runs = runs_of(study, dataset, systems, seed)
    first = next(iter(runs.values()))
    splits = {name: data.load_split(first.dataset_name, first.dataset, name) for name in ("train", "test")}
    gold = data.test_sentences(first, splits)
    predicted = {name: evaluation.load_predictions(run, gold) for name, run in runs.items()}
    mentions = _mentions(gold, runs, predicted, splits["train"])
    return StudyMentions(first.dataset_name, gold, runs, predicted, mentions)


def runs_of(study: str, dataset: str | None, systems: Sequence[str], seed: int | None) -> dict[str, Run]:
    """A run of each system (default: all that read undisturbed sentences), see `load_mentions`."""
    settings = config.load_study(study)
    known = [name for name, system in settings.systems.items() if not system.perturbed]
    for name in systems:
        check(f"{study}: undisturbed systems", name, known)
    seeds = {name: settings.seeds_of(name) for name in systems or known}
    if seed is not None:
        check(f"{study}: seed", seed, sorted(set().union(*seeds.values())))
    chosen = {name: seed if seed in own else own[0] for name, own in seeds.items()}
    corpus = dataset or settings.datasets[0]
    return {name: config.load_run(study, corpus, name, one) for name, one in chosen.items()}


def check(where: str, value: object, known: Collection[object]) -> None:
    """Raise `ConfigError` for a value that is not among the known ones."""
    if value not in known:
        raise ConfigError(f"{where}: no {messages.brief(value)}; there are: {', '.join(map(str, known))}")


def _mentions(
    gold: list[Sentence],
    runs: dict[str, Run],
    predicted: dict[str, list[Prediction]],
    train: Sequence[Sentence],
) -> pd.DataFrame:
    outcomes = {name: _outcomes(run, gold, predicted[name]) for name, run in runs.items()}
    of_gold = {(at, *span) for at, sentence in enumerate(gold) for span in sentence.spans}
    keys = sorted(of_gold.union(*(found.keys() for found in outcomes.values())))
    sorter, rows = Sorter(train), []
    for at, start, end, kind in keys:
        sentence, span = gold[at], Span(start, end, kind)
        kinds = len(sorter.kinds.get(surface(sentence.tokens, span).lower(), ()))
        rows.append(
            {
                "sentence": at,
                "id": sentence.id,
                "document": sentence.document,
                **span._asdict(),
                "words": surface(sentence.tokens, span),
                "gold": (at, start, end, kind) in of_gold,
                "length": end - start,
                "seen": kinds > 0,
                "ambiguous": kinds > 1,
                "repeated": times_in([token.lower() for token in sentence.tokens], span) > 1,
            }
        )
    columns = ["sentence", "id", "document", *Span._fields, "words", "gold", "length"]
    frame = pd.DataFrame(rows, columns=[*columns, "seen", "ambiguous", "repeated"])
    for name, found in outcomes.items():
        kinds, values = zip(*(found.get(key, ("", None)) for key in keys), strict=True) if keys else ((), ())
        frame[name] = kinds
        frame[f"{name} confidence"] = pd.array(values, dtype="Float64")
    return frame


Found = dict[Key, tuple[str, float | None]]


def _outcomes(run: Run, gold: list[Sentence], predicted: Sequence[Prediction]) -> Found:
    """The kind of each span of gold and of a run, and the confidence of the run in it, or in the span that it
    has in place of a gold one."""
    tables = evaluation.span_tables(run, gold, predicted)
    partner, of_gold, of_predicted = error_types.outcomes(*tables, [sentence.tokens for sentence in gold])
    gold_keys, keys = (
        [(at, start, end, table.types[kind]) for at, start, end, kind in table.columns.tolist()]
        for table in tables
    )
    confidences = [*map(_confidences(predicted).get, keys)]
    found = dict(zip(keys, zip(of_predicted.tolist(), confidences, strict=True), strict=True))
    found |= {key: (kind, None) for key, kind in zip(gold_keys, of_gold.tolist(), strict=True)}
    found |= {
        gold_keys[other]: (kind, value)
        for other, kind, value in zip(partner.tolist(), of_predicted.tolist(), confidences, strict=True)
        if other >= 0
    }
    return found


def _confidences(predicted: Sequence[Prediction]) -> dict[Key, float]:
    return {
        (at, *span): math.exp(value)
        for at, each in enumerate(predicted)
        if each.confidences is not None
        for span, value in zip(each.spans, each.confidences, strict=True)
    }


def browse(
    study: str,
    a: str,
    b: str | None = None,
    *,
    type: str | None = None,
    error: str | None = None,
    dataset: str | None = None,
    seed: int | None = None,
    **having: object,
) -> pd.DataFrame:
    """The mentions that ``a`` has right and ``b`` has wrong, or, without ``b``, those that ``a`` has wrong: a
    row for each, with its sentence and what the systems predicted in its place.

    ``type`` is a type of the corpus, ``error`` a kind of `error_types.KINDS`: type, boundary, both, place,
    missed, spurious; ``correct`` gives the mentions that the system has right. Further arguments ask for
    values of columns of `StudyMentions.mentions`: ``seen=False, length=2``.

        browse("wnut17-cpu", "minilm-1200", "smollm2-qlora", type="person", error="boundary")

    Raises `ConfigError` for an unknown name, and what `load_mentions` raises.
    """
    found = load_mentions(study, dataset, [a] if b is None else [a, b], seed)
    wrong, rows = b or a, found.mentions
    known = {"type": list(next(iter(found.runs.values())).dataset.types), "error": error_types.KINDS}
    known |= dict.fromkeys(rows.select_dtypes(bool).columns, [False, True])
    for name, value in {"type": type, "error": error, **having}.items():
        check("browse", name, [*rows, "error"])
        if value is not None and name in known:
            check(f"browse: {name}", value, known[name])
    kinds = [error] if error else [kind for kind in error_types.KINDS if kind != "correct"]
    rows = rows[rows[wrong].isin(kinds) & (rows["gold"] | (rows[wrong] == "spurious"))]
    if b:
        rows = rows[rows[a].isin(["correct", ""])]  # "" of a spurious one: a rightly has nothing there
    for name, value in {"type": type, **having}.items():
        rows = rows if value is None else rows[rows[name] == value]
    shown = rows[["id", "document", *Span._fields, "words"]].copy()
    shown["text"] = [found.gold[at].text for at in rows["sentence"]]
    for name in found.runs:
        shown[name] = rows[name]
        shown[f"{name} spans"] = [_overlapping(found, name, row) for row in rows.itertuples()]
    return shown.reset_index(drop=True)


def _overlapping(found: StudyMentions, name: str, row) -> list[Shown]:
    """The spans that a system predicted where a mention is."""
    prediction = found.predicted[name][row.sentence]
    shown = zip(prediction.spans, shown_spans(found.gold[row.sentence], prediction), strict=True)
    return [each for span, each in shown if span.start < row.end and row.start < span.end]


def shown_spans(sentence: Sentence, prediction: Prediction) -> list[Shown]:
    """Words, type and confidence (from 0 to 1, if there is one) of the predicted spans of a sentence."""
    confidences = prediction.confidences or (None,) * len(prediction.spans)
    return [
        (surface(sentence.tokens, span), span.type, None if value is None else round(math.exp(value), 3))
        for span, value in zip(prediction.spans, confidences, strict=True)
    ]
