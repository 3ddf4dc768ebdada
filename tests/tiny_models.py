"""Fixtures: runs on the demo corpus, with real weights or with tiny random ones."""

import shutil
from functools import cache
from pathlib import Path

import pytest

from ner_utils import config, paths
from ner_utils.config import schema
from ner_utils.config.run import Run
from ner_utils.config.strict_yaml import check
from ner_utils.forms.json_list import JsonForm
from ner_utils.models import weights

TINY_LLAMA = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
TINY_BERT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture(scope="session")
def load_model():
    return config.load_model


@pytest.fixture(scope="session")
def twenty(demo):
    """Twenty short training sentences whose mentions a JSON list can express."""
    settings = config.load_dataset("demo")
    json_format = JsonForm(settings.types)
    short = [s for s in demo["train"] if s.spans and len(s.tokens) <= 14]
    return [s for s in short if json_format.read(json_format.target(s), s.tokens).spans == list(s.spans)][:20]


@pytest.fixture(scope="session")
def make_tiny_llama(tmp_path_factory):
    """A random Llama of two layers with SmolLM2's tokenizer, saved like any local checkpoint; each call gives
    a folder that may be changed."""

    @cache
    def made() -> Path:
        import torch
        from transformers import AutoConfig, AutoTokenizer, LlamaForCausalLM

        source = weights.resolve(config.load_model("smollm2-135m").weights)
        folder = tmp_path_factory.mktemp("tiny-llama")
        torch.manual_seed(0)
        settings = AutoConfig.from_pretrained(source, **TINY_LLAMA, head_dim=32)
        LlamaForCausalLM(settings).save_pretrained(folder)
        AutoTokenizer.from_pretrained(source).save_pretrained(folder)
        return folder

    return lambda: shutil.copytree(made(), tmp_path_factory.mktemp("copy") / "tiny-llama")


@pytest.fixture(scope="module")
def make_run(tmp_path_factory):
    """``make_run(system, overrides)`` makes a run on the demo corpus; its folders are temporary."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("project")
    patch.setattr(paths, "RUNS", folder / "runs")
    patch.setattr(paths, "RESULTS", folder / "results")

    def make(
        system: str, overrides: dict, dev_evaluations: int = 3, weights_folder: Path | None = None, **more
    ):
        model = config.load_model("smollm2-135m" if weights_folder else system, overrides)
        if weights_folder:
            model = model.model_copy(update={"weights": schema.Weights(folder=str(weights_folder))})
        settings = {
            "study": "test",
            "dataset_name": "demo",
            "system": system,
            "label": system,
            "dataset": config.load_dataset("demo"),
            "model": model,
            "untrained": False,
            "train_sentences": None,
            "seed": 1,
            "dev_evaluations": dev_evaluations,
            "dev_sample": 20,
            "test_sentences": None,
            "latency_sentences": 2,
            "resamples": 50,
        }
        return Run(**settings | more)

    yield make
    patch.undo()


@pytest.fixture(scope="module")
def tiny(make_tiny_llama, make_run):
    """A run on a two-layer random Llama with SmolLM2's tokenizer."""
    return make_run("tiny-llama", {"max_new_tokens": 12}, weights_folder=make_tiny_llama())


@pytest.fixture(scope="session")
def make_tiny_gliner(tmp_path_factory):
    """A folder with a random GLiNER2 on a BERT of one layer, which takes one reading of a sentence, as the
    published ones do."""

    @cache
    def made() -> Path:
        import torch
        from gliner2 import ExtractorConfig, SpanExtractor
        from transformers import AutoConfig, AutoTokenizer

        source = weights.resolve(config.load_model("minilm").weights)
        folder = tmp_path_factory.mktemp("tiny-gliner")
        torch.manual_seed(0)
        model = SpanExtractor(
            ExtractorConfig(model_name="tiny", max_width=4),
            encoder_config=AutoConfig.from_pretrained(source, **TINY_BERT),
            tokenizer=AutoTokenizer.from_pretrained(source),
        )
        torch.nn.init.constant_(model.count_pred[-1].bias[1], 10)
        model.save_pretrained(folder)
        return folder

    return made


@pytest.fixture(scope="module")
def tiny_gliner(make_tiny_gliner, make_run):
    """``tiny_gliner(**keys)``: a run with a random GLiNER2; keys change the run."""
    keys = {"learning_rate": 1.0e-2, "batch_size": 8, "accumulation_steps": 1, "epochs": 3, "patience": 9}
    keys |= {"weight_decay": 0.01, "warmup_fraction": 0.1, "schedule": "linear", "max_length": 40}

    def make(more=(), training=(), **changes):
        values = {"approach": "gliner", "label": "Tiny GLiNER", "prediction_batch_tokens": 512}
        values |= {"weights": {"folder": str(make_tiny_gliner())}, "training": keys | dict(training)}
        model = check(schema.Model, values | dict(more), "tiny")
        run = make_run("minilm", {}, **{"train_sentences": 40} | changes)
        return run.model_copy(update={"system": "tiny-gliner", "model": model})

    return make


@pytest.fixture(scope="module")
def tiny_tagger(make_run, tmp_path_factory):
    """A run of six steps, with a look at dev after each third of them, on a random BERT of one layer."""
    import torch
    from transformers import BertConfig, BertModel

    settings = {"training.epochs": 3, "training.batch_size": 8, "training.accumulation_steps": 1}
    run = make_run("minilm", settings | {"training.learning_rate": 1.0e-3}, train_sentences=16)
    source = weights.resolve(run.model.weights)
    folder = tmp_path_factory.mktemp("tiny-bert")
    torch.manual_seed(0)
    BertModel(BertConfig.from_pretrained(source, **TINY_BERT)).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(f"{source}/{name}", folder)
    model = run.model.model_copy(update={"weights": schema.Weights(folder=str(folder)), "architecture": None})
    return run.model_copy(update={"model": model})
