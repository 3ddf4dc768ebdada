"""Overrides: which systems they reach, what they replace, and which are refused."""

import pytest
from conftest import SMALL, refused
from hypothesis import given
from hypothesis import strategies as st

from ner_utils import config
from ner_utils.config.strict_yaml import ConfigError


def resolved(system="encoder", seed=1, overrides=""):
    return config.load_run("small", "small", system, seed, overrides)


def test_model_overrides_reach_the_systems_that_have_the_key(params):
    text = "model.training.epochs=9 model.lora.r=64"
    assert resolved(overrides=text).model.training.epochs == 9
    writer = resolved("writer", overrides=text)
    assert (writer.model.training.epochs, writer.model.lora.r) == (9, 64)


def test_overrides_of_one_system(params):
    text = "writer:model.training.learning_rate=1.0e-3 encoder:train_sentences=1"
    assert resolved("writer", overrides=text).model.training.learning_rate == 1e-3
    encoder = resolved(overrides=text)
    assert (encoder.model.training.learning_rate, encoder.train_sentences) == (2e-4, 1)


def test_overrides_of_the_study(params):
    text = "seeds=[7] protocol.dev_evaluations=5 protocol.dev_sample=null title=x=y"
    assert [item.seed for item in config.runs_of("small", text)] == [7, 7, 0]
    assert (
        resolved(seed=7, overrides=text).dev_evaluations,
        resolved(seed=7, overrides=text).dev_sample,
    ) == (5, None)
    assert config.load_study("small", text).title == "x=y"


def test_overrides_come_after_the_files_own(params):
    params.edit(SMALL, "train_sentences: 2", "overrides: {training.epochs: 5}")
    assert resolved().model.training.epochs == 5
    assert resolved(overrides="encoder:model.training.epochs=6").model.training.epochs == 6
    assert resolved(overrides=" \n ") == resolved()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model.training.epochs", "expected [system:]key=value"),
        ("reader:model.training.epochs=1", "unknown system 'reader'; there are: encoder, writer, untrained"),
        ("model.training.epoch=1", "unknown key of the model of encoder, writer, untrained"),
        ("encoder:model.lora.r=1", "unknown key of the model of encoder"),
        ("model.training.epochs.more=1", "unknown key"),
        ("protocol.look=1", "protocol.look: unknown key"),
        ("train_sentences=1", "train_sentences: unknown key"),
        ("encoder:dev_evaluations=1", "dev_evaluations: unknown key"),
        ("encoder:seeds=[3]", "expected some of [1, 2]"),
        ("untrained:seeds=[1]", "not of zero-shot"),
        ("=1", "unknown key"),
        (
            "protocol.dev_evaluations=many",
            "protocol.dev_evaluations: Input should be a valid integer, found 'many'",
        ),
        ("protocol.dev_evaluations=0", "protocol.dev_evaluations: Input should be greater than 0"),
        ("model.training.learning_rate=5e-5", "write 5.0e-5"),
        ("model.training.epochs=[1", "not valid YAML"),
        ("model.approach=generation", "labelled: unknown key"),
        ("datasets=[large]", "large.yaml: no such file"),
        ("protocol.comparisons=[[encoder,reader]]", "names 'reader'"),
    ],
)
def test_refused_overrides(params, text, message):
    assert message in refused(config.load_study, "small", text)


@given(st.text("abc.:=[]{}_ 1'\"&*!#\n", max_size=20))
def test_no_override_raises_anything_else(text):
    """On the real demo study: whatever is typed is applied, or refused with a reason."""
    try:
        config.load_study("first-look", text)
    except ConfigError as error:
        assert str(error)
