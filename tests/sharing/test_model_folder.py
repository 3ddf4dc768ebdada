"""Folders of trained models: what plain transformers makes of them, their cards, and their upload."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from conftest import use_folders
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from ner_utils import config, data, paths
from ner_utils.config import ConfigError, schema
from ner_utils.data import audit
from ner_utils.data.spans import spans_from_tags
from ner_utils.experiments import experiment
from ner_utils.models import generation, weights
from ner_utils.results import evaluation
from ner_utils.results.study import load_results
from ner_utils.sharing import model_folder
from ner_utils.sharing.card import model_card

STUDY = """
title: Two models
kind: demonstration
question: Do they travel?
datasets: [demo]
seeds: [1]
systems:
  tagger: {model: minilm, train_sentences: 64, overrides: {training.epochs: 4, head_learning_rate: 2.0e-2}}
  writer: {model: smollm2-135m, train_sentences: 4, overrides: {training.epochs: 1, max_new_tokens: 16}}
  untrained: {model: smollm2-135m, label: Untrained, zero_shot: true, overrides: {max_new_tokens: 16}}
protocol:
  {primary_metric: micro_f1, comparisons: [], dev_evaluations: 1, dev_sample: 4, test_sentences: 24,
   latency_sentences: 1, resamples: 50}
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A finished study, and the folders of its two trained models."""
    folder = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch:
        use_folders(patch, folder, "RESULTS", "RUNS", "PARAMS")
        for kind in ("models", "datasets"):
            (paths.PARAMS / kind).mkdir(parents=True)
            for file in (paths.ROOT / "params" / kind).iterdir():
                (paths.PARAMS / kind / file.name).write_text(file.read_text())
        (paths.PARAMS / "studies").mkdir()
        (paths.PARAMS / "studies" / "two.yaml").write_text(STUDY)
        for run in config.runs_of("two"):
            corpus = data.load("demo", run.dataset)
            record = {} if run.untrained else experiment.train_run(run, corpus)
            test = data.test_sentences(run, corpus)
            best = experiment.best_checkpoint(run, record)
            predicted, cost = experiment.predictor_of(run)(run, best, test)
            experiment.write_results(run, predicted, record, cost)
            evaluation.write_metrics(run, test, predicted)
        audit.write_audit("two", "demo", run.dataset, corpus)
        results = load_results("two")
        yield (
            results,
            {
                name: model_folder.write_model(results, config.load_run("two", "demo", name, 1))
                for name in ("tagger", "writer")
            },
        )


def said_by_the_card(folder, run, call):
    """What the code of a card says about the test sentences, in a Python that does not load this project."""
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    sentences = data.test_sentences(run, data.load("demo", run.dataset))
    asked = json.dumps([list(sentence.tokens) for sentence in sentences])
    code += "\nimport json, sys\nassert 'ner_utils' not in sys.modules\n"
    code += f"print(json.dumps([{call} for words in json.loads({asked!r})]))\n"
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return sentences, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_tagger_predicts_the_stored_spans_in_plain_transformers(shared):
    results, folders = shared
    run = config.load_run("two", "demo", "tagger", 1)
    sentences, tags = said_by_the_card(folders["tagger"], run, "tag(words)")
    stored = evaluation.load_predictions(run, sentences)
    assert [tuple(spans_from_tags(each)[0]) for each in tags] == [each.spans for each in stored]
    assert sum(len(each.spans) for each in stored) > 5


@pytest.mark.slow
def test_a_generator_writes_the_same_answers_in_plain_transformers(shared):
    results, folders = shared
    run = config.load_run("two", "demo", "writer", 1)
    _, answers = said_by_the_card(folders["writer"], run, 'answer(" ".join(words))')
    stored = [json.loads(line)["answer"] for line in (run.scratch / "answers.jsonl").open()]
    assert answers == stored


@pytest.mark.slow
def test_what_is_in_a_folder_and_in_its_card(shared):
    results, folders = shared
    names = {file.name for file in folders["tagger"].iterdir()}
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= names
    assert not any("optimizer" in name or "trainer" in name or "training" in name for name in names)
    for name, folder in folders.items():
        text = (folder / "README.md").read_text()
        head = yaml.safe_load(text.split("---")[1])
        item = next(each for each in results.stored if each.run.system == name)
        assert head["model-index"][0]["results"][0]["metrics"][2]["value"] == pytest.approx(
            100 * item.metrics["micro"]["f1"], abs=0.01
        )
        assert head["library_name"] == "transformers" and head["language"] == "en"
        assert item.run.fingerprint[:12] in text and "{{" not in text
        assert text.count("\n| ") == 2 + len(item.metrics["types"])
        assert str(paths.RUNS) not in text and "/root" not in text


def test_a_generator_keeps_the_tokenizer_of_its_prompts(tiny, tmp_path, monkeypatch):
    source = tiny.model.weights.folder
    monkeypatch.setattr(generation, "merge", lambda run, adapter: Path(source))
    model_folder._write_weights(tiny, None, tmp_path, adapter=False)
    shared, own = AutoTokenizer.from_pretrained(tmp_path), generation.Prompter(tiny, source).tokenizer
    assert shared("Ada")["input_ids"] == own("Ada")["input_ids"]
    assert (shared.padding_side, shared.pad_token) == ("left", own.pad_token)


@pytest.mark.slow
def test_an_adapter_alone_loads_in_peft(shared, tmp_path, monkeypatch):
    """Of a base on the hub, which is a folder here; with the weights of the checkpoint that dev chose."""
    run = config.load_run("two", "demo", "writer", 1)
    record = experiment.train_run(run, data.load("demo", run.dataset))  # another test may have deleted it
    best, source = experiment.best_checkpoint(run, record), weights.resolve(run.model.weights)
    hub = schema.Weights(hub={"repo": "someone/base", "revision": "0" * 40})
    run = run.model_copy(update={"model": run.model.model_copy(update={"weights": hub})})
    monkeypatch.setattr(weights, "resolve", lambda declared: source)
    model_folder._write_weights(run, best, tmp_path, adapter=True)
    names = {file.name for file in tmp_path.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= names
    declared = PeftConfig.from_pretrained(tmp_path)
    assert (declared.base_model_name_or_path, declared.revision) == ("someone/base", "0" * 40)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(source), tmp_path)
    trained = load_file(best / "adapter_model.safetensors")
    loaded = get_peft_model_state_dict(model)
    assert loaded.keys() == trained.keys() and any("lora_A" in name for name in trained)
    for name, value in loaded.items():
        assert torch.equal(value, trained[name]), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("system", "adapter", "message"),
    [
        ("untrained", False, "no trained weights"),
        ("tagger", True, "no adapter"),
        ("writer", True, "base of its adapter is not on the Hugging Face hub"),
    ],
)
def test_what_cannot_be_written(system, adapter, message, shared):
    run = config.load_run("two", "demo", system, 0 if system == "untrained" else 1)
    with pytest.raises(ConfigError, match=message):
        model_folder.write_model(shared[0], run, adapter)


@pytest.fixture
def stored(monkeypatch):
    """The project's own studies and results, whatever folders other tests of this module use."""
    for name in ("PARAMS", "RESULTS"):
        monkeypatch.setattr(paths, name, paths.ROOT / name.lower())


@pytest.mark.parametrize(
    ("study", "system", "texts"),
    [
        ("flexibility", "held-out", ["Training did not show location, product.", "200 annotated sentences"]),
        ("flexibility", "fixed-renamed", ["Types: human being (person), place (location)"]),
        ("wnut17-cpu", "smollm2-grounded", ["under a grammar (grounded)", "1200 annotated sentences"]),
    ],
)
def test_a_card_says_what_its_scores_rest_on(study, system, texts, stored, tmp_path):
    results = load_results(study)
    run = config.load_run(study, "wnut17", system, 1)
    card = model_card(results, run, tmp_path, adapter=False)
    assert all(text in card for text in texts)


def test_a_run_without_a_card(stored):
    results = load_results("robustness")
    with pytest.raises(ConfigError, match="disturbed sentences with the weights of minilm"):
        model_folder.write_model(results, config.load_run("robustness", "wnut17", "minilm-typos-5", 1))
    with pytest.raises(ConfigError, match="no results of minilm on demo, seed 1"):
        model_folder.write_model(results, config.load_run("robustness", "demo", "minilm", 1))
