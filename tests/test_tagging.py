"""The tagging arm, on the real MiniLM."""

import random

import numpy as np
import pytest
import torch

from ner_utils import backbones, config, experiment, schema, scoring, tagging, training, weights
from ner_utils.config import ConfigError
from ner_utils.data import Sentence
from ner_utils.spans import Span


@pytest.fixture(scope="module")
def tokenizer(load_model):
    return tagging.load_tokenizer(weights.resolve(load_model("minilm").weights))


def test_labels_sit_on_first_sub_tokens(tokenizer):
    sentence = Sentence("s", None, ("Sesquipedalian", "cats", "purr"), (Span(0, 2, "PER"),))
    row = tagging.encode([sentence], tokenizer, 32)[0]
    labelled = [word for word in row["word"] if word != tagging.IGNORED]
    assert labelled == [0, 1, 2]
    assert len(row["input_ids"]) > 5  # the first word has several pieces
    assert row["word"][0] == row["word"][-1] == tagging.IGNORED  # [CLS] and [SEP]


def test_words_without_a_position_are_counted_as_lost(tokenizer):
    tokens = ("Ada", "\u200b", *["word"] * 40, "Leeds")
    sentence = Sentence("s", None, tokens, (Span(0, 1, "PER"), Span(42, 43, "LOC")))
    rows = tagging.encode([sentence], tokenizer, 16)
    lost = tagging.lost_words([sentence], rows)
    assert lost == {"lost_words": len(tokens) - 14, "lost_mentions": 1}


def test_every_word_of_every_demo_sentence_has_a_position(tokenizer, demo):
    sentences = [sentence for split in demo.values() for sentence in split]
    assert tagging.lost_words(sentences, tagging.encode(sentences, tokenizer, 256))["lost_words"] == 0


def test_twenty_sentences_are_learnt_by_heart(make_run, twenty):
    run = make_run(
        "minilm", {"training.epochs": 30, "training.learning_rate": 5.0e-4, "training.patience": 9}
    )
    record = tagging.train(run, twenty, twenty)
    predicted, cost = tagging.predict(run, experiment.best_checkpoint(run, record), twenty)
    assert scoring.score([s.spans for s in twenty], [p.spans for p in predicted]).f1 >= 0.95
    assert [p.id for p in predicted] == [s.id for s in twenty]
    assert len(record["looks"]) == run.looks
    assert cost["sentences_per_second"] > 0
    assert cost["latency"]["p95_ms"] >= cost["latency"]["p50_ms"] > 0


def test_looks_are_equally_spaced_and_never_more_than_declared():
    assert training.look_steps(100, 4) == [25, 50, 75, 100]
    assert training.look_steps(2, 4) == [1, 2]
    for total in range(1, 60):
        steps = training.look_steps(total, 7)
        assert len(steps) <= 7
        assert steps[-1] == total


def test_patience_is_counted_in_looks():
    looks = [{"dev_f1": f1} for f1 in (0.1, 0.3, 0.3, 0.2)]
    assert training.spent(looks, 2)
    assert not training.spent(looks, 3)
    assert not training.spent(looks[:2], 1)


def test_order_of_training_is_grouped_and_depends_on_seed_and_epoch_alone():
    lengths = random.Random(0).choices(range(5, 60), k=1003)
    order = training._LikeLengths(lengths, 8, seed=1)
    first = list(order)
    assert sorted(first) == list(range(1003))
    torch.rand(3), random.random()  # global state has no say
    assert list(order) == first
    order.set_epoch(1)
    second = list(order)
    assert second != first
    again = training._LikeLengths(lengths, 8, seed=1)
    again.set_epoch(1)
    assert list(again) == second
    assert list(training._LikeLengths(lengths, 8, seed=2)) != first
    batches = [[lengths[i] for i in first[at : at + 8]] for at in range(0, 1003, 8)]
    assert sum(max(batch) - min(batch) for batch in batches) / len(batches) < 3
    assert [len(batch) for batch in batches] == [8] * 125 + [3]


def test_confidences_and_repairs_of_tags():
    """Three words, the second of two sub-tokens: means over words of their tags' log-probabilities."""
    names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    sentence = Sentence("s", None, ("Ada", "Lovelace", "Rome"), ())
    words = [tagging.IGNORED, 0, 1, tagging.IGNORED, 2, tagging.IGNORED]
    tagged = np.array([[0, 1, 2, 4, 4, 0], [-9, -0.1, -0.3, -9, -0.5, -9]])
    found = tagging._prediction(sentence, words, tagged, names)
    assert found.spans == (Span(0, 2, "PER"), Span(2, 3, "LOC"))
    assert found.confidences == pytest.approx((-0.2, -0.5))
    assert found.repaired == (1,)


@pytest.mark.parametrize("quantisation", [None, "nf4"])
def test_a_language_model_learns_to_tag(quantisation, make_tiny_llama, make_run, twenty):
    """The third arm: a decoder, 4-bit weights and adapters, and no generation."""
    run = make_run(
        "minilm", {"training.learning_rate": 5.0e-3, "training.epochs": 150, "training.batch_size": 4}
    )
    changes = {
        "weights": schema.Weights(folder=str(make_tiny_llama())),
        "lora": schema.Lora(r=16, alpha=32, dropout=0.0, target_modules="all-linear"),
        "quantisation": quantisation,
        "labelled": "last",
    }
    run = run.model_copy(
        update={"model": run.model.model_copy(update=changes), "system": f"tagger-{quantisation}"}
    )
    record = tagging.train(run, twenty, twenty)
    assert record["lora_layers"] == dict.fromkeys(
        ("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"), 2
    )
    assert record["parameters"]["trainable"] < record["parameters"]["total"] / 4
    predicted, cost = tagging.predict(run, experiment.best_checkpoint(run, record), twenty)
    assert scoring.score([s.spans for s in twenty], [p.spans for p in predicted]).f1 >= 0.95
    alone = [tagging.predict(run, experiment.best_checkpoint(run, record), [s])[0][0] for s in twenty[:3]]
    assert alone == predicted[:3]


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
        tagging.train(run, twenty, twenty)


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
