"""Every kind of model that the studies use, through its own YAML, with tiny random weights.

The tokenizers are tiny, too, and of the same kind as the real ones.
"""

from functools import cache

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    DebertaV2TokenizerFast,
    PreTrainedTokenizerFast,
)

from ner_utils import config, scoring
from ner_utils.config.schema import Lora, Weights
from ner_utils.experiments import experiment
from ner_utils.models import generation, tagging
from ner_utils.models.training import trainer

TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
# Adapters cannot make a small head speak up: its random weights are larger than a real model's at first.
DECODER = TINY | {"num_key_value_heads": 2, "head_dim": 32, "initializer_range": 0.3}
LINEAR = {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16}
LINEAR |= {"linear_value_head_dim": 16, "layer_types": ["linear_attention", "full_attention"]}
SIZES = {
    "bert-base-cased": TINY,
    "deberta-v3-base": TINY | {"position_buckets": 16},
    "modernbert-base": TINY,
    "llama-3.1-8b": DECODER,
    "qwen3.5-0.8b": DECODER | LINEAR,
}
ENCODERS = [name for name in SIZES if config.load_model(name).approach == "tagging"]
DECODERS = [name for name in SIZES if name not in ENCODERS]
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Products of such sizes only lose by a second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def word_piece(texts):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=600, special_tokens=special))
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=ends)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def unigram(texts):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    trainer = trainers.UnigramTrainer(vocab_size=600, special_tokens=special, unk_token="[UNK]")
    tokenizer.train_from_iterator(texts, trainer)
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=ends)
    return DebertaV2TokenizerFast(tokenizer_object=tokenizer)


def byte_level(texts, begin, end, pad, chat):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token in (begin, end, pad, "<|im_start|>") if token]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(texts, trainer)
    names = {"eos_token": end, "pad_token": pad} | ({"bos_token": begin} if begin else {})
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    made.chat_template = CHAT if chat else None
    return made


def tokenizer_like(name, texts):
    if name == "deberta-v3-base":
        return unigram(texts)
    if name == "bert-base-cased":
        return word_piece(texts)
    if name == "modernbert-base":
        return byte_level(texts, None, "[SEP]", "[PAD]", False)
    if name.startswith("qwen"):
        return byte_level(texts, None, "<|im_end|>", "<|endoftext|>", True)
    return byte_level(texts, "<|begin_of_text|>", "<|end_of_text|>", config.load_model(name).pad_token, False)


@pytest.fixture(scope="module")
def tiny_weights(tmp_path_factory, demo):
    """``tiny_weights(name)`` saves a small model of the YAML's architecture and a tokenizer of its kind."""
    texts = [sentence.text for sentence in demo["train"]]

    @cache
    def make(name):
        folder = tmp_path_factory.mktemp(name)
        tokenizer = tokenizer_like(name, texts)
        tokenizer.save_pretrained(folder)
        declared = dict(config.load_model(name).architecture) | SIZES[name] | {"vocab_size": len(tokenizer)}
        kind = declared.pop("model_type")
        settings = AutoConfig.for_model(kind, **declared, pad_token_id=tokenizer.pad_token_id)
        torch.manual_seed(0)
        auto = AutoModelForMaskedLM if name in ENCODERS else AutoModelForCausalLM
        auto.from_config(settings).save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="module")
def few(twenty):
    return twenty[:10]


def writer(name, tiny_weights, make_run, epochs, longest=12):
    """A run of a decoder that writes, with adapters of its YAML's modules."""
    targets = config.load_model(name).lora.target_modules
    changes = {"lora": Lora(r=32, alpha=64, dropout=0.0, target_modules=targets)}
    overrides = {"training.learning_rate": 5.0e-3, "training.epochs": epochs, "max_new_tokens": longest}
    return made(name, tiny_weights, make_run, overrides, name, changes)


def tagger(name, tiny_weights, make_run, epochs, quantisation=None):
    """A run of the same decoder that tags, through the YAML of an encoder."""
    written = config.load_model(name)
    lora = Lora(r=16, alpha=32, dropout=0.0, target_modules=written.lora.target_modules)
    changes = {"labelled": "last", "quantisation": quantisation, "pad_token": written.pad_token, "lora": lora}
    overrides = {"training.learning_rate": 5.0e-3, "training.epochs": epochs}
    return made("minilm", tiny_weights, make_run, overrides, name, changes)


def made(system, tiny_weights, make_run, overrides, name=None, changes=None):
    """A run through a YAML with one evaluation, on the tiny weights of a model."""
    overrides |= {"training.batch_size": 5, "training.accumulation_steps": 1, "training.patience": 9}
    run = make_run(system, overrides, dev_evaluations=1, train_sentences=None)
    changes = {"weights": Weights(folder=str(tiny_weights(name or system)))} | (changes or {})
    model = run.model.model_copy(update=changes)
    return run.model_copy(update={"model": model, "system": f"{name or system}-{run.model.approach}"})


def learns_by_heart(run, sentences, predict):
    """The record of a training whose checkpoint predicts its sentences, alike in any batch."""
    record = experiment.train_run(run, {"train": sentences, "dev": sentences})
    checkpoint = experiment.best_checkpoint(run, record)
    predicted, cost = predict(run, checkpoint, sentences)
    assert [prediction.id for prediction in predicted] == [sentence.id for sentence in sentences]
    assert scoring.score([s.spans for s in sentences], [p.spans for p in predicted]).f1 >= 0.9
    assert cost["failed_sentences"] == 0 < cost["latency"]["p50_ms"] <= cost["latency"]["p95_ms"]
    assert cost["latency"]["differing"] == 0
    assert predict(run, checkpoint, sentences[3:6])[0] == predicted[3:6]
    return record


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders(name, tiny_weights, make_run, few):
    run = made(name, tiny_weights, make_run, {"training.learning_rate": 3.0e-3, "training.epochs": 40})
    learns_by_heart(run, few, tagging.predict_with_tagger)


@pytest.mark.slow
@pytest.mark.parametrize("name", DECODERS)
def test_decoders_that_write(name, tiny_weights, make_run, few):
    learns_by_heart(writer(name, tiny_weights, make_run, 60, 200), few, generation.predict_with_generator)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "quantisation"), zip(DECODERS, [None, "nf4"], strict=True))
def test_decoders_that_tag(name, quantisation, tiny_weights, make_run, few):
    run = tagger(name, tiny_weights, make_run, 80, quantisation)
    record = learns_by_heart(run, few, tagging.predict_with_tagger)
    assert record["parameters"]["trainable"] < record["parameters"]["total"] / 2
    assert {"q_proj", "down_proj"} < set(record["lora_layers"])
    linear = {"in_proj_qkv", "in_proj_z", "in_proj_a", "in_proj_b", "out_proj"}
    assert linear.isdisjoint(record["lora_layers"]) == (name != "qwen3.5-0.8b")


@pytest.mark.slow
@pytest.mark.parametrize("kind", [writer, tagger])
def test_an_interrupted_training_ends_in_the_same_weights(kind, tiny_weights, make_run, few, monkeypatch):
    """Of adapters, whose dtype differs in checkpoints; with three evaluations, the second before the kill."""
    run = kind("llama-3.1-8b", tiny_weights, make_run, 3).model_copy(update={"dev_evaluations": 3})
    killed, corpus = run.model_copy(update={"study": "killed"}), {"train": few, "dev": few}
    record = experiment.train_run(run, corpus)
    step_end = trainer.DevEvaluations.on_step_end

    def mortal(self, args, state, control, **keywords):
        step_end(self, args, state, control, **keywords)
        if state.global_step == record["steps_declared"] * 2 // 3 + 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trainer.DevEvaluations, "on_step_end", mortal)
        experiment.train_run(killed, corpus)
    resumed = experiment.train_run(killed, corpus)
    assert (record["starts"], resumed["starts"]) == (1, 2)
    weights, again = (
        load_file(experiment.best_checkpoint(*each) / "adapter_model.safetensors")
        for each in ((run, record), (killed, resumed))
    )
    assert weights.keys() == again.keys()
    assert all(torch.equal(weights[key], again[key]) for key in weights)
