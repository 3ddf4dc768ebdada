"""Answers under a grammar: whatever the scores, they can be read; grounded, they quote the sentence."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_utils.data.corpus import Sentence
from ner_utils.data.spans import Span
from ner_utils.forms.json_list import JsonForm
from ner_utils.forms.registry import FORMS
from ner_utils.models import generation, weights
from ner_utils.models.generation.constraints import Constraints

TYPES = {"PER": "person", "LOC": "location", "ART": 'creative "work"'}
HOSTILE = [
    "Ada",
    '"',
    "\\",
    "São",
    "🙂",
    "\u202eabc",
    "]",
    '"}]',
    "< |im_end|>",
    "U.S.",
    "a b",
    "\x07",
    "}, {",
]


@pytest.fixture(scope="module")
def tokenizer(make_tiny_llama):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(make_tiny_llama())


_makes = {}  # a vocabulary takes half a second


def write(tokenizer, name, kind, words, limit, seed):
    """An answer of a model that knows nothing: its scores are noise."""
    form, vocabulary = FORMS[name](TYPES), len(tokenizer)
    makes = _makes.get((name, kind)) or Constraints(kind, form, tokenizer, vocabulary, limit)
    _makes[name, kind], makes.limit = makes, limit
    constraint = makes.of(words)
    random = np.random.default_rng(seed)
    answer = constraint.begin()
    while tokenizer.eos_token_id not in answer:
        tokens, log_probability = constraint.choose(random.normal(size=vocabulary).astype(np.float32))
        assert log_probability <= 0
        answer += tokens
        assert len(answer) <= limit, tokenizer.decode(answer)
    assert answer.index(tokenizer.eos_token_id) == len(answer) - 1
    return form, tokenizer.decode(answer[:-1])


hostile = st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=9)


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=8)
@given(words=hostile, limit=st.integers(24, 200), seed=st.integers(0, 2**32))
def test_grounded_answers_of_noise_are_spans_of_the_sentence(tokenizer, name, words, limit, seed):
    form, text = write(tokenizer, name, "grounded", words, limit, seed)
    reading = form.read(text, tuple(words))
    # A copy that reaches its limit stops there, and its part of the sentence is read.
    assert reading.status == "ok" or (name in ("inline", "bio") and limit < 150)
    assert {reason for reason, number in reading.dropped.items() if number} <= {"duplicate"}
    if name.startswith("json"):
        assert json.dumps(json.loads(text), ensure_ascii=False) == text


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=6)
@given(limit=st.integers(24, 90), seed=st.integers(0, 2**32))
def test_schema_answers_of_noise_have_the_form_and_known_types(tokenizer, name, limit, seed):
    form, text = write(tokenizer, name, "schema", ["Ada"], limit, seed)
    reading = form.read(text, ("Ada",))
    assert reading.status == "ok" or not name.startswith("json")  # what it copies need not be the sentence
    assert not reading.dropped["unknown_type"] + reading.dropped["malformed"]


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=60)
@given(words=hostile, data=st.data())
def test_every_beginning_of_an_answer_can_be_closed(name, words, data):
    form = FORMS[name](TYPES)
    ends = sorted(data.draw(st.sets(st.integers(0, len(words)), max_size=5)))
    spans = tuple(Span(start, end, "ART") for start, end in zip(ends[::2], ends[1::2], strict=False))
    answer = form.target(Sentence("s", None, tuple(words), spans)).encode()
    cut = data.draw(st.integers(0, len(answer)))
    free = [None] if b"\\u" not in answer else []  # free text is never escaped like that
    for known in [words, *free]:
        grammar = form.grammar(known)
        closing = grammar.closing(answer[:cut])
        assert len(closing) <= grammar.reserve
        reading = form.read((answer[:cut] + closing).decode(), tuple(words))
        assert not reading.dropped["unknown_type"] + reading.dropped["malformed"]
        if known:
            assert reading.dropped["ungrounded"] == 0
    assert form.grammar(words).closing(answer) == b""


def test_the_best_permitted_token_is_taken(tokenizer):
    """A model whose best tokens are all permitted writes its answer."""
    words = ["Ada", "met", "Bo", "in", "São", "Paulo"]
    form = JsonForm(TYPES)
    target = form.target(Sentence("s", None, tuple(words), (Span(0, 1, "PER"), Span(4, 6, "LOC"))))
    ids = tokenizer(target, add_special_tokens=False)["input_ids"]
    constraint = Constraints("grounded", form, tokenizer, len(tokenizer), 64).of(words)
    answer, chosen = constraint.begin(), 0
    while len(answer) < len(ids):
        scores = np.zeros(len(tokenizer), dtype=np.float32)
        scores[ids[len(answer)]] = 1
        tokens, log_probability = constraint.choose(scores)
        assert -np.log(len(tokenizer)) <= log_probability <= 0
        answer += tokens
        chosen += 1
    assert answer == [*ids, tokenizer.eos_token_id]
    assert chosen < len(ids) / 2, "forced tokens were not taken at once"


@pytest.mark.parametrize("chosen", [0, 1])
def test_each_of_several_ends_ends_an_answer_under_a_grammar(tokenizer, chosen):
    """The end that a model prefers is the one that it writes; where an end is forced it is the first."""
    ends = tokenizer.convert_tokens_to_ids(["<file_sep>", "<|im_end|>"])

    def preferring(*tokens):
        scores = np.zeros(len(tokenizer), dtype=np.float32)
        scores[list(tokens)] = 9
        return scores

    free = Constraints("schema", FORMS["inline"](TYPES), tokenizer, len(tokenizer), 64, ends).of(["Ada"])
    word = tokenizer("Ada")["input_ids"]
    answer = free.begin()
    for token in (*word, ends[chosen]):
        answer += free.choose(preferring(token))[0]
    assert answer == [*word, ends[chosen]]
    forced = Constraints("grounded", JsonForm(TYPES), tokenizer, len(tokenizer), 64, ends).of(["Ada"])
    answer = forced.begin()
    while not set(ends) & set(answer):
        answer += forced.choose(preferring(*tokenizer("[]")["input_ids"]))[0]
    assert tokenizer.decode(answer) == "[]<file_sep>"


@pytest.mark.parametrize(("name", "kind"), [*((name, "grounded") for name in FORMS), ("json", "schema")])
def test_an_untrained_model_answers_readably(name, kind, make_tiny_llama, make_run, demo):
    """Every answer can be read, none is cut off, and if grounded, no mention is from elsewhere."""
    hostile = [Sentence(word, None, (word, "Ada"), ()) for word in [*HOSTILE, "<|im_end|>"]]
    room = 24 if name.startswith("json") else 240  # which suffices to copy a short sentence
    overrides = {"max_new_tokens": room, "constrained": kind, "output_format": name}
    run = make_run("tiny-llama", overrides, weights_folder=make_tiny_llama(), untrained=True)
    short = [sentence for sentence in demo["test"] if len(sentence.tokens) < 8][:5]
    predicted, cost = generation.predict_with_generator(run, None, [*short, *hostile])
    assert {prediction.status for prediction in predicted} == {"ok"}
    assert cost["prediction_truncation"] == {"cut_off_answers": 0}
    assert sum(p.dropped["unknown_type"] + p.dropped["malformed"] for p in predicted) == 0
    assert any(prediction.spans for prediction in predicted) or kind == "schema"
    if kind == "grounded":
        assert sum(prediction.dropped["ungrounded"] for prediction in predicted) == 0


def test_without_constraint_the_same_model_does_not(make_tiny_llama, make_run, demo):
    run = make_run("tiny-llama", {"max_new_tokens": 24}, weights_folder=make_tiny_llama())
    predicted, _ = generation.predict_with_generator(
        run.model_copy(update={"untrained": True}), None, demo["test"][:4]
    )
    assert {prediction.status for prediction in predicted} == {"failed"}


def test_prompter_and_constraints_share_the_tokens_of_real_weights(load_model):
    """A forced beginning must be what training taught: `[` is a token of its own in every target."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(weights.resolve(load_model("smollm2-135m").weights))
    begin = Constraints("grounded", JsonForm(TYPES), tokenizer, len(tokenizer), 32).of(["Ada"]).begin()
    for target in ("[]", '[{"text": "Ada", "type": "person"}]'):
        assert tokenizer(target, add_special_tokens=False)["input_ids"][: len(begin)] == begin
