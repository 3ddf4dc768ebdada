"""Kinds of models: a causal language model that tags is no encoder."""

import pytest

from ner_utils import config
from ner_utils.config import schema
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.models import backbones, tagging


def test_a_language_model_is_not_taken_for_an_encoder(make_tiny_llama, make_run, twenty):
    """Declared like one, it is refused by name before it trains."""
    run = make_run("minilm", {})
    source = schema.Weights(folder=str(make_tiny_llama()))
    run = run.model_copy(
        update={"model": run.model.model_copy(update={"weights": source}), "system": "tagger-first"}
    )
    assert run.model.kind == "encoder"
    with pytest.raises(
        ConfigError, match=r"MiniLM.*labelled: llama is a causal language model and no encoder"
    ):
        tagging.train_tagger(run, twenty, twenty)


@pytest.mark.parametrize(
    ("model_type", "causal"),
    [("llama", True), ("qwen3_5_text", True), ("gemma3_text", True), ("gpt2", True), ("bert", False),
     ("deberta-v2", False), ("modernbert", False), ("roberta", False), ("electra", False)],
)  # fmt: skip
def test_which_models_are_causal(model_type, causal):
    """BERT and its like can be set up as decoders; as the library ships them, they see both sides."""
    assert backbones.is_causal(model_type) is causal


def test_kinds_of_the_committed_models():
    kinds = {name: config.load_model(name).kind for name in config.names("models")}
    assert {name for name, kind in kinds.items() if kind == "LLM tagger"} == {"smollm2-135m-tagger"}
    assert kinds["minilm"] == kinds["deberta-v3-large"] == kinds["modernbert-base"] == "encoder"
    assert kinds["llama-3.1-8b"] == kinds["smollm2-135m"] == "generator"
    assert schema.Ensemble(label="Both").kind == "ensemble"
