"""Long sentences in overlapping windows: nothing is lost, nothing counts twice."""

import random

import pytest

from ner_utils import config, data
from ner_utils.config import ConfigError
from ner_utils.config.study import Window
from ner_utils.data.predictions import Prediction
from ner_utils.data.selection import parts_of
from ner_utils.data.sentence import Sentence
from ner_utils.data.spans import Span
from ner_utils.experiments import experiment


@pytest.fixture
def run():
    made = config.load_run("first-look", "demo", "minilm", 1)
    return made.model_copy(update={"window": Window(words=10, overlap=4)})


def long(length, *spans):
    return Sentence(
        "s", None, tuple(f"w{at}" for at in range(length)), tuple(Span(*each, "PER") for each in spans)
    )


@pytest.mark.parametrize(
    ("length", "starts"), [(9, [0]), (10, [0]), (11, [0, 1]), (16, [0, 6]), (23, [0, 6, 12, 13])]
)
def test_windows_cover_a_sentence(run, length, starts):
    parts = parts_of(run, long(length))
    assert [part.start for part in parts] == starts
    assert all(len(part.sentence.tokens) == min(length, 10) for part in parts)
    assert {word for part in parts for word in part.sentence.tokens} == set(long(length).tokens)
    assert len({part.sentence.id for part in parts}) == len(parts)


def test_perfect_parts_make_a_perfect_sentence(run):
    """Mentions of at most the overlap, anywhere, from windows that each find what is whole in them."""
    chance = random.Random(1)
    for length in range(5, 80):
        spans, at = [], 0
        while (at := at + chance.randrange(3)) < length:
            end = min(length, at + chance.randint(1, 4))
            spans.append((at, end))
            at = end
        sentence = long(length, *spans)
        rows = [
            Prediction(part.id, part.spans, repaired=(), confidences=(-0.5,) * len(part.spans))
            for part in data.in_parts(run, [sentence])
        ]
        (joined,) = data.join_predictions(run, [sentence], rows)
        assert joined.spans == sentence.spans and joined.id == "s"
        assert len(joined.confidences) == len(joined.spans)


def test_what_is_joined(run):
    sentence = long(16)  # windows 0 to 10 and 6 to 16, whose middle is 8
    rows = [
        Prediction(
            "a", (Span(0, 1, "PER"), Span(7, 9, "LOC")), "ok", {"malformed": 1}, confidences=(-1.0, -2.0)
        ),
        Prediction(
            "b", (Span(0, 3, "ORG"), Span(3, 5, "PER")), "failed", {"malformed": 2}, confidences=(-3.0, -4.0)
        ),
    ]
    (joined,) = data.join_predictions(run, [sentence], rows)
    # 7:9 has its middle at the border, and 6:9 of the second window is on the other side of it.
    assert joined.spans == (Span(0, 1, "PER"), Span(9, 11, "PER")) and joined.confidences == (-1.0, -4.0)
    assert (joined.status, joined.dropped) == ("failed", {"malformed": 3})
    tagged = [
        Prediction("a", (Span(0, 1, "PER"), Span(2, 3, "PER")), repaired=(1,), confidences=(-1.0, -1.0)),
        Prediction("b", (Span(5, 6, "PER"),), repaired=(0,), confidences=(-1.0,)),
    ]
    (joined,) = data.join_predictions(run, [sentence], tagged)
    assert joined.spans == (Span(0, 1, "PER"), Span(2, 3, "PER"), Span(11, 12, "PER"))
    assert joined.repaired == (1, 2) and joined.status is None


def test_short_sentences_and_runs_without_windows_are_left_alone(run, demo):
    assert data.in_parts(run.model_copy(update={"window": None}), demo["test"]) == demo["test"]
    rows = [Prediction("s", (Span(0, 1, "PER"),))]
    assert data.join_predictions(run, [long(10)], rows) == rows


def test_the_key_of_a_study(sketch):
    sketch("mine", ["minilm: {model: minilm}"])
    plain = config.load_run("mine", "demo", "minilm", 1)
    cut = config.load_run("mine", "demo", "minilm", 1, 'protocol.window={"words":60,"overlap":20}')
    assert plain.window is None and cut.fingerprint != plain.fingerprint
    with pytest.raises(ConfigError, match="overlap: expected less than half"):
        config.load_study("mine", 'protocol.window={"words":60,"overlap":30}')


@pytest.mark.slow
def test_no_word_is_lost_at_a_models_limit(make_run, demo):
    """A tagger with a limit of 32 sub-tokens on sentences of hundreds of words."""
    tokens = tuple(word for each in demo["test"][:20] for word in each.tokens)
    spans, at = [], 0
    for each in demo["test"][:20]:
        spans += [Span(span.start + at, span.end + at, span.type) for span in each.spans]
        at += len(each.tokens)
    sentence = Sentence("long", None, tokens, tuple(spans))
    run = make_run("minilm", {"training.epochs": 12, "training.max_length": 64, "head_learning_rate": 2.0e-2})
    run = run.model_copy(update={"window": Window(words=24, overlap=8), "train_sentences": 200})
    record = experiment.train_run(run, demo)
    checkpoint = experiment.best_checkpoint(run, record)
    predicted, cost = experiment.predict_sentences(run, checkpoint, [sentence])
    assert cost["prediction_truncation"]["lost_words"] == 0
    assert max(span.end for span in predicted[0].spans) > len(tokens) / 2
    cut, lost = experiment.predict_sentences(run.model_copy(update={"window": None}), checkpoint, [sentence])
    assert lost["prediction_truncation"]["lost_words"] > len(tokens) / 2
    assert len(predicted[0].spans) > 2 * len(cut[0].spans)
