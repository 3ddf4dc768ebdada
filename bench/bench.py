"""`make bench`: what the project's work costs, as ratios against what a user would write instead.

Both sides of a row do the same work in one run: same machine, weights, sentences and precision, and
where they predict, the same outputs. They take turns, and the ratio is that of their median rates; its
spread comes from the single turns. The floor is the rate that the arithmetic alone would allow at the
speed of a large matrix product here. Prints a table, writes ``results/bench/bench.json``.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import baselines
import torch
from transformers import AutoModelForCausalLM

from ner_utils import config, data, experiment, generation, paths, provenance, tagging, weights

TURNS = 3
PARALLEL = (32, 64)  # batch sizes of which the plain way may take the better
# Sentences of a row; ``--scale`` shrinks them to see whether the bench itself works.
SIZES = {"learnt": 160, "generated": 96, "one by one": 12, "llm training": 40, "encoder": 480}


class Row(NamedTuple):
    """Rates in sentences/s (imports: in imports/s), one a turn, and what was compared."""

    what: str
    against: str
    ours: list[float]
    theirs: list[float]
    sentences: tuple[int, int]  # ours, theirs
    floor: float | None = None  # sentences/s
    note: str = ""

    @property
    def ratio(self) -> tuple[float, float, float]:
        """Ratio of the medians, and the lowest and highest of single turns."""
        turns = [a / b for a, b in zip(self.ours, self.theirs, strict=True)]
        return statistics.median(self.ours) / statistics.median(self.theirs), min(turns), max(turns)


def rate(number: int, work: Callable[[], Any]) -> tuple[float, Any]:
    """Sentences/s of some work, and its output."""
    start = time.perf_counter()
    output = work()
    return number / (time.perf_counter() - start), output


def matmul_peak() -> float:
    """FLOP/s of a large fp32 matrix product, the best of five."""
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    return max(2 * 2048**3 * rate(1, lambda: a @ b)[0] for _ in range(5))


def load_run(dataset: str, system: str, overrides: str = "") -> Any:
    """A run of the demo study or of its twin on WNUT-17."""
    study = {"demo": "demo", "wnut17": "wnut17-quick"}[dataset]
    return config.load_run(study, dataset, system, 1, overrides)


def linear_parameters(model: Any) -> int:
    """Weights that every position is multiplied with; the vocabulary's are not among them."""
    body = model.get_decoder() if hasattr(model, "lm_head") else model.base_model
    return sum(module.weight.numel() for module in body.modules() if isinstance(module, torch.nn.Linear))


# ------------------------------------------------------------------------------ rows
def generation_rows(dataset: str, corpus: dict, peak: float, size: dict[str, int]) -> list[Row]:
    """Prediction with a quickly trained, merged adapter, which answers in the form."""
    run = load_run(dataset, "smollm2-qlora", "smollm2-qlora:model.training.epochs=2 protocol.looks=1")
    learnt = [sentence for sentence in data.draw(corpus["train"], None, 0) if sentence.spans][
        : size["learnt"]
    ]
    record = generation.train(run, learnt, corpus["dev"][:8])
    model = generation.load_for_prediction(run, experiment.best_checkpoint(run, record))
    prompter = generation.Prompter(run, weights.resolve(run.model.weights))
    sentences = data.draw(corpus["test"], size["generated"], 0)
    by_length = sorted(sentences, key=lambda sentence: len(sentence.text))
    few = by_length[:: max(1, len(by_length) // size["one by one"])]
    generator = generation.Generator(run, model, prompter)

    def plain(chosen: list, rows: int) -> Any:
        return baselines.generate(model, prompter, chosen, run.model.max_new_tokens, rows)

    rates = {rows: rate(len(sentences), lambda rows=rows: plain(sentences, rows))[0] for rows in PARALLEL}
    best = max(rates, key=rates.get)
    turns: dict[str, list[float]] = {"ours": [], "one": [], "batch": []}
    for _ in range(TURNS):
        mine, (_, answers) = rate(len(sentences), lambda: generator.predict(sentences))
        single, alone = rate(len(few), lambda: plain(few, 1))
        batched, together = rate(len(sentences), lambda: plain(sentences, best))
        for name, value in zip(turns, (mine, single, batched), strict=True):
            turns[name].append(value)
        index = {sentence.id: answer for sentence, answer in zip(sentences, answers, strict=True)}
        same = sum(a == b for a, b in zip(answers, together, strict=True))
        same_few = sum(index[s.id] == b for s, b in zip(few, alone, strict=True))
    tokens = sum(len(prompter.ids(prompter.prompt(s))) - len(prompter.shared_prefix()) for s in sentences)
    written = sum(len(prompter.ids(answer)) + 1 for answer in answers)
    head = model.lm_head.weight.numel()
    operations = 2 * linear_parameters(model) * (tokens + written) + 2 * head * written
    floor = len(sentences) * peak / operations
    return [
        Row(
            "LLM generation",
            "generate, one sentence at a time",
            turns["ours"],
            turns["one"],
            (len(sentences), len(few)),
            floor,
            f"{same_few} of {len(few)} answers identical",
        ),
        Row(
            "LLM generation",
            f"generate, sorted, left-padded, batch {best}",
            turns["ours"],
            turns["batch"],
            (len(sentences), len(sentences)),
            floor,
            f"{same} of {len(sentences)} answers identical",
        ),
    ]


def llm_training_row(dataset: str, corpus: dict, peak: float, size: dict[str, int], quantisation: str) -> Row:
    """One epoch of adapter training, steps alone."""
    overrides = f"smollm2-qlora:model.training.epochs=1 protocol.looks=1 model.quantisation={quantisation}"
    run = load_run(dataset, "smollm2-qlora", overrides)
    sentences = data.draw(corpus["train"], size["llm training"], 0)
    ours, theirs = [], []
    for turn in range(TURNS):
        again = run.model_copy(update={"study": f"bench-{turn}"})
        record = generation.train(again, sentences, corpus["dev"][:4])
        ours.append(len(sentences) / record["training_seconds"])
        theirs.append(len(sentences) / baselines.train_sft(run, sentences))
    prompter = generation.Prompter(run, weights.resolve(run.model.weights))
    model = AutoModelForCausalLM.from_pretrained(weights.resolve(run.model.weights))
    rows = [prompter.example(sentence) for sentence in sentences]
    tokens = sum(len(row["input_ids"]) - len(prompter.shared_prefix()) for row in rows)
    answers = sum(label != generation.IGNORED for row in rows for label in row["labels"])
    # Forward, and backward to the inputs: frozen weights need no gradient of their own.
    operations = 4 * linear_parameters(model) * tokens + 4 * model.lm_head.weight.numel() * answers
    name = "QLoRA" if quantisation == "nf4" else "LoRA"
    return Row(
        f"{name} training",
        "SFTTrainer, bf16 and checkpointing off",
        ours,
        theirs,
        (len(sentences), len(sentences)),
        len(sentences) * peak / operations,
    )


def encoder_rows(dataset: str, corpus: dict, peak: float, size: dict[str, int]) -> list[Row]:
    """Two epochs of fine-tuning, then prediction with what was trained."""
    run = load_run(dataset, "minilm", "minilm:model.training.epochs=2 protocol.looks=1")
    sentences, test = (data.draw(corpus[split], size["encoder"], 0) for split in ("train", "test"))
    turns: dict[str, list[float]] = {name: [] for name in ("train", "trainer", "predict", "one", "many")}
    for turn in range(TURNS):
        again = run.model_copy(update={"study": f"bench-{turn}"})
        record = tagging.train(again, sentences, corpus["dev"][:32])
        checkpoint = experiment.best_checkpoint(again, record)
        turns["train"].append(2 * len(sentences) / record["training_seconds"])
        turns["trainer"].append(len(sentences) / baselines.train_tagger(run, sentences))
        predicted, cost = tagging.predict(again, checkpoint, test)
        turns["predict"].append(cost["sentences_per_second"])
        for name, batch in (("one", 1), ("many", 32)):
            start = time.perf_counter()
            spans = baselines.pipeline_spans(str(checkpoint), test, batch)
            turns[name].append(len(test) / (time.perf_counter() - start))
        same = sum(list(p.spans) == s for p, s in zip(predicted, spans, strict=True))
    model = tagging.AutoModelForTokenClassification.from_pretrained(checkpoint)
    tokenizer = tagging.load_tokenizer(str(checkpoint))
    weight = 2 * linear_parameters(model)
    floors = [
        len(some)
        * peak
        / (times * weight * sum(len(row["input_ids"]) for row in tagging.encode(some, tokenizer, 256)))
        for some, times in ((sentences, 3), (test, 1))
    ]
    sizes, note = (len(test), len(test)), f"spans of {same} of {len(test)} sentences identical"
    pairs = (len(sentences), len(sentences))
    row = Row(
        "Encoder training", "Trainer, random batches", turns["train"], turns["trainer"], pairs, floors[0]
    )
    many = "token-classification pipeline, batch 32"
    return [
        row,
        Row("Encoder prediction", many[:-2] + "1", turns["predict"], turns["one"], sizes, floors[1], note),
        Row("Encoder prediction", many, turns["predict"], turns["many"], sizes, floors[1], note),
    ]


EAGER = (
    "import datasets, peft, transformers, trl; from trl import SFTTrainer; from transformers import Trainer"
)


def import_rows() -> list[Row]:
    """Fresh interpreters that import one arm, or all that training could ever need."""

    def starts(code: str) -> float:
        return rate(1, lambda: subprocess.run([sys.executable, "-c", code], check=True))[0]

    rows = []
    for arm in ("tagging", "generation"):
        ours, theirs = [], []
        for _ in range(TURNS):
            ours.append(starts(f"import ner_utils.{arm}"))
            theirs.append(starts(EAGER))
        rows.append(Row(f"Imports of {arm}", "transformers, trl, peft and datasets", ours, theirs, (1, 1)))
    return rows


# ---------------------------------------------------------------------------- report
def describe(row: Row) -> list[str]:
    """A row of the printed table."""
    middle, low, high = row.ratio
    ours, theirs = statistics.median(row.ours), statistics.median(row.theirs)
    floor = f"{ours / row.floor:.0%} of {row.floor:.1f}" if row.floor else "–"
    return [
        row.what,
        row.against,
        f"{middle:.2f}× ({low:.2f} to {high:.2f})",
        f"{ours:.2f}",
        f"{theirs:.2f}",
        floor,
        row.note,
    ]


def main() -> None:
    """Run all rows, print and store them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1, help="share of sentences; not stored below 1")
    scale = parser.parse_args().scale
    size = {name: max(4, int(scale * number)) for name, number in SIZES.items()}
    dataset = (
        "wnut17"
        if any((path / "wnut17train.conll").is_file() for path in paths.data_dirs("wnut17"))
        else "demo"
    )
    paths.RUNS = paths.RUNS / "bench" / str(int(time.time()))
    corpus = data.load(dataset, config.load_dataset(dataset))
    peak = matmul_peak()
    print(f"{dataset}; a matrix product reaches {peak / 1e9:.0f} GFLOP/s in fp32", flush=True)
    work = (dataset, corpus, peak, size)
    rows = [*import_rows(), *encoder_rows(*work), *generation_rows(*work)]
    rows += [llm_training_row(*work, quantisation) for quantisation in ("nf4", "null")]
    titles = ["what", "against", "ratio (turns)", "ours, /s", "theirs, /s", "floor, /s", ""]
    table = [titles, *map(describe, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
    stored = {"dataset": dataset, "peak_flops": peak, **provenance.environment()}
    stored["rows"] = [row._asdict() | {"ratio": row.ratio} for row in rows]
    if scale == 1:
        provenance.write_json(paths.RESULTS / "bench" / "bench.json", stored)


if __name__ == "__main__":
    main()
