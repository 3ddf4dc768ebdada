"""What do errors look like? Some of two systems, with the words of the corpus, where its licence allows.

The words come from the corpus' files when the table is made; nothing here stores them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from ner_utils import data
from ner_utils.config.run import Run
from ner_utils.data.sentence import Sentence
from ner_utils.data.spans import Span, surface
from ner_utils.rendering import latex
from ner_utils.rendering.latex import Column
from ner_utils.results import evaluation
from ner_utils.results.study import Results
from ner_utils.scoring import error_types

KINDS = ("type", "boundary", "spurious", "missed")
LONGEST = 25  # tokens of a sentence that is shown, at most
NOTHING = "No corpus of this study is at hand with a licence that allows to print its sentences."


class Example(NamedTuple):
    """An error, of one of the `KINDS`; a spurious mention has no gold span, a missed one no predicted."""

    kind: str
    sentence: Sentence
    gold: Span | None
    predicted: Span | None


def count_corpora(results: Results) -> int:
    """How many corpora of a study may be quoted and are at hand."""
    return len({run.dataset_name for run in results.undisturbed.systems if _at_hand(run)})


def tab_examples(results: Results) -> str:
    """An error of each kind by each system of the comparison that is declared first."""
    systems = {run.system: run for run in results.undisturbed.systems if _at_hand(run)}
    pair = dict.fromkeys(results.study.first_pair)
    runs = [systems[name] for name in pair if name in systems]
    if not runs:
        return latex.statement(NOTHING)
    test = data.load_split(runs[0].dataset_name, runs[0].dataset, "test")
    gold = data.test_sentences(runs[0], {"test": test})
    found = {run.label: choose(run, gold) for run in runs}
    columns = [Column("Error"), Column("System", layout="p{2.1cm}"), Column("Sentence", layout="p{6.2cm}")]
    columns += [Column("Gold", layout="p{2.4cm}"), Column("Predicted", layout="p{2.4cm}")]
    rows = [
        [kind, label, each[kind].sentence.text, *_spans(each[kind])]
        for kind in KINDS
        for label, each in found.items()
        if kind in each
    ]
    return latex.tabular(columns, rows)


def choose(run: Run, gold: list[Sentence]) -> dict[str, Example]:
    """By kind, the error in the sentence whose text has the lowest SHA-256: a choice that nobody made. Longer
    sentences than `LONGEST`, and those with links or user names, are left out."""

    def order(example: Example) -> str:
        return hashlib.sha256(example.sentence.text.encode()).hexdigest()

    def printable(sentence: Sentence) -> bool:
        return len(sentence.tokens) <= LONGEST and not re.search(r"https?:|www\.|@", sentence.text)

    kept = [each for each in errors(run, gold) if printable(each.sentence)]
    return {each.kind: each for each in sorted(kept, key=order, reverse=True)}


def errors(run: Run, gold: list[Sentence]) -> Iterator[Example]:
    """The errors of a run. Raises `ResultError` where its predictions are of another corpus."""
    tables = evaluation.span_tables(run, gold, evaluation.load_predictions(run, gold))
    partners, kinds = error_types.kinds(*tables)
    spans = [
        [(at, Span(start, end, table.types[kind])) for at, start, end, kind in table.columns.tolist()]
        for table in tables
    ]
    for (at, predicted), partner, kind in zip(spans[1], partners.tolist(), kinds.tolist(), strict=True):
        if kind in KINDS:
            yield Example(kind, gold[at], spans[0][partner][1] if partner >= 0 else None, predicted)
    found = set(partners.tolist())
    for number, (at, missed) in enumerate(spans[0]):
        if number not in found:
            yield Example("missed", gold[at], missed, None)


def _spans(example: Example) -> list[str | None]:
    tokens = example.sentence.tokens
    spans = (example.gold, example.predicted)
    return [span and f"{surface(tokens, span)} ({span.type})" for span in spans]


def _at_hand(run: Run) -> bool:
    """Whether a run's corpus may be quoted, and its test sentences are on this machine."""
    return run.dataset.quotable and data.at_hand(run.dataset_name, run.dataset, "test")
