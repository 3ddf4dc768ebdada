"""The rows of the bench: training and prediction, imports, growth, and README's commands."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import baselines
import numpy as np
import torch
from measure import TURNS, Machine, Row, Work, by_turns, linear_parameters, timed
from transformers import AutoModelForCausalLM

from ner_utils import config, data, paths, processes, scoring
from ner_utils.config import schema
from ner_utils.experiments import experiment
from ner_utils.models import backbones, generation, tagging, weights
from ner_utils.models.generation import qlora
from ner_utils.results import evaluation
from ner_utils.scoring import resampling

PARALLEL = (32, 64)  # batch sizes of `generate`, of which the faster is compared
GROWTH = (1, 3, 10)
# Sentences of a row; ``--scale`` shrinks them to see whether the bench itself works.
SIZES = {"learnt": 320, "generated": 384, "one by one": 16, "llm training": 96, "encoder": 960, "growth": 120}
SIZES |= {"larger model": 32}
LARGER = "qwen"  # a system of scale-wnut17, of 1.5 billion parameters
FULL_SIZE: dict[str, str] = {}  # by system, the folder of large weights that replace the small ones
Sizes = dict[str, int]


def load_run(dataset: str, system: str, overrides: str = "") -> Any:
    """A run of the demo study or of its twin on WNUT-17, or of the larger model, without latencies, which no
    row needs."""
    study = "scale-wnut17" if system == LARGER else {"demo": "demo", "wnut17": "wnut17-cpu"}[dataset]
    changes = {"study": "bench", "latency_sentences": 1}
    run = config.load_run(study, dataset, system, 1, overrides).model_copy(update=changes)
    if system in FULL_SIZE:
        model = run.model.model_copy(update={"weights": schema.Weights(folder=FULL_SIZE[system])})
        run = run.model_copy(update={"model": model})
    return run


def dev_f1(run: Any, corpus: dict, predicted: list) -> str:
    """Strict micro F1 on dev with its interval, in percent."""
    counts = scoring.count(*evaluation.span_tables(run, corpus["dev"], predicted))[np.newaxis]
    interval = resampling.interval(counts, resampling.groups(corpus["dev"]), "micro_f1", 1000, 0)
    return "{:.1f} ({:.1f} to {:.1f})".format(*(100 * value for value in interval))


# ------------------------------------------------------------------------------ rows
def trained_adapter(dataset: str, corpus: dict, size: Sizes) -> tuple[Any, Any, str]:
    """A run, its trained adapter, and a note that compares its dev F1 with SFTTrainer's."""
    run = load_run(dataset, "smollm2-qlora", "protocol.dev_evaluations=1")
    sentences = [sentence for sentence in data.draw(corpus["train"], None, 0) if sentence.spans]
    sentences = sentences[: size["learnt"]]
    record = qlora.train_generator(run, sentences, corpus["dev"][:8])
    adapter, sft = experiment.best_checkpoint(run, record), run.scratch / "sft"
    baselines.train_sft(run, sentences, str(sft))
    scores = [
        dev_f1(run, corpus, generation.predict_with_generator(run, each, corpus["dev"])[0])
        for each in (adapter, sft)
    ]
    trained = f"{len(sentences)} sentences, {run.model.training.epochs} epochs"
    return run, adapter, f"dev F1 {scores[0]} against {scores[1]}, {trained}"


def generation_rows(run: Any, adapter: Any, corpus: dict, machine: Machine, size: Sizes) -> list[Row]:
    """Prediction with merged weights, against the library's loop, and under a grammar."""
    model = generation.load_for_prediction(run, adapter)
    prompter = generation.Prompter(run, weights.resolve(run.model.weights))
    sentences = data.draw(corpus["test"], size["generated"], 0)
    by_length = sorted(sentences, key=lambda sentence: len(sentence.text))
    few, trial = by_length[:: max(1, len(by_length) // size["one by one"])], by_length[::4]
    generator = generation.Generator(run, model, prompter)
    settings = run.model.model_copy(update={"constrained": "grounded"})
    grounded = generation.Generator(run.model_copy(update={"model": settings}), model, prompter)

    def plain(chosen: list, rows: int) -> Any:
        return baselines.generate(model, prompter, chosen, run.model.max_new_tokens, rows)

    best = min(PARALLEL, key=lambda rows: timed(plain, trial, rows)[0])
    number = len(sentences)
    rates, outputs = by_turns(
        {
            "ours": (number, lambda: generator.predict(sentences)),
            "grounded": (number, lambda: grounded.predict(sentences)),
            "one": (len(few), lambda: plain(few, 1)),
            "batch": (number, lambda: plain(sentences, best)),
        }
    )
    answers = outputs["ours"][1]
    by_id = {sentence.id: answer for sentence, answer in zip(sentences, answers, strict=True)}
    same = sum(a == b for a, b in zip(answers, outputs["batch"], strict=True))
    same_few = sum(by_id[s.id] == b for s, b in zip(few, outputs["one"], strict=True))
    stray = sum(p.status != "ok" or p.dropped["ungrounded"] > 0 for p in outputs["grounded"][0])
    shared = len(prompter.shared_prefix())
    tokens = sum(len(prompter.ids(prompter.prompt(s))) - shared for s in sentences)
    written = sum(len(prompter.ids(answer)) + 1 for answer in answers)
    operations = (
        2 * linear_parameters(model) * (tokens + written) + 2 * model.lm_head.weight.numel() * written
    )
    floor = machine.floor(number, operations, model, written / run.model.prediction_batch_size)
    name, grounding = (f"{what}{_size_of(run)}" for what in ("LLM generation", "Grounded decoding"))
    both = (number, number)
    alone, batched = "generate, one sentence at a time", f"generate, sorted, left-padded, batch {best}"
    identical = f"{same_few} of {len(few)} answers identical", f"{same} of {number} answers identical"
    note = f"{stray} of {number} answers unreadable or with a mention from elsewhere"
    unconstrained = "the same run unconstrained"
    return [
        Row(name, alone, rates["ours"], rates["one"], (number, len(few)), floor, identical[0], 7),
        Row(name, batched, rates["ours"], rates["batch"], both, floor, identical[1], 1.5),
        Row(grounding, unconstrained, rates["grounded"], rates["ours"], both, None, note, 1),
    ]


def larger_model_rows(corpus: dict, size: Sizes) -> list[Row]:
    """Training and prediction, without an adapter, of the larger model, on few sentences."""
    run, number = load_run("wnut17", LARGER), size["larger model"]
    machine = Machine.measured(backbones.dtype(run.model))
    note = f"{number} sentences; a matrix product reaches {machine.flops / 1e9:.0f} GFLOP/s in this precision"
    few = size | {"generated": number, "one by one": max(2, number // 8)}
    training = llm_training_row("wnut17", corpus, machine, number, LARGER, True, note)
    return [training, *generation_rows(run, None, corpus, machine, few)]


def _size_of(run: Any) -> str:
    """The end of a row's name, where it is about the larger model."""
    return f", {run.label}" if run.system == LARGER else ""


def llm_training_row(
    dataset: str, corpus: dict, machine: Machine, number: int, system: str, quantised: bool, note: str
) -> Row:
    """One epoch of adapter training on so many sentences; only optimisation steps are timed."""
    run = load_run(dataset, system, "protocol.dev_evaluations=1")
    # Not by overrides, because other systems of the study use its weights.
    changes = {"training": run.model.training.model_copy(update={"epochs": 1})}
    changes |= {} if quantised else {"quantisation": None}
    run = run.model_copy(update={"model": run.model.model_copy(update=changes)})
    sentences = data.draw(corpus["train"], number, 0)
    ours, theirs = [], []
    for turn in range(TURNS):
        again = run.model_copy(update={"study": f"bench-{turn}"})
        record = qlora.train_generator(again, sentences, corpus["dev"][:4])
        ours.append(number / record["training_seconds"])
        theirs.append(number / baselines.train_sft(run, sentences, str(again.scratch / "sft")))
    source, dtype = weights.resolve(run.model.weights), backbones.dtype(run.model)
    prompter = generation.Prompter(run, source)
    model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype)
    examples = [prompter.example(sentence) for sentence in sentences]
    shared, batch = len(prompter.shared_prefix()), run.model.training.batch_size
    tokens = sum(len(row["input_ids"]) - shared for row in examples) + shared * number / batch
    answers = sum(label != data.IGNORED for row in examples for label in row["labels"])
    # Forward, and backward to the inputs: frozen weights need no gradient.
    operations = 4 * linear_parameters(model) * tokens + 4 * model.lm_head.weight.numel() * answers
    floor = machine.floor(number, operations, model, 2 * number / batch)
    name = f"{'QLoRA' if quantised else 'LoRA'} training{_size_of(run)}"
    precision = "in bf16, " if dtype == torch.bfloat16 else "bf16 and "
    against = f"SFTTrainer, {precision}checkpointing off"
    return Row(name, against, ours, theirs, (number, number), floor, note, 2.5)


def encoder_rows(dataset: str, corpus: dict, machine: Machine, size: Sizes) -> list[Row]:
    """Two epochs of fine-tuning, then prediction with the trained model."""
    run = load_run(dataset, "minilm", "minilm:model.training.epochs=2 protocol.dev_evaluations=1")
    sentences, test = (data.draw(corpus[split], size["encoder"], 0) for split in ("train", "test"))
    rates: dict[str, list[float]] = {name: [] for name in ("train", "trainer", "predict", "1", "32")}
    for turn in range(TURNS):
        again = run.model_copy(update={"study": f"bench-{turn}"})
        record = tagging.train_tagger(again, sentences, corpus["dev"][:32])
        checkpoint, plain = experiment.best_checkpoint(again, record), again.scratch / "trainer"
        rates["train"].append(2 * len(sentences) / record["training_seconds"])
        rates["trainer"].append(2 * len(sentences) / baselines.train_tagger(run, sentences, str(plain)))
        predicted, cost = tagging.predict_with_tagger(again, checkpoint, test)
        rates["predict"].append(cost["sentences_per_second"])
        for batch in ("1", "32"):
            seconds, spans = timed(baselines.pipeline_spans, str(checkpoint), test, int(batch))
            rates[batch].append(len(test) / seconds)
    same = sum(list(p.spans) == s for p, s in zip(predicted, spans, strict=True))
    scores = [
        dev_f1(run, corpus, tagging.predict_with_tagger(run, folder, corpus["dev"])[0])
        for folder in (checkpoint, plain)
    ]
    model, tokenizer = tagging.load_tagger(checkpoint), tagging.load_tokenizer(str(checkpoint))
    operations, steps = 2 * linear_parameters(model), 3 * len(sentences) / run.model.training.batch_size
    encoded = [tagging.encode(part, tokenizer, 256) for part in (sentences, test)]
    learnt, tagged = (sum(len(row["input_ids"]) for row in part) for part in encoded)
    floor = machine.floor(len(sentences), 3 * operations * learnt, model, steps)
    f1, both = f"dev F1 {scores[0]} against {scores[1]}", (len(sentences), len(sentences))
    against = "Trainer, random batches"
    rows = [Row("Encoder training", against, rates["train"], rates["trainer"], both, floor, f1, 1.5)]
    floor = machine.floor(len(test), operations * tagged, model, tagged / run.model.prediction_batch_tokens)
    note, both = f"spans of {same} of {len(test)} sentences identical", (len(test), len(test))
    for batch, reach in (("1", 5), ("32", 3.5)):
        against = f"token-classification pipeline, batch {batch}"
        rows.append(
            Row("Encoder prediction", against, rates["predict"], rates[batch], both, floor, note, reach)
        )
    return rows


STEPS = {
    "tagging": "Imports before tagging",
    "generation": "Imports before generation from merged weights",
    "generation.qlora": "Imports before training an LLM",
}
EAGER = (
    "import datasets, peft, transformers, trl; from trl import SFTTrainer; from transformers import Trainer"
)


def import_rows() -> list[Row]:
    """Fresh interpreters that import what a step needs, or all that training could ever need."""

    def starts(code: str) -> tuple[int, Work]:
        return 1, lambda: subprocess.run([sys.executable, "-c", code], check=True)

    rows = []
    for module, step in STEPS.items():
        rates, _ = by_turns({"ours": starts(f"import ner_utils.models.{module}"), "all": starts(EAGER)})
        seconds = f"{1 / median(rates['ours']):.1f} s against {1 / median(rates['all']):.1f} s"
        libraries = "transformers, trl, peft and datasets"
        rows.append(Row(step, libraries, rates["ours"], rates["all"], (1, 1), None, seconds))
    return rows


def growth(dataset: str, run: Any, adapter: Any, corpus: dict, size: Sizes) -> list[dict[str, Any]]:
    """Prediction and scoring of more and more sentences, each in a fresh process: seconds and peak MiB."""
    tagger = load_run(dataset, "minilm", "minilm:model.training.epochs=1 protocol.dev_evaluations=1")
    record = tagging.train_tagger(tagger, corpus["train"][:64], corpus["dev"][:8])
    trained = experiment.best_checkpoint(tagger, record)
    rows = []
    for times in GROWTH:
        number = times * size["growth"]
        sentences = (corpus["test"] * (1 + number // len(corpus["test"])))[:number]
        for what, predict, predicting, checkpoint in (
            ("tagging", tagging.predict_with_tagger, tagger, trained),
            ("generation", generation.predict_with_generator, run, adapter),
        ):
            predicted, cost = processes.in_fresh_process(predict, predicting, checkpoint, sentences)
            seconds = sum(cost["prediction_seconds"].values())
            row = {"what": what, "sentences": number, "seconds": seconds}
            rows.append(row | {"mib": cost["prediction_memory"]["process_mib"]})
        gold, spans = ([item.spans for item in items] for items in (sentences, predicted))
        seconds, _ = timed(scoring.score, gold, spans)
        rows.append({"what": "scoring", "sentences": number, "seconds": seconds, "mib": None})
    return rows


def workflow() -> list[dict[str, Any]]:
    """Seconds of commands in a fresh clone that shares the environment, and the most that they may take."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", str(paths.ROOT), folder], check=True)
        (Path(folder) / ".venv").symlink_to(paths.ROOT / ".venv")
        for what, command, most in (
            ("The default study, from corpus to PDF", "study", 600),
            ("The same, when all is done", "study", 5),
            ("A thesis from stored results", "thesis STUDY=scale-wnut17", 90),
        ):
            seconds, done = timed(
                subprocess.run, ["make", *command.split()],
                cwd=folder, env=os.environ | {"PYTHONPATH": folder}, capture_output=True, text=True,
            )  # fmt: skip
            if done.returncode:
                raise RuntimeError(f"make {command} failed: {done.stderr[-1000:]}")
            rows.append({"what": what, "command": f"make {command}", "seconds": seconds, "most": most})
    return rows
