"""Taggers: encoding with MiniLM's tokenizer, training and prediction on tiny random BERTs."""

import random

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertForTokenClassification,
    TrainingArguments,
)

from ner_utils import config, scoring
from ner_utils.config import schema
from ner_utils.config.run import Ensemble
from ner_utils.config.strict_yaml import ConfigError
from ner_utils.data.corpus import Sentence
from ner_utils.data.predictions import Prediction
from ner_utils.data.spans import Span, spans_from_tags
from ner_utils.experiments import experiment
from ner_utils.models import backbones, tagging, training, weights
from ner_utils.models.prediction import Failures, predict_in_batches
from ner_utils.models.training import trainer
from ner_utils.models.training.batches import LengthSampler


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


def test_evaluations_are_equally_spaced_and_never_more_than_declared():
    assert trainer.evaluation_steps(100, 4) == [25, 50, 75, 100]
    assert trainer.evaluation_steps(2, 4) == [1, 2]
    for total in range(1, 60):
        steps = trainer.evaluation_steps(total, 7)
        assert len(steps) <= 7
        assert steps[-1] == total


def test_patience_is_counted_in_evaluations():
    evaluations = [{"dev_f1": f1} for f1 in (0.1, 0.3, 0.3, 0.2)]
    assert trainer.out_of_patience(evaluations, 2)
    assert not trainer.out_of_patience(evaluations, 3)
    assert not trainer.out_of_patience(evaluations[:2], 1)


def test_order_of_training_is_grouped_and_depends_on_seed_and_epoch_alone():
    lengths = random.Random(0).choices(range(5, 60), k=1003)
    order = LengthSampler(lengths, 8, seed=1)
    first = list(order)
    assert sorted(first) == list(range(1003))
    torch.rand(3), random.random()  # global state has no say
    assert list(order) == first
    order.set_epoch(1)
    second = list(order)
    assert second != first
    again = LengthSampler(lengths, 8, seed=1)
    again.set_epoch(1)
    assert list(again) == second
    assert list(LengthSampler(lengths, 8, seed=2)) != first
    batches = [[lengths[i] for i in first[at : at + 8]] for at in range(0, 1003, 8)]
    assert sum(max(batch) - min(batch) for batch in batches) / len(batches) < 3
    assert [len(batch) for batch in batches] == [8] * 125 + [3]


def test_confidences_and_repairs_of_tags():
    """Three words, the second of two sub-tokens: means over words of their tags' log-probabilities."""
    names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    sentence = Sentence("s", None, ("Ada", "Lovelace", "Rome"), ())
    words = [tagging.IGNORED, 0, 1, tagging.IGNORED, 2, tagging.IGNORED]
    tagged = np.array([[0, 1, 2, 4, 4, 0], [-9, -0.1, -0.3, -9, -0.5, -9]])
    prediction = tagging.prediction_of(sentence, words, tagged, names)
    assert prediction.spans == (Span(0, 2, "PER"), Span(2, 3, "LOC"))
    assert prediction.confidences == pytest.approx((-0.2, -0.5))
    assert prediction.repaired == (1,)


# ------------------------------------------------------------------ tiny taggers, untrained
POISON = "qzxqzx"  # the tokenizer knows it as a token of its own, the model has no embedding of it


@pytest.fixture(scope="module")
def make_tiny_tagger(load_model, make_run, tmp_path_factory):
    """``make(padding_side)``: a run on a random BERT of two layers, whose folder is also its checkpoint. With
    the usual ``spread`` of its weights it learns, with a large one it predicts mentions at once."""

    def make(padding_side, spread=0.5, **overrides):
        folder = tmp_path_factory.mktemp(f"tiny-bert-{padding_side}")
        tokenizer = AutoTokenizer.from_pretrained(weights.resolve(load_model("minilm").weights))
        tokenizer.add_tokens([POISON])
        tokenizer.padding_side = tokenizer.truncation_side = padding_side
        tokenizer.save_pretrained(folder)
        run = make_run("minilm", overrides, latency_sentences=1)
        torch.manual_seed(0)
        small = {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
        }
        names = dict(enumerate(run.dataset.tags_of_models))
        settings = BertConfig(**small, vocab_size=30522, id2label=names, initializer_range=spread)
        BertForTokenClassification(settings).save_pretrained(folder)
        model = run.model.model_copy(update={"weights": schema.Weights(folder=str(folder))})
        return run.model_copy(update={"model": model, "system": f"pads-{padding_side}"}), folder

    return make


def some(*words):
    return [Sentence(f"s{at}", None, ("Ada", *word.split(), "Bo"), ()) for at, word in enumerate(words)]


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_side_on_which_a_tokenizer_pads_changes_no_tag(side, make_tiny_tagger, demo):
    """Sentences of different lengths in one batch, each against itself alone."""
    run, folder = make_tiny_tagger(side, prediction_batch_tokens=4096)
    sentences = demo["test"][:24]
    assert len({len(sentence.tokens) for sentence in sentences}) > 5
    together, cost = tagging.predict_with_tagger(run, folder, sentences)
    assert cost["batch_size"] > 8
    model = tagging.load_tagger(folder).eval()
    names = run.dataset.tags_of_models
    for sentence, prediction in zip(sentences, together, strict=True):
        row = tagging.encode([sentence], tagging.load_tokenizer(str(folder)), 256)[0]
        with torch.inference_mode():
            best = model(torch.tensor([row["input_ids"]])).logits[0].argmax(-1).tolist()
        tags = [names[tag] for tag, word in zip(best, row["word"], strict=True) if word != tagging.IGNORED]
        assert prediction.spans == tuple(spans_from_tags(tags)[0])
    assert any(prediction.spans for prediction in together)


@pytest.mark.slow
def test_the_side_on_which_a_tokenizer_pads_changes_no_training(make_tiny_tagger, twenty):
    """The F1 of each evaluation on dev, by which the checkpoint is chosen, and the losses."""
    overrides = {"training.learning_rate": 3.0e-3, "training.epochs": 25, "training.batch_size": 4}
    overrides["spread"] = 0.02
    runs, twenty = [make_tiny_tagger(side, **overrides)[0] for side in ("left", "right")], twenty[:12]
    records = [tagging.train_tagger(run, twenty, twenty) for run in runs]
    left, right = ([record[key] for key in ("looks", "losses")] for record in records)
    assert left == right
    assert max(look["dev_f1"] for look in left[0]) > 0.2, "an F1 of zero proves nothing"
    best = max(look["dev_f1"] for look in left[0])
    predicted, _ = tagging.predict_with_tagger(
        runs[0], experiment.best_checkpoint(runs[0], records[0]), twenty
    )
    assert scoring.score([s.spans for s in twenty], [p.spans for p in predicted]).f1 == pytest.approx(best)


def test_a_head_with_a_rate_of_its_own_takes_larger_steps(make_tiny_tagger, twenty):
    """AdamW's first steps are about as large as the rate; an encoder's weights keep theirs."""
    moved = {}
    for rate in (None, 1.0e-2):
        settings = {"training.learning_rate": 1.0e-4, "training.epochs": 1, "training.warmup_fraction": 0.0}
        run, folder = make_tiny_tagger("right", 0.02, head_learning_rate=rate, **settings)
        record = tagging.train_tagger(run, twenty, twenty)
        before = tagging.load_tagger(folder).state_dict()
        after = tagging.load_tagger(experiment.best_checkpoint(run, record)).state_dict()
        moved[rate] = {name: (after[name] - before[name]).abs().max() for name in after}
    head, layer = "classifier.weight", "bert.encoder.layer.0.output.dense.weight"
    assert moved[1.0e-2][head] > 20 * moved[None][head]
    assert moved[1.0e-2][layer] < 2 * moved[None][layer]


@pytest.mark.parametrize("side", ["left", "right"])
def test_what_is_too_long_loses_its_end(side, make_tiny_tagger):
    tokenizer = tagging.load_tokenizer(str(make_tiny_tagger(side)[1]))
    row = tagging.encode(some("x " * 40), tokenizer, 12)[0]
    assert [word for word in row["word"] if word != tagging.IGNORED] == list(range(10))


@pytest.mark.parametrize("tokens", [16, 4096])
def test_a_sentence_that_fails_is_an_empty_prediction(tokens, make_tiny_tagger, capsys):
    """In a batch with others, first, last or between them; a lone surrogate cannot even be encoded."""
    run, folder = make_tiny_tagger("right", prediction_batch_tokens=tokens)
    sentences = some(POISON, "x", "y y", "\ud800", "z", "v", POISON, "u u u", "t", POISON)
    failed = [0, 3, 6, 9]
    predicted, cost = tagging.predict_with_tagger(run, folder, sentences)
    assert cost["failed_sentences"] == 4
    good = [sentence for at, sentence in enumerate(sentences) if at not in failed]
    alone, other = tagging.predict_with_tagger(run, folder, good)
    assert other["failed_sentences"] == 0
    assert [p for at, p in enumerate(predicted) if at not in failed] == alone
    assert [predicted[at] for at in failed] == [
        Prediction(f"s{at}", (), repaired=(), confidences=()) for at in failed
    ]
    assert "no prediction for s3" in capsys.readouterr().out


def test_a_model_that_fails_at_every_sentence_ends_the_run(make_tiny_tagger):
    run, folder = make_tiny_tagger("right")
    with pytest.raises(RuntimeError, match="none of 2 sentences.*IndexError"):
        tagging.predict_with_tagger(run, folder, some(POISON, POISON))
    torch.nn.init.constant_((model := tagging.load_tagger(folder)).classifier.weight, float("nan"))
    model.save_pretrained(folder)
    with pytest.raises(RuntimeError, match="none of 2 sentences.*no finite numbers"):
        tagging.predict_with_tagger(run, folder, some("x", "y"))


def test_short_memory_for_one_sentence_ends_the_run():
    """An empty prediction would count against the model."""
    tried = []

    def short(places):
        tried.append(places)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")

    with pytest.raises(torch.OutOfMemoryError):
        predict_in_batches(some("x", "y"), {0: 4, 1: 3}, 8, Failures(False), short)
    assert tried == [[0, 1], [0]]


# ---------------------------------------------------------------------------- devices
def test_of_several_gpus_the_trainer_uses_one(make_tiny_tagger, twenty, monkeypatch):
    """The library counts GPUs even where it computes on the CPU, and would spread batches over them."""
    run, _ = make_tiny_tagger("right", **{"training.epochs": 1, "training.batch_size": 4})
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert TrainingArguments(**training.arguments(run, 1)).train_batch_size == 8, "the fake has no effect"
    record = tagging.train_tagger(run, twenty, twenty)
    assert record["steps"] == record["steps_declared"] == 5


def test_a_process_says_which_gpu_it_uses(monkeypatch, capsys):
    backbones.report_device()
    assert capsys.readouterr().out == ""
    for name, value in {"is_available": True, "current_device": 1, "device_count": 4}.items():
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda at: f"card {at}")
    backbones.report_device()
    assert capsys.readouterr().out == "computing on cuda:1 (card 1), 4 visible\n"


def test_what_overflows_in_fp16_is_refused_by_name(make_tiny_llama):
    """As Gemma 3 does on older cards; fp16 on a CPU has the same range."""
    model = AutoModelForCausalLM.from_pretrained(make_tiny_llama(), dtype=torch.float16)
    ids = list(range(40, 60))
    backbones.check_range(model, ids, "Tiny")
    torch.nn.init.constant_(model.model.norm.weight, 6e4)
    with pytest.raises(FloatingPointError, match="Tiny overflows in float16"):
        backbones.check_range(model, ids, "Tiny")
    backbones.check_range(model.float(), ids, "Tiny")


# ------------------------------------------------------------------------------ kinds
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
    assert {name for name, kind in kinds.items() if kind == "LLM tagger"} == {
        "smollm2-135m-tagger",
        "qwen2.5-coder-1.5b-tagger",
    }
    assert kinds["minilm"] == kinds["deberta-v3-large"] == kinds["modernbert-base"] == "encoder"
    assert kinds["llama-3.1-8b"] == kinds["smollm2-135m"] == "generator"
    changed = config.load_model("smollm2-135m-tagger", {"attention": "bidirectional", "labelled": "first"})
    assert changed.kind == "LLM tagger"
    assert Ensemble(label="Both").kind == "ensemble"
