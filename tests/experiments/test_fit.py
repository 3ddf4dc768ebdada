"""Estimates before any download: counts against published ones, bytes against what the libraries allocate."""

import gc
import re
import sys
from contextlib import nullcontext

import pytest

from ner_utils import config, paths
from ner_utils.analyses import benchmarks
from ner_utils.experiments import preflight
from ner_utils.experiments.memory import fit, footprint
from ner_utils.experiments.memory.footprint import Batch
from ner_utils.models import generation, weights
from ner_utils.models.weights import WeightsError
from ner_utils.results import provenance

# Millions of parameters as published, an LLM's without adapters.
PUBLISHED = {
    "bert-base-cased": 108.3,
    "bert-base-uncased": 109.5,
    "bert-large-cased": 333.6,
    "bert-large-uncased": 335.1,
    "biomedbert-base": 109.5,
    "biomedbert-large": 335.1,
    "deberta-v3-base": 184,
    "deberta-v3-large": 434,
    "minilm": 22.7,
    "modernbert-base": 149,
    "modernbert-large": 395,
    "llama-3.1-8b": 8030,
    "mistral-7b": 7250,
    "qwen3.5-0.8b": 752,
    "qwen3.5-4b": 4210,
    "qwen3.5-27b": 26900,
    "smollm2-135m": 134.5,
    "smollm2-135m-tagger": 134.5,
}
# Of each class a tiny one, with more layers than are traced.
TINY = {
    "bert-base-cased": {"num_hidden_layers": 7},
    "deberta-v3-base": {"num_hidden_layers": 7},
    "modernbert-base": {"num_hidden_layers": 8, "vocab_size": 50368},  # where its padding is
    "smollm2-135m": {"num_hidden_layers": 7, "num_key_value_heads": 1},
    "mistral-7b": {"num_hidden_layers": 7, "num_key_value_heads": 1},
    "qwen3.5-4b": {
        "num_hidden_layers": 12,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 32,
        "linear_value_head_dim": 32,
    },
}
SIZES = {"vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2}
BATCH = Batch(48, 32, 16, 8)
STORED = benchmarks.load("fit")  # now: later on, results lie elsewhere


def tiny(name, **changes):
    """A model with the architecture of its class, but small."""
    model = config.load_model(name, changes)
    return model.model_copy(update={"architecture": model.architecture | SIZES | TINY[name]})


def trace(model, gpu=False, batch=BATCH, trained=True, **more):
    return footprint.trace(model.model_dump_json(), 5, trained, gpu, batch, **more)


@pytest.mark.parametrize("name", config.names("models"))
def test_every_architecture_has_the_published_number_of_parameters(name):
    made = footprint.build(config.load_model(name), 9, False, False)
    assert sum(parameter.numel() for parameter in made.parameters()) / 1e6 == pytest.approx(
        PUBLISHED[name], rel=0.01
    )


@pytest.mark.parametrize(
    ("name", "gpu"), [("deberta-v3-base", True), ("modernbert-base", False), ("qwen3.5-4b", True)]
)
def test_few_layers_say_what_all_would(name, gpu):
    model = tiny(name)
    whole = footprint._footprint(model, 5, True, gpu, BATCH, False, model.architecture["num_hidden_layers"])
    found = trace(model, gpu)
    assert found[:3] == whole[:3]
    assert found == pytest.approx(whole, rel=0.01)


@pytest.mark.parametrize("name", TINY)
def test_a_trace_counts_what_is_allocated(name, monkeypatch):
    """The same step and pass with real tensors, real 4-bit weights and real gradients."""
    model = tiny(name)
    traced = footprint._footprint(model, 5, True, False, BATCH, False, 4)
    monkeypatch.setattr(footprint, "FakeTensorMode", lambda **keywords: nullcontext())
    real = footprint._footprint(model, 5, True, False, BATCH, False, 4)
    assert traced[:3] == real[:3]
    assert traced.prediction_weights == real.prediction_weights
    # Without data, no mask can be left out for being all ones.
    for peak in ("training", "prediction"):
        assert getattr(real, peak) <= getattr(traced, peak) <= 1.1 * getattr(real, peak)


def test_nf4_weights_are_those_of_bitsandbytes(make_run, make_tiny_llama):
    folder = make_tiny_llama()
    run = make_run("tiny-llama", {}, weights_folder=folder)
    model = generation.load_base(run)
    tensors = [*model.parameters(), *model.buffers()]
    for state in filter(None, (getattr(tensor, "quant_state", None) for tensor in list(tensors))):
        tensors += [state.absmax, state.code, state.offset, state.state2.absmax, state.state2.code]
    real = sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())
    sizes = {key: getattr(model.config, key) for key in run.model.architecture if key != "model_type"}
    settings = run.model.model_copy(update={"architecture": {"model_type": "llama", **sizes, "head_dim": 32}})
    made = footprint.build(settings, 0, False, quantised=True)
    with footprint.FakeTensorMode(allow_non_fake_inputs=True), footprint.Ledger() as ledger:
        footprint.allocate(made)
        gc.collect()
        assert ledger.live == real


@pytest.mark.parametrize("name", [name for name in TINY if config.load_model(name).approach == "generation"])
def test_adapters_have_pefts_parameters(name):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = tiny(name)
    real = AutoModelForCausalLM.from_config(footprint.configuration(model))
    lora = LoraConfig(r=model.lora.r, target_modules=model.lora.target_modules, task_type="CAUSAL_LM")
    trainable, total = get_peft_model(real, lora).get_nb_trainable_parameters()
    found = trace(model)
    assert (found.trainable, found.parameters) == (trainable, total)


@pytest.mark.parametrize("name", ["bert-base-cased", "deberta-v3-base", "smollm2-135m"])
def test_more_takes_more(name):
    small = trace(tiny(name))
    longer = trace(tiny(name), batch=Batch(96, 80, 16, 8))
    wider = trace(tiny(name, **{"training.batch_size": 64}))
    for larger in (longer, wider):
        assert larger.training > small.training
        assert larger.weights == small.weights
    sparing = trace(tiny(name), gpu=True, sparing=True)
    assert sparing.training < trace(tiny(name), gpu=True).training


def test_the_heads_scores_are_of_answers_alone():
    model = tiny("smollm2-135m")
    short, long = (trace(model, batch=BATCH._replace(answer=answer)).training for answer in (1, 16))
    assert long - short > model.training.batch_size * 15 * SIZES["vocab_size"] * 4


# --------------------------------------------------------------------------- estimates
def run_of(study, dataset, system):
    return next(run for run in config.runs_of(study) if (run.dataset_name, run.system) == (dataset, system))


def test_lengths_come_from_the_corpus_or_from_the_declaration(no_other_corpora):
    at_hand = fit.lengths_of(run_of("demo", "demo", "smollm2-qlora"))
    assert at_hand.source == "corpus"
    assert 0 < at_hand.batch.shared < at_hand.batch.prompt < at_hand.batch.longest < 512
    absent = fit.lengths_of(run_of("paper-a", "multinerd", "deberta-v3-base"))
    assert (absent.source, absent.batch.longest, absent.train) == ("declared", 256, 131280)


def test_resources(no_other_corpora):
    cpu = fit.resources(run_of("demo", "demo", "minilm"))
    gpu = fit.resources(run_of("paper-a", "wnut17", "deberta-v3-base"))
    assert set(cpu) == set(gpu) == {"mem_mb", "gpus", "runtime"}
    assert (cpu["gpus"], gpu["gpus"]) == (0, 1)
    assert all(isinstance(value, int) for value in [*cpu.values(), *gpu.values()])
    assert 1000 < cpu["mem_mb"] < 8000
    assert cpu["runtime"] >= 60


@pytest.mark.parametrize(("card", "code", "said"), [("8", 0, "fits"), ("1.5", 1, "does not fit")])
def test_it_refuses_where_it_is_told_to(card, code, said, monkeypatch, capsys):
    for more in ([], ["--refuse"]):
        monkeypatch.setattr(sys, "argv", ["fit", "first-look", "", "--card-gb", card, *more])
        assert fit.main() == (code if more else 0)
        assert f" {said}\n" in capsys.readouterr().out


def test_preflight_warns_and_goes_on(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(fit.processes, "memory_limit", lambda: 1)
    monkeypatch.setattr(preflight.provenance, "is_done", lambda run: run.system != "minilm")
    preflight.check("first-look")
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1
    assert said[0].startswith("warning: minilm on demo needs about ")


def test_what_would_fit_is_said(monkeypatch):
    """The largest batch that the estimate admits, by halves of the declared one."""
    run = run_of("demo", "demo", "minilm")
    assert run.model.training.batch_size == 16

    def needs(size):
        training = run.model.training.model_copy(update={"batch_size": size})
        changed = run.model.model_copy(update={"training": training})
        found = fit.estimate(run.model_copy(update={"model": changed}), None)
        return found.training + 2 * fit.PROCESS

    for limit, said in [
        (needs(4) + 1, "model.training.batch_size=4 fits "),
        (needs(1) + 1, "model.training.batch_size=1 fits "),
        (needs(1) - 1, "even model.training.batch_size=1 needs .*lower model.training.max_length"),
        (needs(16) + 1, "something else took memory; or lower model.training.batch_size=16"),
    ]:
        monkeypatch.setattr(fit.processes, "memory_limit", lambda limit=limit: limit)
        assert re.search(said, fit.advice(run, "training")), limit
    monkeypatch.setattr(fit.processes, "memory_limit", lambda: 1)
    assert "model.prediction_batch_tokens=1 needs" in fit.advice(run, "prediction")
    monkeypatch.setattr(fit.processes, "memory_limit", lambda: 2**40)
    assert "even model.training.batch_size=1 needs" in fit.advice(run, "training", least=True)
    unknown = run.model_copy(update={"model": run.model.model_copy(update={"architecture": None})})
    assert fit.advice(unknown, "training") == "lower model.training.batch_size, now 16"


def test_a_cpus_speed_is_measured_or_called_an_assumption(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    run = run_of("first-look", "demo", "minilm")
    assumed = fit.estimate(run, None).minutes
    here = provenance.environment()["machine"]
    bench = {"flops": 4 * fit.ASSUMED.flops, "bytes": 4 * fit.ASSUMED.bandwidth}
    monkeypatch.setattr(sys, "argv", ["fit", "first-look"])
    for machine, factor, word in [({"processor": "A Z80"}, 1, "assumed"), (here, 4, "measured")]:
        provenance.write_json(tmp_path / "bench" / "bench.json", bench | {"machine": machine})
        assert fit.estimate(run, None).minutes == pytest.approx(assumed / factor)
        fit.main()
        said = capsys.readouterr().out.splitlines()[-1]
        assert said.startswith(f"CPU: {250 * factor:.0f} GFLOP/s and {10 * factor:.0f} GB/s, {word}")


def test_without_an_architecture_nothing_is_known(params):
    run = config.load_run("small", "small", "encoder", 1)
    with pytest.raises(config.ConfigError, match="A model: architecture: not declared"):
        fit.estimate(run, None)
    assert list(fit.warnings([run])) == []
    params.edit(
        "models/tagger", "training:", "architecture: {model_type: bert, hidden_size: many}\ntraining:"
    )
    with pytest.raises(config.ConfigError, match="A model: architecture: "):
        fit.estimate(config.load_run("small", "small", "encoder", 1), None)


def test_an_architecture_changes_no_fingerprint():
    run = run_of("wnut17-cpu", "wnut17", "minilm")
    without = run.model_copy(update={"model": run.model.model_copy(update={"architecture": None})})
    assert run.fingerprint == without.fingerprint


# ------------------------------------------------------------------------- checkpoints
@pytest.mark.parametrize("name", ["minilm", "smollm2-135m"])
def test_checkpoints_at_hand_are_as_declared(name):
    model = config.load_model(name)
    folder = weights.resolve(model.weights)
    weights.check_architecture(folder, model)
    other = model.model_copy(update={"architecture": model.architecture | {"num_hidden_layers": 3}})
    with pytest.raises(
        WeightsError, match=r"config.json: num_hidden_layers is \d+; architecture of .* says 3"
    ):
        weights.check_architecture(folder, other)


def test_a_text_model_is_found_inside_a_checkpoint_with_a_vision_tower(tmp_path):
    from transformers import Qwen3_5Config

    model = tiny("qwen3.5-4b")
    text = {key: value for key, value in model.architecture.items() if key != "tie_word_embeddings"}
    Qwen3_5Config(text_config=text, tie_word_embeddings=True).save_pretrained(tmp_path)
    weights.check_architecture(str(tmp_path), model)


def test_stored_estimates_are_those_of_today():
    """One model of each kind again: a stored table must not outlive the code that made it."""
    stored = {row["model"]: row for row in STORED["models"]}
    assert set(stored) == set(config.names("models"))
    for name, batch in {"minilm": Batch(256, 256, 0, 0), "smollm2-135m": Batch(256, 192, 64, 100)}.items():
        found = footprint.trace(config.load_model(name).model_dump_json(), 31, True, True, batch)
        assert stored[name]["prediction"] == pytest.approx(found.prediction, rel=0.01)


def test_tables_and_numbers_of_stored_estimates(monkeypatch):
    assert len(STORED["validation"]) >= 6
    table = benchmarks.tab_fit(STORED)
    assert "Qwen3.5 27B" in table and r"\itshape Encoders" in table
    assert benchmarks.tab_fit_validation(STORED).count("MiniLM") >= 3
    monkeypatch.setattr(benchmarks, "load", lambda name: STORED)
    numbers = benchmarks.fit_numbers()
    assert 0 < numbers["fit.returned.worst"][0] < numbers["fit.default.worst"][0] < 20
    assert numbers["fit.qwen3.5-27b.training"][0] > numbers["fit.qwen3.5-27b.sparing"][0]
