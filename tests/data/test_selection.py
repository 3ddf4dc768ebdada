"""Samples of a corpus, and which sentences a run trains on and predicts."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner_utils import config, data
from ner_utils.data.sentence import Sentence


def made_up(number):
    return [Sentence(f"s{index}", None, ("a",), ()) for index in range(number)]


@given(st.integers(1, 30), st.integers(0, 5), st.data())
def test_small_samples_are_part_of_large_ones(number, seed, more):
    small = more.draw(st.integers(1, number))
    large = more.draw(st.integers(small, number))
    sentences = made_up(number)
    sample = data.draw(sentences, small, seed)
    assert len(sample) == len(set(sample)) == small
    assert set(sample) <= set(data.draw(sentences, large, seed)) <= set(sentences)
    assert sample == data.draw(sentences, small, seed)
    assert sentences == made_up(number)


def test_small_samples_of_a_large_corpus_are_part_of_large_ones():
    """`random.sample` has another algorithm for few of many."""
    samples = [set(data.draw(made_up(1030), number, 1)) for number in (5, 20, 300)]
    assert samples[0] < samples[1] < samples[2]


def test_a_sample_depends_on_the_seed_alone():
    state = random.getstate()
    assert data.draw(made_up(100), 10, 1) != data.draw(made_up(100), 10, 2)
    assert random.getstate() == state


@pytest.mark.parametrize("number", [None, 5, 9])
def test_a_sample_of_all(number):
    assert data.draw(made_up(5), number, 1) == made_up(5)


def test_sentences_of_a_run(make_run, demo):
    types = ("PER", "LOC")
    run = make_run("minilm", {}, train_sentences=50, test_sentences=20, held_out=types)
    train, test = data.training_sentences(run, demo), data.test_sentences(run, demo)
    assert [s.id for s in train] == [s.id for s in data.draw(demo["train"], 50, run.seed)]
    assert not {span.type for s in train for span in s.spans} & set(types)
    assert test == data.draw(demo["test"], 20, seed=0)  # the same for all runs, held-out types included
    upper = make_run("minilm", {}, test_sentences=20, perturbed="upper case")
    assert [s.text for s in data.test_sentences(upper, demo)] == [s.text.upper() for s in test]


def test_the_dev_sample_of_a_generator(make_run, demo, load_model):
    model = load_model("smollm2-135m")
    run = make_run("smollm2-135m", {})
    first = run.model_copy(update={"model": model.model_copy(update={"dev_draw": "first"})})
    assert data.dev_sample(first, demo["dev"]) == demo["dev"][:20]
    drawn = run.model_copy(update={"model": model.model_copy(update={"dev_draw": "random"})})
    assert data.dev_sample(drawn, demo["dev"]) == data.draw(demo["dev"], 20, run.seed)


def test_dev_sentences_of_a_study():
    corpus = {"dev": made_up(300)}
    run = config.load_run("demo", "demo", "minilm", 1)
    assert len(data.dev_sentences(run, corpus)) == min(run.dev_predictions, 300)
    assert data.dev_sentences(config.load_run("first-look", "demo", "minilm", 1), corpus) == []
    assert data.dev_sentences(config.load_run("demo", "demo", "minilm-typos", 1), corpus) == []
