"""The rows of the bench: each does the same work in two ways, in turns."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import baselines
import torch
from transformers import AutoModelForCausalLM

from ner_utils import config, data, paths, processes, scoring
from ner_utils.config import schema
from ner_utils.experiments import experiment
from ner_utils.models import backbones, generation, tagging, weights
from ner_utils.models.generation import qlora
from ner_utils.results import evaluation
from ner_utils.scoring import resampling

TURNS = 3
PARALLEL = (32, 64)  # batch sizes of which the plain way may take the better
GROWTH = (1, 3, 10)
# Sentences of a row; ``--scale`` shrinks them to see whether the bench itself works.
SIZES = {"learnt": 320, "generated": 384, "one by one": 16, "llm training": 96, "encoder": 960, "growth": 120}


class Row(NamedTuple):
    """Rates in sentences/s (imports: in imports/s), one a turn, and what was compared."""

    what: str
    against: str
    ours: list[float]
    theirs: list[float]
    sentences: tuple[int, int]  # ours, theirs
    floor: float | None = None  # sentences/s
    note: str = ""
    reach: float = 0.0  # the ratio that was aimed at

    @property
    def ratio(self) -> tuple[float, float, float]:
        """Ratio of the medians, and the lowest and highest of single turns."""
        turns = [a / b for a, b in zip(self.ours, self.theirs, strict=True)]
        return median(self.ours) / median(self.theirs), min(turns), max(turns)


def timed(work: Callable[..., Any], *arguments: Any, **keywords: Any) -> tuple[float, Any]:
    """Seconds of some work, and its output."""
    start = time.perf_counter()
    output = work(*arguments, **keywords)
    return time.perf_counter() - start, output


def rate(number: int, work: Callable[..., Any], *arguments: Any, **keywords: Any) -> tuple[float, Any]:
    """Sentences/s of some work, and its output."""
    seconds, output = timed(work, *arguments, **keywords)
    return number / seconds, output


def matmul_peak() -> float:
    """FLOP/s of a large matrix product, the best of five: in fp32, on a GPU in the dtype that LLMs take."""
    gpu = torch.cuda.is_available()
    size, place = (8192, {"device": "cuda", "dtype": backbones.dtype()}) if gpu else (2048, {})
    a, b = torch.randn(size, size, **place), torch.randn(size, size, **place)

    def multiply() -> None:
        _ = a @ b
        if gpu:
            torch.cuda.synchronize()

    return max(2 * size**3 * rate(1, multiply)[0] for _ in range(5))


Sizes = dict[str, int]
FULL_SIZE: dict[str, str] = {}  # by system, the folder of weights that stand in for the small ones


def load_run(dataset: str, system: str, overrides: str = "") -> Any:
    """A run of the demo study or of its twin on WNUT-17."""
    study = {"demo": "demo", "wnut17": "wnut17-cpu"}[dataset]
    # The bench asks for throughput: latency would be taken, sentence by sentence, and thrown away.
    changes = {"study": "bench", "latency_sentences": 1}
    run = config.load_run(study, dataset, system, 1, overrides).model_copy(update=changes)
    if system in FULL_SIZE:
        model = run.model.model_copy(update={"weights": schema.Weights(folder=FULL_SIZE[system])})
        run = run.model_copy(update={"model": model})
    return run


def memory_peak() -> float:
    """Bytes/s of reading a large tensor, the best of five."""
    large = torch.randn(2**27 if torch.cuda.is_available() else 2**26, device=backbones.device())
    return max(4 * large.numel() * rate(1, lambda: float(large.sum()))[0] for _ in range(5))


class Machine(NamedTuple):
    """What it reaches at best: FLOP/s and bytes/s."""

    flops: float
    bytes: float

    def floor(self, sentences: int, operations: float, model: Any, passes: float) -> float:
        """Sentences/s that it allows: all operations at its best rate, or all weights read at its best
        rate once in every pass over the model, whichever takes longer."""
        size = sum(weight.numel() * weight.element_size() for weight in model.parameters())
        return sentences / max(operations / self.flops, passes * size / self.bytes)


def linear_parameters(model: Any) -> int:
    """Weights that every position is multiplied with; the vocabulary's are not among them."""
    body = model.get_decoder() if hasattr(model, "lm_head") else model.base_model
    return sum(module.weight.numel() for module in body.modules() if isinstance(module, torch.nn.Linear))


# ------------------------------------------------------------------------------ rows
def learnt_adapters(dataset: str, corpus: dict, size: Sizes) -> tuple[Any, Any, str]:
    """A run, an adapter of it that learnt to answer in the form, and its dev F1 against SFTTrainer's."""
    run = load_run(dataset, "smollm2-qlora", "protocol.dev_evaluations=1")
    named = [sentence for sentence in data.draw(corpus["train"], None, 0) if sentence.spans]
    named = named[: size["learnt"]]
    adapter = experiment.best_checkpoint(run, qlora.train_generator(run, named, corpus["dev"][:8]))
    theirs = run.scratch / "sft"
    baselines.train_sft(run, named, str(theirs))
    found = [generation.predict_with_generator(run, folder, corpus["dev"])[0] for folder in (adapter, theirs)]
    mine, other = (dev_f1(corpus, run.dataset.types, predicted) for predicted in found)
    return (
        run,
        adapter,
        f"dev F1 {mine} against {other}, {len(named)} sentences, {run.model.training.epochs} epochs",
    )


def generation_rows(run: Any, adapter: Any, corpus: dict, machine: Machine, size: Sizes) -> list[Row]:
    """Prediction with merged weights: against the library's loop, and under a grammar."""
    model = generation.load_for_prediction(run, adapter)
    prompter = generation.Prompter(run, weights.resolve(run.model.weights))
    sentences = data.draw(corpus["test"], size["generated"], 0)
    by_length = sorted(sentences, key=lambda sentence: len(sentence.text))
    few = by_length[:: max(1, len(by_length) // size["one by one"])]
    generator = generation.Generator(run, model, prompter)
    settings = run.model.model_copy(update={"constrained": "grounded"})
    grounded = generation.Generator(run.model_copy(update={"model": settings}), model, prompter)

    def plain(chosen: list, rows: int) -> Any:
        return baselines.generate(model, prompter, chosen, run.model.max_new_tokens, rows)

    trial = by_length[::4]
    rates = {rows: rate(len(trial), plain, trial, rows)[0] for rows in PARALLEL}
    best = max(rates, key=rates.get)
    turns: dict[str, list[float]] = {"ours": [], "grounded": [], "one": [], "batch": []}
    for _ in range(TURNS):
        mine, (_, answers) = rate(len(sentences), generator.predict, sentences)
        held, (read, _) = rate(len(sentences), grounded.predict, sentences)
        single, alone = rate(len(few), plain, few, 1)
        batched, together = rate(len(sentences), plain, sentences, best)
        for name, value in zip(turns, (mine, held, single, batched), strict=True):
            turns[name].append(value)
        index = {sentence.id: answer for sentence, answer in zip(sentences, answers, strict=True)}
        same = sum(a == b for a, b in zip(answers, together, strict=True))
        same_few = sum(index[s.id] == b for s, b in zip(few, alone, strict=True))
        stray = sum(p.status != "ok" or p.dropped["ungrounded"] > 0 for p in read)
    shared = len(prompter.shared_prefix())
    tokens = sum(len(prompter.ids(prompter.prompt(s))) - shared for s in sentences)
    written = sum(len(prompter.ids(answer)) + 1 for answer in answers)
    head = model.lm_head.weight.numel()
    operations = 2 * linear_parameters(model) * (tokens + written) + 2 * head * written
    floor = machine.floor(len(sentences), operations, model, written / run.model.prediction_batch_size)
    all_, name = (len(sentences), len(sentences)), "LLM generation"
    return [
        Row(
            name,
            "generate, one sentence at a time",
            turns["ours"],
            turns["one"],
            (len(sentences), len(few)),
            floor,
            f"{same_few} of {len(few)} answers identical",
            7,
        ),
        Row(
            name,
            f"generate, sorted, left-padded, batch {best}",
            turns["ours"],
            turns["batch"],
            all_,
            floor,
            f"{same} of {len(sentences)} answers identical",
            1.5,
        ),
        Row(
            "Grounded decoding",
            "the same run unconstrained",
            turns["grounded"],
            turns["ours"],
            all_,
            None,
            f"{stray} of {len(sentences)} answers unreadable or with a mention from elsewhere",
            1,
        ),
    ]


def llm_training_row(
    dataset: str, corpus: dict, machine: Machine, size: Sizes, quantisation: str, note: str
) -> Row:
    """One epoch of adapter training, steps alone."""
    overrides = (
        f"smollm2-qlora:model.training.epochs=1 protocol.dev_evaluations=1 model.quantisation={quantisation}"
    )
    run = load_run(dataset, "smollm2-qlora", overrides)
    sentences = data.draw(corpus["train"], size["llm training"], 0)
    ours, theirs = [], []
    for turn in range(TURNS):
        again = run.model_copy(update={"study": f"bench-{turn}"})
        record = qlora.train_generator(again, sentences, corpus["dev"][:4])
        ours.append(len(sentences) / record["training_seconds"])
        theirs.append(len(sentences) / baselines.train_sft(run, sentences, str(again.scratch / "sft")))
    prompter = generation.Prompter(run, weights.resolve(run.model.weights))
    model = AutoModelForCausalLM.from_pretrained(weights.resolve(run.model.weights))
    rows = [prompter.example(sentence) for sentence in sentences]
    shared = len(prompter.shared_prefix())
    tokens = sum(len(row["input_ids"]) - shared for row in rows)
    tokens += shared * len(rows) / run.model.training.batch_size
    answers = sum(label != data.IGNORED for row in rows for label in row["labels"])
    # Forward, and backward to the inputs: frozen weights need no gradient of their own.
    operations = 4 * linear_parameters(model) * tokens + 4 * model.lm_head.weight.numel() * answers
    return Row(
        f"{'QLoRA' if quantisation == 'nf4' else 'LoRA'} training",
        "SFTTrainer, bf16 and checkpointing off",
        ours,
        theirs,
        (len(sentences), len(sentences)),
        machine.floor(len(sentences), operations, model, 2 * len(rows) / run.model.training.batch_size),
        note,
        2.5,
    )


def dev_f1(corpus: dict, types: Any, predicted: list) -> str:
    """Strict micro F1 on dev with its interval, in percent."""
    counts = evaluation.sentence_counts(corpus["dev"], predicted)
    pairs = zip(corpus["dev"], counts, strict=True)
    rows = [{"id": s.id, "document": s.document, "counts": values} for s, values in pairs]
    tables, groups = resampling.tabulate({"it": [rows]}, types)
    found = resampling.interval(tables["it"], groups, "micro_f1", 1000, 0)
    return "{:.1f} ({:.1f} to {:.1f})".format(*(100 * value for value in found))


def encoder_rows(dataset: str, corpus: dict, machine: Machine, size: Sizes) -> list[Row]:
    """Two epochs of fine-tuning, then prediction with what was trained."""
    run = load_run(dataset, "minilm", "minilm:model.training.epochs=2 protocol.dev_evaluations=1")
    sentences, test = (data.draw(corpus[split], size["encoder"], 0) for split in ("train", "test"))
    turns: dict[str, list[float]] = {name: [] for name in ("train", "trainer", "predict", "one", "many")}
    for turn in range(TURNS):
        again = run.model_copy(update={"study": f"bench-{turn}"})
        record = tagging.train_tagger(again, sentences, corpus["dev"][:32])
        checkpoint = experiment.best_checkpoint(again, record)
        theirs = again.scratch / "trainer"
        turns["train"].append(2 * len(sentences) / record["training_seconds"])
        turns["trainer"].append(2 * len(sentences) / baselines.train_tagger(run, sentences, str(theirs)))
        predicted, cost = tagging.predict_with_tagger(again, checkpoint, test)
        turns["predict"].append(cost["sentences_per_second"])
        for name, batch in (("one", 1), ("many", 32)):
            speed, spans = rate(len(test), baselines.pipeline_spans, str(checkpoint), test, batch)
            turns[name].append(speed)
        same = sum(list(p.spans) == s for p, s in zip(predicted, spans, strict=True))
    scores = [tagging.predict_with_tagger(run, folder, corpus["dev"])[0] for folder in (checkpoint, theirs)]
    mine, other = (dev_f1(corpus, run.dataset.types, predicted) for predicted in scores)
    model, tokenizer = tagging.load_tagger(checkpoint), tagging.load_tokenizer(str(checkpoint))
    weight = 2 * linear_parameters(model)
    tokens = [
        sum(len(row["input_ids"]) for row in tagging.encode(s, tokenizer, 256)) for s in (sentences, test)
    ]
    steps = 3 * len(sentences) / run.model.training.batch_size
    passes = tokens[1] / run.model.prediction_batch_tokens
    floors = [
        machine.floor(len(sentences), 3 * weight * tokens[0], model, steps),
        machine.floor(len(test), weight * tokens[1], model, passes),
    ]
    sizes, note = (len(test), len(test)), f"spans of {same} of {len(test)} sentences identical"
    pairs, f1 = (len(sentences), len(sentences)), f"dev F1 {mine} against {other}"
    ours, many = turns["predict"], "token-classification pipeline, batch 32"
    return [
        Row(
            "Encoder training",
            "Trainer, random batches",
            turns["train"],
            turns["trainer"],
            pairs,
            floors[0],
            f1,
            1.5,
        ),
        Row("Encoder prediction", many[:-2] + "1", ours, turns["one"], sizes, floors[1], note, 5),
        Row("Encoder prediction", many, ours, turns["many"], sizes, floors[1], note, 3.5),
    ]


EAGER = (
    "import datasets, peft, transformers, trl; from trl import SFTTrainer; from transformers import Trainer"
)


def import_rows() -> list[Row]:
    """Fresh interpreters that import what a step needs, or all that training could ever need."""

    def starts(code: str) -> float:
        return rate(1, subprocess.run, [sys.executable, "-c", code], check=True)[0]

    steps = {
        "tagging": "Imports before tagging",
        "generation": "Imports before generation from merged weights",
        "adapters": "Imports before training an LLM",
    }
    rows = []
    for room, step in steps.items():
        ours, theirs = [], []
        for _ in range(TURNS):
            ours.append(starts(f"import ner_utils.{room}"))
            theirs.append(starts(EAGER))
        seconds = f"{1 / median(ours):.1f} s against {1 / median(theirs):.1f} s"
        rows.append(Row(step, "transformers, trl, peft and datasets", ours, theirs, (1, 1), None, seconds))
    return rows


def growth(dataset: str, run: Any, adapter: Any, corpus: dict, size: Sizes) -> list[dict[str, Any]]:
    """Prediction and scoring of more and more sentences, each in a fresh process: seconds and peak MiB."""
    tagger = load_run(dataset, "minilm", "minilm:model.training.epochs=1 protocol.dev_evaluations=1")
    record = tagging.train_tagger(tagger, corpus["train"][:64], corpus["dev"][:8])
    checkpoint = experiment.best_checkpoint(tagger, record)
    found = []
    for times in GROWTH:
        wanted = times * size["growth"]
        sentences = (corpus["test"] * (1 + wanted // len(corpus["test"])))[:wanted]
        for what, predict, one, weights_ in (
            ("tagging", tagging.predict_with_tagger, tagger, checkpoint),
            ("generation", generation.predict_with_generator, run, adapter),
        ):
            predicted, cost = processes.in_fresh_process(predict, one, weights_, sentences)
            seconds = sum(cost["prediction_seconds"].values())
            row = {"what": what, "sentences": wanted, "seconds": seconds}
            found.append(row | {"mib": cost["prediction_memory"]["process_mib"]})
        gold, spans = ([item.spans for item in items] for items in (sentences, predicted))
        seconds, _ = timed(scoring.score, gold, spans)
        found.append({"what": "scoring", "sentences": wanted, "seconds": seconds, "mib": None})
    return found


def workflow() -> list[dict[str, Any]]:
    """Seconds of commands in a fresh clone that shares the environment, and what they may take."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", str(paths.ROOT), folder], check=True)
        (Path(folder) / ".venv").symlink_to(paths.ROOT / ".venv")
        for what, command, most in (
            ("The default study, from corpus to PDF", "study", 600),
            ("The same, when all is done", "study", 5),
            ("A thesis from stored results", "thesis STUDY=wnut17-cpu", 90),
        ):
            seconds, done = timed(
                subprocess.run, ["make", *command.split()],
                cwd=folder, env=os.environ | {"PYTHONPATH": folder}, capture_output=True, text=True,
            )  # fmt: skip
            if done.returncode:
                raise RuntimeError(f"make {command} failed: {done.stderr[-1000:]}")
            found.append({"what": what, "command": f"make {command}", "seconds": seconds, "most": most})
    return found
