"""Examples of errors: real ones, chosen by a rule, and only from corpora that may be quoted."""

import re

import pytest
from conftest import show

from ner_utils import data
from ner_utils.analyses import examples
from ner_utils.data.predictions import Prediction
from ner_utils.data.spans import Span
from ner_utils.results import evaluation


def found(results, system="minilm"):
    run = next(run for run in results.systems if run.system == system)
    return run, data.test_sentences(run, data.load(run.dataset_name, run.dataset))


def wrong(at, spans, words):
    """In every fourth sentence, the first mention has another type, other boundaries, a second one beside it,
    or is missed."""
    if not spans:
        return spans
    (start, end, kind), *others = spans
    if at % 4 == 0:
        return (Span(start, end, "PER" if kind == "ORG" else "ORG"), *others)
    if at % 4 == 1:
        return (Span(start - 1, end, kind), *others) if start else spans
    if at % 4 == 2:
        free = {*range(words)} - {place for first, last, _ in spans for place in range(first, last)}
        return (*spans, Span(min(free), min(free) + 1, "PER"))
    return tuple(others)


@pytest.fixture
def errors(plain_results, monkeypatch):
    """A run of a study whose predictions are `wrong`, with gold and predictions."""
    run, gold = found(plain_results)
    predicted = [
        Prediction(row.id, tuple(sorted(wrong(at, row.spans, len(row.tokens)))))
        for at, row in enumerate(gold)
    ]
    monkeypatch.setattr(evaluation, "load_predictions", lambda *_: predicted)
    return run, gold, {row.id: set(row.spans) for row in predicted}


def test_every_example_is_an_error_of_its_kind(errors):
    run, gold, predicted = errors
    each = list(examples.errors(run, gold))
    assert {example.kind for example in each} == set(examples.KINDS)
    for kind, sentence, right, other in each:
        assert right is None or (right in sentence.spans and right not in predicted[sentence.id])
        assert other is None or (other in predicted[sentence.id] and other not in sentence.spans)
        assert (right is None, other is None) == (kind == "spurious", kind == "missed")
        if kind in ("type", "boundary"):
            assert (right[:2] == other[:2], right.type == other.type) == (kind == "type", kind == "boundary")


def test_a_fixed_rule_chooses(plain_results):
    run, gold = found(plain_results)
    assert examples.choose(run, gold) == examples.choose(run, gold[::-1])
    assert all(len(each.sentence.tokens) <= examples.LONGEST for each in examples.choose(run, gold).values())


def test_the_table_names_errors_of_both_systems_of_the_first_comparison(plain_results, errors):
    ((a, b), *_) = plain_results.study.protocol.comparisons
    labels = {run.system: run.label for run in plain_results.systems}
    rows = re.findall(r"^(\w+) & ([^&]*) &", examples.tab_examples(plain_results), re.MULTILINE)[1:]
    assert {label for _, label in rows} <= {labels[a], labels[b]}
    assert [kind for kind, label in rows if label == labels[a]] == list(examples.KINDS)


@pytest.mark.parametrize("change", [{"quotable": False}, {"label": "x"}])
def test_a_corpus_that_may_not_be_quoted_or_is_absent_is_not(made_up, monkeypatch, change):
    results = made_up()
    for item in results.stored:
        item.run.dataset.__dict__.update(change)
    if "label" in change:
        monkeypatch.setattr(data, "at_hand", lambda *_: False)
    assert examples.count_corpora(results) == 0
    assert examples.NOTHING in examples.tab_examples(results)
    assert "tab_examples" in show("examples", results)
